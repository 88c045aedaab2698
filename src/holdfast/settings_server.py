"""`[[server]]`: one table for every kind, and which of its keys each kind reads.

Law: what a kind does not read is refused there, so that no key is written in vain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Literal

from msgspec import Meta, Struct

HAPROXY_SOCKET = "/run/haproxy/admin.sock"  # Debian's


class ServerTable(Struct, frozen=True, kw_only=True):
    """[[server]]: who is given staples."""

    name: Annotated[str, Meta(min_length=1, description="what certificates call it")]
    kind: Annotated[
        str,
        Meta(
            description="files, command, nginx, nginx-relay, apache (mod_ssl), apache-md (mod_md), "
            "haproxy, lighttpd, hitch, exim, envoy (files by another name), h2o or proxy (nothing "
            "to do: they read the state folder)"
        ),
    ]
    file: Annotated[str, Meta(description="where: {name}, {serial} and {key} are filled in")] = ""
    encoding: Annotated[Literal["der", "base64", "pem"], Meta(description="of the file")] = "der"
    mode: Annotated[str, Meta(pattern="^[0-7]{3,4}$", description="of the file")] = "0644"
    run: Annotated[
        list[str],
        Meta(description="command: after writing, words; {staple_file}, {name}, {action}"),
    ] = []
    run_on_withdraw: Annotated[
        list[str] | None, Meta(description="command: after removing; unset: the same as run")
    ] = None
    crt: Annotated[
        str,
        Meta(description="haproxy: the certificate as its configuration has it; as file is filled"),
    ] = ""
    sockets: Annotated[
        list[str],
        Meta(
            description="haproxy: the admin socket of every process, a path or host:port; empty: "
            f"{HAPROXY_SOCKET}"
        ),
    ] = []
    include: Annotated[
        str,
        Meta(description="nginx: the file that its server block includes; as file is filled"),
    ] = ""
    cache_timeout: Annotated[
        timedelta, Meta(description="apache: its SSLStaplingStandardCacheTimeout")
    ] = timedelta(seconds=20)
    store: Annotated[str, Meta(description="apache-md: its MDStoreDir; empty: /etc/apache2/md")] = (
        ""
    )
    program: Annotated[
        str, Meta(description="apache-md, nginx, hitch, lighttpd: the program; empty: by its name")
    ] = ""
    config: Annotated[
        str, Meta(description="nginx, hitch, lighttpd: its configuration; empty: the usual")
    ] = ""
    prefix: Annotated[str, Meta(description="nginx: its prefix, as by -p; empty: its own")] = ""
    pid_file: Annotated[
        str,
        Meta(description="apache-md, nginx, hitch, lighttpd: empty: the configuration's or usual"),
    ] = ""
    test: Annotated[
        list[str], Meta(description="instead of the program's own test of its configuration: words")
    ] = []
    reload: Annotated[list[str], Meta(description="instead of the signal: words")] = []
    deadline: Annotated[
        timedelta, Meta(description="for each command, and for a reload to be in force")
    ] = timedelta(seconds=30)
    prove: Annotated[
        str, Meta(description="host:port where a real handshake must show the staple")
    ] = ""


@dataclass(frozen=True, slots=True)
class ServerKind:
    """The keys that a kind reads beside name, kind and prove; those it needs, with a hint.

    `asks`: it asks the keeper's relay, which must listen.
    """

    says: str
    keys: tuple[str, ...] = ()
    needs: Mapping[str, str] = field(default_factory=dict)
    asks: bool = False


_FILE = ("file", "encoding", "mode")
_RELOADED = ("program", "config", "pid_file", "test", "reload", "deadline")
_NEEDS_FILE = {"file": 'add file = "/etc/ssl/{name}.ocsp"'}

KINDS: dict[str, ServerKind] = {
    "files": ServerKind("written", _FILE, _NEEDS_FILE),
    "command": ServerKind(
        "written, then run",
        (*_FILE, "run", "run_on_withdraw", "deadline"),
        {**_NEEDS_FILE, "run": 'add run = ["systemctl", "reload", "..."]'},
    ),
    "nginx": ServerKind(
        "an include file, then reload",
        ("include", "file", "prefix", *_RELOADED),
        {
            "include": 'add include = "/etc/nginx/holdfast/{name}.conf", and '
            "`include /etc/nginx/holdfast/NAME.conf*;` to the server block"
        },
    ),
    "nginx-relay": ServerKind(
        "ssl_stapling_responder asks the relay: for blocks with several certificates",
        ("program", "pid_file", "reload", "deadline"),
        asks=True,
    ),
    "apache": ServerKind("mod_ssl asks the relay", ("cache_timeout",), asks=True),
    "apache-md": ServerKind(
        "mod_md's store, then a graceful restart",
        ("store", "file", "program", "pid_file", "test", "reload", "deadline"),
        asks=True,
    ),
    "haproxy": ServerKind(
        ".ocsp files and sockets",
        ("crt", "sockets"),
        {"crt": 'add crt = "/etc/haproxy/certs/{name}.pem", as `bind ... ssl crt` has it'},
    ),
    "lighttpd": ServerKind(
        "its ssl.stapling-file, then a graceful restart",
        ("file", *_RELOADED),
        {"file": 'add file = "/etc/ssl/{name}.ocsp", as ssl.stapling-file has it'},
    ),
    "hitch": ServerKind(
        "its ocsp-resp-file, then reload",
        ("file", *_RELOADED),
        {"file": 'add file = "/etc/hitch/{name}.ocsp", as ocsp-resp-file has it'},
    ),
    "exim": ServerKind("its tls_ocsp_file", _FILE, _NEEDS_FILE),
    "envoy": ServerKind("its ocsp_staple file", _FILE, _NEEDS_FILE),
    "h2o": ServerKind("asks by `holdfast staple`"),
    "proxy": ServerKind("reads the state folder"),
}


def keys_of(kind: str) -> tuple[str, ...] | None:
    """What a `[[server]]` of `kind` may say; None when there is no such kind."""
    known = KINDS.get(kind)
    return None if known is None else ("name", "kind", "prove", *known.keys)


PLACES_OF_FILES = ("file", "crt", "include", "config", "prefix", "pid_file", "store")
COMMANDS = ("run", "run_on_withdraw", "test", "reload")
