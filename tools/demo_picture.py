"""Draw docs/images/demo.svg: what `holdfast demo --once`, or COMMAND, prints on a terminal.

    python tools/demo_picture.py [--title TITLE] [--out FILE] [-- COMMAND...]

The command runs on a pseudo-terminal, so that it colours as it does for people; rich draws it.
"""

from __future__ import annotations

import argparse
import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 100

# rich's own frame without its web fonts: the picture asks for nothing from elsewhere.
FRAME = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<!-- drawn by tools/demo_picture.py; do not edit -->
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw what a command prints as an SVG.")
    parser.add_argument("--title", default="make demo")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "demo.svg")
    parser.add_argument("command", nargs="*")
    options = parser.parse_args()
    command = options.command or [sys.executable, "-m", "holdfast", "demo", "--once"]
    code, printed = on_a_terminal(command)
    if code:
        sys.stderr.write(printed)
        return code
    options.out.write_text(drawn(printed, options.title), encoding="utf-8")
    print(f"{options.out.name}: written")
    return 0


def on_a_terminal(command: list[str]) -> tuple[int, str]:
    """Run `command` on a pseudo-terminal; its exit code and what it printed."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": str(WIDTH)}
    environment.pop("NO_COLOR", None)
    chunks: list[bytes] = []
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        while chunk := _read(ours):
            chunks.append(chunk)
    os.close(ours)
    return process.returncode, b"".join(chunks).decode("utf-8", "replace")


def drawn(printed: str, title: str) -> str:
    """`printed`, with its colours, as an SVG."""
    lines = [_last_state(line) for line in printed.replace("\r\n", "\n").rstrip().split("\n")]
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    for line in lines:
        console.print(Text.from_ansi(line), soft_wrap=False)
    svg = console.export_svg(title=title, code_format=FRAME, unique_id="demo")
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


def _last_state(line: str) -> str:
    """What a line shows at last: after its last return and erasure."""
    return re.split(r"\r|\x1b\[2?K", line)[-1]


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux: the other side was closed
        return b""


if __name__ == "__main__":
    sys.exit(main())
