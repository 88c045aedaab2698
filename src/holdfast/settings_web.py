"""[web]: the keys of `holdfast web`, and what must fit together in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any

from msgspec import Meta, Struct, structs

from holdfast.errors import HoldfastError, OperatorError
from holdfast.net.proxy_protocol import networks
from holdfast.toml_places import Step

Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Wrong = Callable[[tuple[Step, ...], str, str], OperatorError]

MIN_TOKEN = 16  # characters; what can be guessed is no token


class WebLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[web.limits]: what one check may cost, and what a client may ask for."""

    checks: Annotated[Count, Meta(description="under way at once")] = 8
    waiting: Annotated[Count, Meta(description="that wait for their turn")] = 32
    check: Annotated[timedelta, Meta(description="for one check, all of it")] = timedelta(
        seconds=60
    )
    handshake: Annotated[timedelta, Meta(description="for a handshake, or one HTTP answer")] = (
        timedelta(seconds=8)
    )
    handshakes: Annotated[
        Annotated[int, Meta(ge=1, le=10)],
        Meta(description="for each address, TLS version and kind of key"),
    ] = 2
    fetched_kib: Annotated[Count, Meta(description="of CRLs and issuers, for one check")] = 16_384
    fresh: Annotated[
        timedelta, Meta(description="a target that was checked within this is not asked again")
    ] = timedelta(seconds=15)
    per_client: Annotated[Count, Meta(description="checks of one client address in a minute")] = 12
    pages: Annotated[Count, Meta(description="requests of one client address in a minute")] = 600
    connections: Annotated[Count, Meta(description="open ones of one client address")] = 32
    all_connections: Annotated[Count, Meta(description="open ones in all")] = 2_000
    history: Annotated[Count, Meta(description="checks that are remembered in all")] = 10_000
    history_mib: Annotated[Count, Meta(description="that these take, compressed")] = 64
    host_history: Annotated[Count, Meta(description="checks that are remembered of one host")] = 200


class WebTable(Struct, frozen=True, kw_only=True):
    """[web]: the checker and the keeper's inventory as web pages."""

    listen: Annotated[str, Meta(description="host:port; port 0 takes a free one")] = (
        "127.0.0.1:8480"
    )
    allow_private_targets: Annotated[
        bool, Meta(description="look at private and loopback addresses too, for anybody who asks")
    ] = False
    token: Annotated[
        str, Meta(description="who has it may refresh staples; empty: who is on this machine")
    ] = ""
    keeper: Annotated[
        str, Meta(description="state folder of the keeper whose inventory is shown; empty: none")
    ] = ""
    state: Annotated[
        str, Meta(description="folder for the history; empty: it is forgotten at the end")
    ] = ""
    ca_file: Annotated[
        str, Meta(description="the roots to trust, instead of the system's; empty: the system's")
    ] = ""
    trust_forwarded: Annotated[
        list[str],
        Meta(description="networks of reverse proxies in front, whose X-Forwarded-For is believed"),
    ] = []
    limits: WebLimits = WebLimits()


def inner_tables(document: Mapping[str, Any]) -> Iterator[tuple[tuple[Step, ...], Any, list[str]]]:
    """(path, table, its known keys) of each table within [web]."""
    table = document.get("web")
    if isinstance(table, dict) and "limits" in table:
        yield ("web", "limits"), table["limits"], [f.name for f in structs.fields(WebLimits)]


def inner_durations(document: Mapping[str, Any]) -> Iterator[tuple[tuple[Step, ...], Any]]:
    """(path, value) of each duration in [web.limits]."""
    defaults = structs.asdict(WebLimits())
    for path, table, _ in inner_tables(document):
        for name, default in defaults.items():
            if isinstance(table, dict) and isinstance(default, timedelta) and name in table:
                yield (*path, name), table[name]


def refuse_inconsistent(
    table: WebTable, wrong: Wrong, parse_address: Callable[[str], object]
) -> None:
    """Raise what `wrong(path, problem, hint)` makes, for the first thing that cannot be."""
    if parse_address(table.listen) is None:
        problem = f"listen: {table.listen!r} is not an address"
        raise wrong(("web", "listen"), problem, 'write "127.0.0.1:8480"')
    if table.token and (len(table.token) < MIN_TOKEN or not table.token.isascii()):
        problem = f"token: shorter than {MIN_TOKEN} characters, or not plain ASCII"
        raise wrong(("web", "token"), problem, "`openssl rand -hex 16` makes a good one")
    try:
        networks(table.trust_forwarded)
    except HoldfastError as error:
        problem = f"trust_forwarded: {error.message}"
        raise wrong(("web", "trust_forwarded"), problem, error.hint) from error


def placed_web(table: WebTable, placed: Callable[[str], str]) -> WebTable:
    """`table` with every relative path made absolute by `placed`."""
    return structs.replace(
        table, **{key: placed(getattr(table, key)) for key in ("keeper", "state", "ca_file")}
    )
