"""Setup's object graph: which server, how the network is asked, where the record is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, assert_never

from holdfast.errors import HoldfastError, OperatorError
from holdfast.net.clock import SystemClock
from holdfast.net.http_client import Http
from holdfast.ocsp.certid import Subject
from holdfast.pki.certificate import Certificate
from holdfast.seams import Clock
from holdfast.services.control_client import ask
from holdfast.settings import parse_address, read_settings
from holdfast.setup.chains import Chains, certificates_from, chains_of
from holdfast.setup.kind import ServerKind
from holdfast.setup.plan import Step, Tell
from holdfast.setup.reach import Reached, reach_any
from holdfast.setup.run import Setup
from holdfast.setup.transaction import Transactions, folder_of
from holdfast.setup.words import Keeper, Place, Site

KindName = Literal["apache", "nginx", "haproxy"]
KEEPER_ANSWERS = 60.0  # seconds: it reads its certificates and waits for its servers


@dataclass(slots=True, kw_only=True)
class NetworkAsks:
    """Implements `Asks`: files, AIA and the responders, each asked once."""

    http: Http | None
    clock: Clock
    given: tuple[Certificate, ...] = ()
    proxy: str | None = None
    timeout: float = 10.0
    _chains: dict[Site, Chains] = field(default_factory=dict, init=False)
    _reached: dict[str, Reached | None] = field(default_factory=dict, init=False)

    async def chains(self, site: Site, /) -> Chains:
        if site not in self._chains:
            self._chains[site] = await chains_of(
                site, self.http, at=self.clock.now(), given=self.given
            )
        return self._chains[site]

    async def reach(self, subject: Subject, place: Place, /) -> Reached | None:
        key = subject.certid.key
        if key not in self._reached:
            self._reached[key] = await reach_any(
                subject.responder_urls,
                subject,
                at=self.clock.now(),
                place=place,
                proxy=self.proxy,
                timeout=self.timeout,
            )
        return self._reached[key]


def keeper_at(state: Path, settings: Path | None) -> Keeper | None:
    """The keeper that runs on the folder `state`; None when none does. `settings` is its file."""
    try:
        ask(state, {"do": "status"}, timeout=KEEPER_ANSWERS)
    except HoldfastError:
        return None
    listen = None
    if settings is not None and settings.exists():
        listen = parse_address(read_settings(settings).keeper.listen)
    return Keeper(settings=settings, state=state, listen=listen)


def tell(state: Path) -> Tell:
    """Has the keeper of `state` read its settings again."""

    async def told() -> None:
        await asyncio.to_thread(ask, state, {"do": "reload"}, timeout=KEEPER_ANSWERS)

    return told


@asynccontextmanager
async def setup_of(
    kind: ServerKind,
    *,
    state: Path,
    config: str = "",
    issuer_files: Sequence[str] = (),
    proxy: str | None = None,
    timeout: float = 10.0,
    keeper: Keeper | None = None,
    clock: Clock | None = None,
    on_step: Step = lambda name, about: None,
    within: float | None = None,
) -> AsyncIterator[Setup]:
    """Setup of `kind`, ready to run."""
    clock = clock or SystemClock()
    given = certificates_from(issuer_files)
    async with Http(proxy=proxy, timeout=timeout) as http:
        yield Setup(
            kind=kind,
            asks=NetworkAsks(http=http, clock=clock, given=given, proxy=proxy, timeout=timeout),
            transactions=Transactions(folder_of(state, kind.name, config=config)),
            clock=clock,
            tell_keeper=None if keeper is None else tell(keeper.state),
            on_step=on_step,
            within=within,
        )


def kind_of(
    name: KindName,
    *,
    config: Path | None = None,
    program: str | None = None,
    pid_file: Path | None = None,
    roots: Sequence[str] = (),
) -> ServerKind:
    """The kind of server called `name`; `config` is its main file. `roots`: files where roots of
    its certificates may be, besides the system's."""
    if config is not None and not config.is_file():
        raise OperatorError(f"{config}: there is no such file", hint="give the server's main file")
    match name:
        case "nginx":
            from holdfast.setup.nginx import PROGRAM, ROOTS, Nginx

            return Nginx(
                config=config,
                program=program or PROGRAM,
                pid_file=pid_file,
                roots=[*map(Path, roots), *ROOTS],
            )
        case "apache":
            from holdfast.setup.apache import Apache

            return Apache(config=config, program=program or "", pid_file=pid_file)
        case "haproxy":
            from holdfast.setup.haproxy import CONFIG, PROGRAM, HAProxy

            return HAProxy(
                configs=(config or CONFIG,), program=program or PROGRAM, pid_file=pid_file
            )
        case _:
            assert_never(name)
