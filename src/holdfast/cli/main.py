"""The entry point: the version without loading anything, then the commands behind the error edge.

Laws: this module imports nothing but `sys` when loaded (`holdfast --version` is asked by scripts);
`main` returns the exit code and never raises.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (default: the process's own) and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in (["--version"], ["-V"]):
        from holdfast.version import __version__

        sys.stdout.write(f"holdfast {__version__}\n")
        return 0

    from holdfast.cli.edge import guarded
    from holdfast.cli.group import run

    return guarded(run, given)


if __name__ == "__main__":
    sys.exit(main())
