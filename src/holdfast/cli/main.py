"""The entry point: the version without loading anything, then the commands behind the error edge.

Laws: this module imports nothing but `sys` when loaded (`holdfast --version` is asked by scripts);
`main` returns the exit code and never raises.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing's own constant costs importing typing
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


def program() -> NoReturn:
    """Run this process's command line and end the process."""
    import gc

    # A command that ends after 0.1 s would spend a tenth of it looking for garbage among modules.
    gc.set_threshold(50_000, 20, 20)
    code = main()

    import atexit
    import os

    atexit._run_exitfuncs()
    # Another tenth goes into taking modules apart one by one; nothing is left to flush or close.
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = code or 141
    os._exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (default: the process's own) and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in (["--version"], ["-V"]):
        from holdfast.version import __version__

        try:
            sys.stdout.write(f"holdfast {__version__}\n")
            sys.stdout.flush()
        except BrokenPipeError:
            return 141
        return 0

    from holdfast.cli.edge import guarded
    from holdfast.cli.group import run

    return guarded(run, given)


if __name__ == "__main__":
    program()
