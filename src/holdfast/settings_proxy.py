"""[proxy]: the keys of `holdfast proxy`, and what must fit together in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, structs

from holdfast.errors import HoldfastError, OperatorError
from holdfast.net.proxy_protocol import networks
from holdfast.toml_places import Step

Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Wrong = Callable[[tuple[Step, ...], str, str], OperatorError]


class ProxyCertificate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of [proxy] certificates."""

    chain: Annotated[str, Meta(description="fullchain.pem")]
    key: Annotated[str, Meta(description="its private key; empty: it is in chain")] = ""


class ProxyLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[proxy.limits]: what a client may cost, and how long it may take."""

    connections: Annotated[Count, Meta(description="in all")] = 10_000
    per_client: Annotated[Count, Meta(description="of one address")] = 2_000
    header_bytes: Annotated[
        Annotated[int, Meta(ge=512, le=1_048_576)],
        Meta(description="of a request's line and headers, in http mode"),
    ] = 32_768
    headers: Annotated[Count, Meta(description="their number, in http mode")] = 100
    body_bytes: Annotated[
        int, Meta(ge=0, description="of a request's body, in http mode; 0: as many as it likes")
    ] = 0
    handshake: Annotated[timedelta, Meta(description="for a TLS handshake")] = timedelta(seconds=10)
    connect: Annotated[timedelta, Meta(description="for reaching the upstream")] = timedelta(
        seconds=5
    )
    idle: Annotated[timedelta, Meta(description="without a byte either way")] = timedelta(minutes=5)
    half_closed: Annotated[
        timedelta, Meta(description="without a byte after one side has ended, in tcp mode")
    ] = timedelta(seconds=30)
    header: Annotated[timedelta, Meta(description="for a request's head, in http mode")] = (
        timedelta(seconds=10)
    )
    body: Annotated[
        timedelta, Meta(description="for each 4 KiB of a request's body, in http mode")
    ] = timedelta(seconds=30)
    response: Annotated[
        timedelta, Meta(description="until the upstream's answer begins, in http mode")
    ] = timedelta(minutes=1)


class ProxyTable(Struct, frozen=True, kw_only=True):
    """[proxy]: TLS with staples in front of a plain server."""

    listen: Annotated[list[str], Meta(description="host:port, each")] = msgspec.field(
        default_factory=lambda: [":443"]
    )
    certificates: Annotated[
        list[ProxyCertificate],
        Meta(description='{ chain = "fullchain.pem", key = "key.pem" }, each'),
    ] = []
    key_passphrase_file: Annotated[
        str, Meta(description="its first line opens the private keys; empty: they are open")
    ] = ""
    upstream: Annotated[
        str, Meta(description="http://host:port or tcp://host:port; empty: a page about staples")
    ] = ""
    mode: Annotated[
        Literal["tcp", "http"],
        Meta(description="tcp passes bytes, http requests with X-Forwarded-For and -Proto"),
    ] = "tcp"
    alpn: Annotated[
        list[str], Meta(description='protocols in order of preference, as ["h2", "http/1.1"]')
    ] = msgspec.field(default_factory=lambda: ["http/1.1"])
    proxy_protocol: Annotated[
        Literal["", "v1", "v2"], Meta(description="what the upstream is told first; empty: nothing")
    ] = ""
    accept_proxy_protocol: Annotated[
        list[str], Meta(description="networks of load balancers in front, which send its header")
    ] = []
    trust_forwarded: Annotated[
        list[str], Meta(description="networks whose X-Forwarded headers are kept, in http mode")
    ] = []
    keeper: Annotated[
        str, Meta(description="state folder of the keeper whose staples to use; empty: own ones")
    ] = ""
    state: Annotated[
        str, Meta(description="folder for own staples, so that a restart has them; empty: none")
    ] = ""
    on_revoked: Annotated[
        Literal["staple", "withhold"], Meta(description="what of a staple that says revoked")
    ] = "staple"
    serve_unstapled: Annotated[
        bool, Meta(description="serve must-staple certificates without a staple too")
    ] = False
    limits: ProxyLimits = ProxyLimits()


INNER: dict[str, type[Struct]] = {"limits": ProxyLimits, "certificates": ProxyCertificate}


def inner_tables(document: Mapping[str, Any]) -> Iterator[tuple[tuple[Step, ...], Any, list[str]]]:
    """(path, table, its known keys) of each table within [proxy]."""
    table = document.get("proxy")
    if not isinstance(table, dict):
        return
    for key, kind in INNER.items():
        known = [field.name for field in structs.fields(kind)]
        content = table.get(key)
        if isinstance(content, list):
            for number, row in enumerate(content):
                yield ("proxy", key, number), row, known
        elif content is not None:
            yield ("proxy", key), content, known


def inner_durations(document: Mapping[str, Any]) -> Iterator[tuple[tuple[Step, ...], Any]]:
    """(path, value) of each duration in [proxy.limits]."""
    names = [field.name for field in structs.fields(ProxyLimits) if field.type is not int]
    durations = [name for name in names if isinstance(getattr(ProxyLimits(), name), timedelta)]
    for path, table, _ in inner_tables(document):
        if path[-1] == "limits" and isinstance(table, dict):
            for name in durations:
                if name in table:
                    yield (*path, name), table[name]


def refuse_inconsistent(
    table: ProxyTable, wrong: Wrong, parse_address: Callable[[str], object]
) -> None:
    """Raise what `wrong(path, problem, hint)` makes, for the first thing that cannot be."""
    for place in table.listen:
        if parse_address(place) is None:
            problem = f"listen: {place!r} is not an address"
            raise wrong(("proxy", "listen"), problem, 'write [":443"] or ["127.0.0.1:8443"]')
    for key in ("accept_proxy_protocol", "trust_forwarded"):
        try:
            networks(getattr(table, key))
        except HoldfastError as error:
            raise wrong(("proxy", key), f"{key}: {error.message}", error.hint) from error
    if table.mode == "http" and any(name != "http/1.1" for name in table.alpn):
        hint = 'leave alpn out, or write mode = "tcp", which passes HTTP/2 through'
        raise wrong(("proxy", "alpn"), "alpn: http mode speaks HTTP/1.1 only", hint)
    for name in table.alpn:
        if not name or len(name) > 255 or not name.isascii():
            raise wrong(("proxy", "alpn"), f"alpn: {name!r} is no protocol", 'as "http/1.1"')
    if table.mode == "http" and not table.upstream:
        hint = 'add upstream = "http://127.0.0.1:8080"'
        raise wrong(("proxy", "mode"), "mode: http without an upstream", hint)
    if table.keeper and table.state:
        hint = "leave state out: the keeper's folder has the staples"
        raise wrong(("proxy", "state"), "state: not beside keeper", hint)


def placed_proxy(table: ProxyTable, placed: Callable[[str], str]) -> ProxyTable:
    """`table` with every relative path made absolute by `placed`."""
    certificates = [
        structs.replace(one, chain=placed(one.chain), key=placed(one.key))
        for one in table.certificates
    ]
    files = {key: placed(getattr(table, key)) for key in ("key_passphrase_file", "keeper", "state")}
    return structs.replace(table, certificates=certificates, **files)
