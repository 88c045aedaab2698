"""Write docs/reference/settings.md from the settings' own table of keys."""

from __future__ import annotations

from pathlib import Path

from holdfast.settings import Settings
from holdfast.settings_shown import show_settings

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "settings.md"

TEXT = """# Settings

Written from `src/holdfast/settings.py` by `make docs`; a test fails when it is stale.

The keeper reads one TOML file: `--config FILE`, else `holdfast.toml` in the current directory, else
`/etc/holdfast/holdfast.toml`. Durations are strings: `"90s"`, `"10m"`, `"12h"`, `"7d"`. Relative
paths are relative to the file. An unknown key is an error that names file, line, column and the
nearest known key. `holdfast keep --show-settings` prints what is in force, like this, which is
every key with its default:

```toml
{settings}
```

`[[certificate]]`, `[[server]]` and `[[responder.ca]]` may be given any number of times. Worked
examples are in [keep staples for a server](../how-to/keep-staples.md) and
[run the responder as a service](../how-to/responder.md). `holdfast proxy`, `holdfast responder` and
`holdfast presign` read their tables of such a file by `-c FILE`, and look for none by themselves.
"""


def page() -> str:
    """The whole page."""
    return TEXT.replace("{settings}", show_settings(Settings()).rstrip())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.name}: written")
