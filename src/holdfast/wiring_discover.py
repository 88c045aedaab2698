"""What `services.discovery` found, as settings: text that `holdfast keep -c` reads.

Law: everything that was found is in it, kept or in a comment that says why not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from holdfast.servers.files import file_name
from holdfast.services.discovery import Found, Machine, look_around
from holdfast.services.inventory import CertificateFiles, Inventory, read_inventory
from holdfast.settings_server import HAPROXY_SOCKET

RELAY = "127.0.0.1:9120"
INCLUDES = "/etc/nginx/holdfast"


@dataclass(slots=True)
class _Row:
    """One file, and by whom it was found."""

    path: Path
    found: list[Found] = field(default_factory=list)

    def by(self, who: str) -> Found | None:
        return next((one for one in self.found if one.by == who), None)


def discovered_settings(root: str, *, at: datetime) -> str:
    """holdfast.toml for the machine whose files are under `root`."""
    home = os.path.expanduser("~") if root == "/" else None
    machine = look_around(root, home=home)
    return "\n".join(_lines(machine, root, at)) + "\n"


def _lines(machine: Machine, root: str, at: datetime) -> Iterator[str]:
    rows: dict[str, _Row] = {}
    for one in machine.found:
        rows.setdefault(os.path.realpath(one.path), _Row(one.path)).found.append(one)
    tables: list[str] = []
    comments: list[str] = [f"# {note}" for note in machine.notes]
    used: dict[str, list[str]] = {}
    called = _names(rows.values())
    for row in rows.values():
        why = _why_not(row, at)
        who = ", ".join(dict.fromkeys(one.by for one in row.found))
        if why:
            comments.append(f"# {row.path} ({who}): {why}")
            continue
        tables += ["", f"# found by {who}", *_certificate(row, used, called)]
    yield f"# Written by `holdfast keep --discover`{'' if root == '/' else f' --root {root}'}."
    if "apache" in used or "nginx-relay" in used:
        yield from ("", "[keeper]", f"listen = {json.dumps(RELAY)}  # servers ask here")
    yield from tables
    for name, lines in used.items():
        yield from ("", "[[server]]", f"name = {json.dumps(name)}", *lines)
        if lines[0] == 'kind = "haproxy"':
            yield f"sockets = {json.dumps(machine.sockets or [HAPROXY_SOCKET])}"
    if not tables:
        yield from ("", "# No certificate was found that stapling applies to.")
    if comments:
        yield from ("", *comments)


def _why_not(row: _Row, at: datetime) -> str:
    inventory = _read(row)
    if inventory.problems:
        return inventory.problems[0].message.removeprefix(f"{row.path}: ")
    if inventory.lacking:
        return ""
    if not inventory.kept:
        return "no certificate of a server in it"
    leaf = inventory.kept[0].subject.leaf
    if leaf is not None and at >= leaf.not_after:
        return f"ended at {leaf.not_after:%Y-%m-%d}"
    if not inventory.kept[0].applicable:
        return "not applicable: it names no OCSP responder"
    return ""


def _read(row: _Row) -> Inventory:
    return read_inventory([_files(row)])


def _files(row: _Row) -> CertificateFiles:
    issuer = _issuer(row)
    return CertificateFiles(
        chain=str(row.path),
        name=_name(row) or None,
        issuer=None if issuer is None else str(issuer),
    )


def _names(rows: Iterable[_Row]) -> dict[Path, str]:
    """What the keeper will call each file's certificate."""
    every = list(rows)
    together = read_inventory(map(_files, every)).kept
    by_key = {kept.subject.certid.key: kept.name for kept in together}
    return {row.path: by_key[kept.subject.certid.key] for row in every for kept in _read(row).kept}


def _name(row: _Row) -> str:
    """HAProxy's files are found by the certificate's name."""
    return row.path.name.removesuffix(".pem") if row.by("haproxy") else ""


def _issuer(row: _Row) -> Path | None:
    return next((one.chain_file for one in row.found if one.chain_file is not None), None)


def _certificate(row: _Row, used: dict[str, list[str]], called: dict[Path, str]) -> Iterator[str]:
    name, servers = _name(row), []
    if name:
        crt = str(row.path.with_name("{name}" + row.path.name[len(name) :]))
        servers.append(_server(used, "haproxy", ['kind = "haproxy"', f"crt = {json.dumps(crt)}"]))
    nginx = row.by("nginx")
    if nginx is not None and not nginx.beside:
        included = f"{INCLUDES}/{file_name(called.get(row.path, 'NAME'))}.conf"
        yield f"# nginx: add `include {included}*;` beside its ssl_certificate"
        include = json.dumps(f"{INCLUDES}/{{name}}.conf")
        servers.append(_server(used, "nginx", ['kind = "nginx"', f"include = {include}"]))
    elif nginx is not None:
        yield "# nginx: its server block has several certificates: there it asks the keeper, by"
        yield f"# ssl_stapling on; ssl_stapling_responder http://{RELAY}/ocsp;"
        servers.append(_server(used, "nginx-relay", ['kind = "nginx-relay"']))
    if row.by("apache"):
        yield "# Apache: SSLUseStapling on, SSLStaplingForceURL http://" + RELAY + "/ocsp"
        servers.append(_server(used, "apache", ['kind = "apache"']))
    yield "[[certificate]]"
    if name:
        yield f"name = {json.dumps(name)}"
    yield f"chain = {json.dumps(str(row.path.absolute()))}"
    issuer = _issuer(row)
    if issuer is not None:
        yield f"issuer = {json.dumps(str(issuer.absolute()))}"
    yield f"servers = {json.dumps(servers)}"


def _server(used: dict[str, list[str]], kind: str, lines: list[str]) -> str:
    """The name of the server with `lines`, which is made if there is none."""
    name, number = kind, 1
    while used.get(name, lines) != lines:
        number += 1
        name = f"{kind}-{number}"
    used[name] = lines
    return name
