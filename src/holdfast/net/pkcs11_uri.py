"""pkcs11: URIs: which key in which token, and which library leads to it. RFC 7512.

Laws: an attribute that is not understood refuses the whole URI (2.3: nothing else may be taken for
what was meant); a PIN never stands in what is shown; a command as `pin-source` is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from holdfast.errors import OperatorError

SCHEME = "pkcs11:"
_EXAMPLE = (
    "pkcs11:token=NAME;object=LABEL?module-path=/usr/lib/softhsm/libsofthsm2.so (RFC 7512): "
    "`p11tool --list-tokens` and `--list-all` show them"
)
_PATH = ("token", "manufacturer", "serial", "model", "slot-id", "object", "id", "type")
_QUERY = ("module-path", "pin-source", "pin-value")
_ESCAPES = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pkcs11Uri:
    """None: whatever it is. `shown` is the URI for messages, without a PIN."""

    module: str
    token: str | None = None
    manufacturer: str | None = None
    serial: str | None = None
    model: str | None = None
    slot: int | None = None
    label: str | None = None
    id: bytes | None = None
    pin_source: str | None = None
    pin: str | None = field(default=None, repr=False)
    shown: str = ""

    @classmethod
    def parse(cls, text: str) -> Pkcs11Uri:
        """Read `text`; `OperatorError` says what is wrong with it."""
        if not text.startswith(SCHEME):
            raise OperatorError(f"{text}: not a pkcs11: URI", hint=_EXAMPLE)
        path, _, query = text[len(SCHEME) :].partition("?")
        shown = SCHEME + path
        found = _attributes(path, ";", _PATH, shown)
        asked = _attributes(query, "&", _QUERY, shown)
        if found.get("type", b"private") != b"private":
            raise OperatorError(f"{shown}: type is not private", hint="name the private key")
        module = asked.get("module-path")
        if not module:
            raise OperatorError(
                f"{shown}: no module-path: which library speaks to the token?", hint=_EXAMPLE
            )
        source = _text(asked.get("pin-source"), shown)
        if source is not None and source.startswith("|"):
            raise OperatorError(
                f"{shown}: a command as pin-source, and none is run",
                hint="write the PIN to a file that only this user reads",
            )
        if "id" not in found and "object" not in found:
            raise OperatorError(f"{shown}: names no key: object= or id= is missing", hint=_EXAMPLE)
        slot = found.get("slot-id")
        if slot is not None and not slot.isdigit():
            raise OperatorError(f"{shown}: slot-id is not a number", hint=_EXAMPLE)
        return cls(
            module=_text(module, shown) or "",
            token=_text(found.get("token"), shown),
            manufacturer=_text(found.get("manufacturer"), shown),
            serial=_text(found.get("serial"), shown),
            model=_text(found.get("model"), shown),
            slot=None if slot is None else int(slot),
            label=_text(found.get("object"), shown),
            id=found.get("id"),
            pin_source=None if source is None else source.removeprefix("file://").removeprefix("file:"),
            pin=_text(asked.get("pin-value"), shown),
            shown=shown,
        )  # fmt: skip


def _attributes(text: str, separator: str, known: tuple[str, ...], shown: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in text.split(separator) if text else ():
        name, equals, value = part.partition("=")
        if name not in known or not equals:
            raise OperatorError(
                f"{shown}: {name!r} is not understood here", hint=f"it may be {', '.join(known)}"
            )
        if name in found:
            raise OperatorError(f"{shown}: {name} stands there twice", hint=_EXAMPLE)
        if _ESCAPES.search(value):
            raise OperatorError(f"{shown}: a % in {name} without two hex digits", hint="write %25")
        found[name] = unquote_to_bytes(value)
    return found


def _text(value: bytes | None, shown: str) -> str | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise OperatorError(f"{shown}: a value that is not UTF-8", hint=_EXAMPLE) from None
