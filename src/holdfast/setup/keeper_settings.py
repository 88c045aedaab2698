"""What the keeper's settings must hold for the sites that setup wires to it.

Laws: pure; tables are added at the end of the text, and nothing that stands there is touched; what
is there already is not written again.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.conf.text import line_end_of
from holdfast.errors import OperatorError
from holdfast.setup.words import KeeperNeed

Table = Mapping[str, Any]


def with_needs(text: str, needs: Sequence[KeeperNeed], *, name: str = "holdfast.toml") -> str:
    """`text` with a `[[certificate]]` and a `[[server]]` for each of `needs` that lacks them.

    `OperatorError` where `text` is no TOML, or keeps a certificate for other servers already.
    """
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise OperatorError(f"{name}: {error}", hint="mend the keeper's settings first") from error
    certificates, servers = _tables(settings, "certificate"), _tables(settings, "server")
    lines: list[str] = []
    made: list[dict[str, Any]] = []
    for need in needs:
        wanted = {"kind": need.kind} | {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in need.keys.items()
        }
        server = next((one["name"] for one in (*servers, *made) if _fits(one, wanted)), None)
        if server is None:
            server = _free(need.kind, {str(one.get("name")) for one in (*servers, *made)})
            made.append({"name": server, **wanted})
            lines += ["", "[[server]]", f"name = {_toml(server)}"]
            lines += [f"{key} = {_toml(value)}" for key, value in wanted.items()]
        known = next((one for one in certificates if one.get("chain") == str(need.chain)), None)
        if known is None:
            lines += ["", "[[certificate]]", f"name = {_toml(need.name)}"]
            lines.append(f"chain = {_toml(str(need.chain))}")
            if need.issuer is not None:
                lines.append(f"issuer = {_toml(str(need.issuer))}")
            lines.append(f"servers = [{_toml(server)}]")
        elif server not in known.get("servers", []):
            raise OperatorError(
                f"{name}: the [[certificate]] with chain {str(need.chain)!r} is for other servers",
                hint=f"add {server!r} to its `servers`, with a [[server]] of kind {need.kind!r}",
            )
    if not lines:
        return text
    end = line_end_of(text)
    start = "" if not text or text.endswith("\n") else end
    return text + start + end.join([*(lines if text else lines[1:]), ""])


def _tables(settings: Table, name: str) -> list[Table]:
    found = settings.get(name, [])
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _fits(table: Table, wanted: Table) -> bool:
    return "name" in table and all(table.get(key) == value for key, value in wanted.items())


def _free(kind: str, taken: set[str]) -> str:
    number, name = 1, kind
    while name in taken:
        number += 1
        name = f"{kind}-{number}"
    return name


def _toml(value: object) -> str:
    """A TOML value: its basic strings are JSON's, but for what JSON leaves as it is."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
