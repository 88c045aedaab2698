"""What a keeper runs by, saved in its state folder, for `holdfast withdraw` when it is dead (K27).

    STATE/settings.json   the settings as they are in force, options and all

Laws: it is written whole or not at all, for its owner alone; that it cannot be written keeps no
staple from being kept; nothing is read, so no command run, that another user could have written.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import msgspec
from msgspec import structs

from holdfast.errors import HoldfastError, OperatorError
from holdfast.net.files import read_bounded, trouble, write_atomic
from holdfast.settings import MAX_SETTINGS, Settings
from holdfast.settings_server import COMMANDS, ServerTable

FILE = "settings.json"

_log = logging.getLogger("holdfast.keeper")


def save_settings(settings: Settings, state: str | os.PathLike[str]) -> None:
    """Leave `settings` in the folder `state`; where that fails it is told, and no more."""
    placed = structs.replace(settings, server=[_placed(table) for table in settings.server])
    try:
        write_atomic(Path(state, FILE), msgspec.json.encode(placed), 0o600)
    except HoldfastError as error:
        _log.error("settings not saved, `holdfast withdraw` needs -c: %s", error.message)


def saved_settings(state: str | os.PathLike[str]) -> Settings | None:
    """What the latest keeper in `state` ran by; None when none has left it there."""
    path = Path(state, FILE)
    try:
        told = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise trouble("cannot read", path, error) from error
    if told.st_uid not in (0, os.geteuid()) or stat.S_IMODE(told.st_mode) & 0o022:
        raise OperatorError(
            f"{path}: another user could have written it, and it names commands",
            hint="run it as the keeper's user, or name the keeper's settings with -c",
        )
    try:
        return msgspec.json.decode(read_bounded(path, MAX_SETTINGS), type=Settings)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise OperatorError(
            f"{path}: spoiled: {error}", hint="name the keeper's settings with -c"
        ) from error


def _placed(table: ServerTable) -> ServerTable:
    """Its programs by their whole path, as seen from the keeper's folder."""
    changes = {}
    for key in COMMANDS:
        words: list[str] | None = getattr(table, key)
        if words and "/" in words[0]:
            changes[key] = [os.path.abspath(words[0]), *words[1:]]
    return structs.replace(table, **changes)
