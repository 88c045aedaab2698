"""Settings -> the servers that are given staples, and where their files lie."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from holdfast.errors import HoldfastError, OperatorError
from holdfast.net.clock import SystemClock
from holdfast.ocsp.certid import CertID
from holdfast.plan.reloading import USUAL_PACE, Pace
from holdfast.seams import Clock, StapledServer
from holdfast.servers import apache_md
from holdfast.servers.apache import ApacheServer
from holdfast.servers.apache_md import ApacheMdServer
from holdfast.servers.command import CommandServer
from holdfast.servers.files import FilesServer
from holdfast.servers.haproxy import HaproxyServer
from holdfast.servers.hitch import hitch_server
from holdfast.servers.lighttpd import lighttpd_server
from holdfast.servers.nginx import nginx_server
from holdfast.servers.nginx_relay import NginxRelayServer
from holdfast.servers.owed import FOLDER as OWED
from holdfast.servers.owed import Owed
from holdfast.servers.relay_shelf import RelayShelf
from holdfast.servers.reloaded import ReloadedServer
from holdfast.services.inventory import Inventory
from holdfast.services.proof import Proof
from holdfast.settings import Settings, parse_address
from holdfast.settings_server import HAPROXY_SOCKET, ServerTable

_log = logging.getLogger("holdfast.keeper")

FedServer = (
    ApacheServer
    | NginxRelayServer
    | ApacheMdServer
    | CommandServer
    | FilesServer
    | HaproxyServer
    | ReloadedServer
)


class Names:
    """What each certificate is called, for the servers' files; filled by the inventory."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def learn(self, inventory: Inventory) -> None:
        self._names |= {kept.key: kept.name for kept in inventory.kept}

    def call(self, certid: CertID, name: str) -> None:
        self._names[certid.key] = name

    def __call__(self, certid: CertID) -> str | None:
        return self._names.get(certid.key)


def server_of(
    table: ServerTable,
    names: Names,
    *,
    clock: Clock | None = None,
    pace: Pace = USUAL_PACE,
    shelf: RelayShelf | None = None,
    state: str | None = None,
) -> FedServer | None:
    """The server of one table; None where there is nothing to do. `shelf`: the relay's, where one
    listens. `state`: the folder where withdrawals that it was not told of are noted."""
    clock = clock or SystemClock()
    shelf = shelf or RelayShelf(clock=clock)
    deadline = table.deadline.total_seconds()
    owed = Owed(table.name, folder=None if state is None else Path(state, OWED))
    match table.kind:
        case "nginx-relay":
            return NginxRelayServer(
                table.name,
                shelf=shelf,
                clock=clock,
                look_at=parse_address(table.prove) if table.prove else None,
                program=table.program,
                pid_file=table.pid_file,
                reload=table.reload,
                deadline=deadline,
            )
        case "apache":
            return ApacheServer(
                table.name, shelf=shelf, clock=clock, cache_timeout=table.cache_timeout
            )
        case "apache-md":
            return ApacheMdServer(
                table.name,
                shelf=shelf,
                clock=clock,
                store=table.store or apache_md.STORE,
                file=table.file,
                name_of=names,
                program=table.program or apache_md.PROGRAM,
                pid_file=table.pid_file or apache_md.PID_FILE,
                test=table.test,
                reload=table.reload,
                deadline=deadline,
                pace=pace,
            )
        case "haproxy":
            return HaproxyServer(
                table.name,
                crt=table.crt,
                sockets=table.sockets or [HAPROXY_SOCKET],
                clock=clock,
                name_of=names,
            )
        case "nginx":
            return nginx_server(
                table.name,
                clock=clock,
                include=table.include,
                file=table.file,
                name_of=names,
                program=table.program,
                config=table.config,
                prefix=table.prefix,
                pid_file=table.pid_file,
                test=table.test,
                reload=table.reload,
                deadline=deadline,
                pace=pace,
            )
        case "lighttpd":
            return lighttpd_server(
                _files(table, names),
                clock=clock,
                program=table.program,
                config=table.config,
                pid_file=table.pid_file,
                test=table.test,
                reload=table.reload,
                look_at=parse_address(table.prove),
                deadline=deadline,
                pace=pace,
                owed=owed,
            )
        case "hitch":
            return hitch_server(
                table.name,
                clock=clock,
                file=table.file,
                name_of=names,
                program=table.program,
                config=table.config,
                pid_file=table.pid_file,
                test=table.test,
                reload=table.reload,
                deadline=deadline,
                pace=pace,
                owed=owed,
            )
        case "files" | "exim" | "envoy":
            return _files(table, names)
        case "command":
            return CommandServer(
                _files(table, names),
                run=table.run,
                run_on_withdraw=table.run_on_withdraw,
                deadline=deadline,
                owed=owed,
            )
        case _:
            return None


def _files(table: ServerTable, names: Names) -> FilesServer:
    return FilesServer(
        table.name,
        file=table.file,
        name_of=names,
        encoding=table.encoding,
        mode=int(table.mode, 8),
    )


def pace_of(settings: Settings) -> Pace:
    return Pace(interval=settings.keeper.reload_interval)


def files_of(server: FedServer) -> FilesServer | None:
    """Where `server`'s staples lie; None where they do not, but are asked for."""
    match server:
        case ApacheServer() | NginxRelayServer():
            return None
        case FilesServer():
            return server
        case _:
            return server.files


def owed_of(server: FedServer) -> Owed | None:
    """The withdrawals that `server` may not have been told of; None where its files tell."""
    return server.owed if isinstance(server, CommandServer | ReloadedServer) else None


def refuse_shared_files(settings: Settings, inventory: Inventory, names: Names) -> None:
    """`OperatorError` when two certificates would be written to one file."""
    for table in settings.server:
        server = server_of(table, names)
        files = None if server is None else files_of(server)
        if files is None:
            continue
        taken: dict[Path, str] = {}
        for kept in inventory.kept:
            if table.name not in kept.servers:
                continue
            path = files.path(kept.subject.certid)
            other = taken.setdefault(path, kept.name)
            if other != kept.name:
                raise OperatorError(
                    f"server {table.name!r}: {other} and {kept.name} share the file {path}",
                    hint='put {name} into its path: file = "/etc/ssl/{name}.ocsp"',
                )


def proof_of(settings: Settings) -> Proof | None:
    places: Mapping[str, tuple[str, int]] = {
        table.name: place
        for table in settings.server
        if table.kind != "nginx-relay"  # it looks itself: nginx may go on with one of before
        and table.prove
        and (place := parse_address(table.prove)) is not None
    }
    return Proof(places) if places else None


def remove_moved(
    before: Mapping[str, StapledServer], now: Mapping[str, StapledServer], inventory: Inventory
) -> None:
    """Where a server's files have moved, take away those in the old place: nobody would refresh
    or withdraw them any more."""
    for name, server in before.items():
        same_name = now.get(name)
        if not isinstance(server, FedServer) or not isinstance(same_name, FedServer):
            continue
        old, new = files_of(server), files_of(same_name)
        if old is None or new is None or old is new:
            continue
        for kept in inventory.kept:
            certid = kept.subject.certid
            if name in kept.servers and not _same(old.path(certid), new.path(certid)):
                try:
                    old.remove(certid)
                except HoldfastError as error:
                    _log.error("reload old-file-left %s", error.message)


def _same(one: Path, other: Path) -> bool:
    """Whether both lead to one file, by whatever links."""
    return os.path.realpath(one) == os.path.realpath(other)
