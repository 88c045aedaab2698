"""nginx's error logs: the files that its configuration names."""

from __future__ import annotations

from pathlib import Path

from holdfast.conf.nginx_reading import Reading

_NO_FILES = ("stderr", "syslog:", "memory:")


def log_files(reading: Reading, *, default: str, prefix: Path) -> tuple[Path, ...]:
    """The files that `error_log` names anywhere, the main one first; relative ones are relative to
    the prefix. `default`: where nginx writes when its main part names none."""
    main = [one.args[0] for one in reading.main.all("error_log") if one.args] or [default]
    more = [
        one.args[0]
        for block in reading.blocks("http", "server")
        for one in block.all("error_log")
        if one.args
    ]
    names = dict.fromkeys((*main, *more))
    return tuple(prefix / name for name in names if name and not name.startswith(_NO_FILES))
