"""nginx's TLS sites: the server blocks that take TLS connections, and what holds in them.

Laws: pure; inheritance is nginx's: what a block says itself replaces what is said above it. A
listening address speaks TLS when one of the blocks that listen there says `ssl`, for the option is
the address's. Source: ngx_http_core_listen, ngx_http_ssl_module, ngx_parse_url.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.conf.nginx_reading import Block, Reading, Statement

HTTP = 80
STAPLING = (
    "ssl_stapling",
    "ssl_stapling_file",
    "ssl_stapling_responder",
    "ssl_stapling_verify",
)
KEEPER_INCLUDE = ".conf*"  # how the include of a keeper's file ends
LABEL = "holdfast"  # stands for the star of a server name; no site is called so
LOOPBACK = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """One `listen`. `host` is "*", an address without brackets, or a name; "" for a socket file."""

    host: str
    port: int
    tls: bool = False
    default: bool = False
    proxy_protocol: bool = False
    statement: Statement | None = None

    @property
    def key(self) -> tuple[str, int]:
        return LOOPBACK.get(self.host, self.host), self.port


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Server:
    """A server block that speaks TLS. `listens`: those of its addresses that speak it. `default`:
    the first to be asked at one of them."""

    block: Block
    listens: tuple[Listen, ...]
    names: tuple[str, ...]
    default: bool

    @property
    def certificates(self) -> tuple[Statement, ...]:
        """Its `ssl_certificate`s, its own or from above."""
        return self.block.effective("ssl_certificate")

    @property
    def verifies_clients(self) -> bool:
        """Whether a trust anchor put here could let a client in."""
        return self.block.value("ssl_verify_client") not in ("", "off")

    @property
    def trust_files(self) -> tuple[str, ...]:
        """The files whose certificates nginx verifies with here."""
        names = ["ssl_trusted_certificate"]
        if self.verifies_clients:  # not loaded otherwise
            names.append("ssl_client_certificate")
        return tuple(filter(None, (self.block.value(name) for name in names)))

    @property
    def on(self) -> bool:
        return self.block.value("ssl_stapling") == "on"

    @property
    def verified(self) -> bool:
        return self.block.value("ssl_stapling_verify") == "on"

    @property
    def asked_name(self) -> str | None:
        """A name that leads a client here; None where only the address does."""
        for name in self.names:
            if name and name != "_" and not name.startswith("~") and "*" not in name:
                return name.removeprefix(".")
        for name in self.names:
            if name.startswith("*."):
                return LABEL + name[1:]
            if name.endswith(".*"):
                return f"{name[:-1]}{LABEL}"
        return None

    @property
    def title(self) -> str:
        """What people call it."""
        for name in self.names:
            if name and name != "_":
                return name.removeprefix(".") if not name.startswith("~") else name
        host, port = (self.listens[0].host, self.listens[0].port) if self.listens else ("*", 443)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def keeper_includes(self, folder: str) -> tuple[Statement, ...]:
        """The includes of a keeper's files, which lie in `folder`."""
        return tuple(
            one
            for one in self.block.all("include")
            if one.args and (name_in_keeper_include(one.args[0], folder) is not None)
        )


def name_in_keeper_include(pattern: str, folder: str) -> str | None:
    """The certificate's name in `<folder>/<name>.conf*`."""
    place, _, last = pattern.rpartition("/")
    if place != folder or not last.endswith(KEEPER_INCLUDE):
        return None
    return last.removesuffix(KEEPER_INCLUDE)


def tls_servers(reading: Reading) -> tuple[Server, ...]:
    """The TLS sites of the `http` block, in the order of the configuration."""
    blocks = [
        block
        for block in reading.blocks("server")
        if block.outer is not None and block.outer.path == ("main", "http")
    ]
    listens = {block: _listens(block) for block in blocks}
    tls: set[tuple[str, int]] = set()
    first: dict[tuple[str, int], Block] = {}
    said: dict[tuple[str, int], Block] = {}
    for block in blocks:
        for one in listens[block]:
            first.setdefault(one.key, block)
            if one.default:
                said.setdefault(one.key, block)
            if one.tls:
                tls.add(one.key)
    servers = []
    for block in blocks:
        mine = tuple(one for one in listens[block] if one.key in tls)
        if mine:
            default = any(said.get(one.key, first[one.key]) is block for one in mine)
            names = tuple(name for one in block.all("server_name") for name in one.args)
            servers.append(Server(block=block, listens=mine, names=names, default=default))
    return tuple(servers)


def _listens(block: Block) -> tuple[Listen, ...]:
    always = block.value("ssl") == "on"  # until 1.25.1
    found = [_listen(one, always) for one in block.all("listen") if one.args]
    return tuple(found) or (Listen(host="*", port=HTTP, tls=always),)


def _listen(statement: Statement, always: bool) -> Listen:
    address, *options = statement.args
    host, port = _address(address)
    return Listen(
        host=host,
        port=port,
        tls=always or "ssl" in options,
        default="default_server" in options or "default" in options,
        proxy_protocol="proxy_protocol" in options,
        statement=statement,
    )


def _address(text: str) -> tuple[str, int]:
    if text.startswith("unix:"):
        return "", 0
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host, _port(port.removeprefix(":"))
    host, colon, port = text.rpartition(":")
    if colon:
        return host, _port(port)
    return ("*", int(text)) if text.isascii() and text.isdigit() else (text, HTTP)


def _port(text: str) -> int:
    text = text.partition("-")[0]  # a range: its first
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else HTTP
