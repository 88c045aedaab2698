"""The proxy's objects put together: certificates and keys from files, the shelf, what fills it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path

from holdfast.errors import OperatorError
from holdfast.net.clock import SystemClock
from holdfast.net.files import read_bounded, warn_unless_private
from holdfast.net.http_client import Http
from holdfast.net.proxy_protocol import networks
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import Revoked
from holdfast.pki import keys, pem
from holdfast.pki.chain import order
from holdfast.pki.kind import Kind
from holdfast.plan.entry import Entry
from holdfast.seams import Clock, Source, Store
from holdfast.servers.shelf import OnRevoked, Shelf
from holdfast.services.follower import Follower
from holdfast.services.inventory import Kept
from holdfast.services.keeper import Keeper
from holdfast.services.proxy import Deadlines, Limits, OnEvent, Passing, Proxy, Upstream
from holdfast.settings_proxy import ProxyTable
from holdfast.sources.http import HttpSource
from holdfast.sources.layered import Limited, Shared
from holdfast.stores.files import FOLDER, FileStore
from holdfast.stores.memory import MemoryStore
from holdfast.tls.server import Identity, ServerTLS

TICKET_KEYS = 12 * 3600.0  # seconds; sessions end with them, clients then see the staple anew
FIRST_STAPLES = 5.0  # seconds that a start or a reload waits for staples, then it serves without


def stand_of(table: ProxyTable, *, on_event: OnEvent) -> Stand:
    """The proxy that `table` describes."""
    limits = table.limits
    seconds = {
        field.name: getattr(limits, field.name).total_seconds() for field in fields(Deadlines)
    }
    passing = Passing(
        mode=table.mode,
        proxy_protocol=table.proxy_protocol or None,
        headers_from=networks(table.accept_proxy_protocol),
        trust_forwarded=networks(table.trust_forwarded),
        deadlines=Deadlines(**seconds),
        limits=Limits(**{field.name: getattr(limits, field.name) for field in fields(Limits)}),
    )
    upstream = Upstream.parse(table.upstream) if table.upstream else None
    if upstream is not None and upstream.scheme == "tcp" and table.mode == "http":
        raise OperatorError(
            f"{table.upstream}: http mode needs an http upstream", hint="write it as http://..."
        )
    return Stand(
        files=Files(
            certificates=tuple(one.chain for one in table.certificates),
            keys=tuple(one.key or one.chain for one in table.certificates),
            passphrase=table.key_passphrase_file or None,
        ),
        upstream=upstream,
        passing=passing,
        alpn=tuple(table.alpn),
        on_revoked=table.on_revoked,
        serve_unstapled=table.serve_unstapled,
        on_event=on_event,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Where the certificates and keys are; `passphrase` is a file whose first line opens the keys.

    A certificate file may hold its own key; with no `keys` at all, each must.
    """

    certificates: tuple[str, ...]
    keys: tuple[str, ...] = ()
    passphrase: str | None = None

    def load(self) -> list[Identity]:
        """Read everything anew; `OperatorError` names the file that does not fit."""
        if self.keys and len(self.keys) != len(self.certificates):
            raise OperatorError(
                f"{len(self.certificates)} certificates and {len(self.keys)} keys",
                hint="give one --key for each --cert, in the same order",
            )
        opener = None
        if self.passphrase is not None:
            opener = keys.passphrase_of(read_bounded(self.passphrase, 4096))
        places = self.keys or self.certificates
        return [
            _identity(certificate, key, opener)
            for certificate, key in zip(self.certificates, places, strict=True)
        ]


def _identity(certificate: str, key: str, passphrase: bytes | None) -> Identity:
    chain = order(pem.certificates(read_bounded(certificate), name=certificate)).certificates
    data = read_bounded(key)
    if key == certificate and not _holds_key(data, key):
        raise OperatorError(
            f"{certificate}: holds no private key", hint="give the key's file with --key"
        )
    warn_unless_private(key)
    private = keys.load(data, passphrase=passphrase, name=key)
    if not keys.fits(private, chain[0]):
        raise OperatorError(
            f"{key}: the key ({keys.describe(private)}) does not belong to the certificate in"
            f" {certificate} ({chain[0].subject}, {chain[0].key_type})",
            hint="give the key that was made for this certificate, in the same order as the --cert",
        )
    return Identity(chain, key=private)


def _holds_key(data: bytes, name: str) -> bool:
    blocks = pem.decode(data, name=name)
    return any(b.kind in (Kind.PRIVATE_KEY, Kind.ENCRYPTED_KEY) for b in blocks)


def subjects_of(identities: Sequence[Identity]) -> list[Subject]:
    """What staples are wanted for: certificates that name a responder and came with an issuer."""
    subjects = []
    for identity in identities:
        issuer = order(identity.chain).issuer
        if issuer is not None and identity.leaf.responder_urls:
            subjects.append(Subject.of(identity.leaf, issuer))
    return subjects


def unstapled(identity: Identity) -> str:
    """Why no staple can be had for `identity`; "" when one can."""
    if not identity.leaf.responder_urls:
        return "no staple: the certificate names no OCSP responder"
    if order(identity.chain).issuer is None:
        return "no staple: the issuer's certificate is not in the file"
    return ""


@dataclass(slots=True, kw_only=True)
class Stand:
    """A proxy, its shelf and its clock."""

    files: Files
    upstream: Upstream | None = None
    passing: Passing = field(default_factory=Passing)
    alpn: tuple[str, ...] = ("http/1.1",)
    on_revoked: OnRevoked = "staple"
    serve_unstapled: bool = False
    clock: Clock = field(default_factory=SystemClock)
    on_event: OnEvent = lambda name, facts: None
    shelf: Shelf = field(init=False)
    tls: ServerTLS = field(init=False)
    proxy: Proxy = field(init=False)
    _feeder: _Own | _Followed | None = field(init=False, default=None)
    _wanted: list[Subject] = field(init=False, default_factory=list)
    _dropping: asyncio.Task[None] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.shelf = _ProxyShelf(self._revoked, on_revoked=self.on_revoked)
        shelf, clock = self.shelf, self.clock
        self.tls = ServerTLS(
            self.files.load(),
            staple_for=lambda leaf: shelf.lookup(leaf, clock.now()),
            alpn=self.alpn,
            serve_unstapled=self.serve_unstapled,
        )
        self.proxy = Proxy(
            self.tls,
            held=shelf.held,
            clock=clock,
            upstream=self.upstream,
            passing=self.passing,
            on_event=self.on_event,
        )

    @property
    def subjects(self) -> list[Subject]:
        return subjects_of(self.tls.identities)

    def _revoked(self, staple: Staple) -> None:
        """No session goes on that was begun while the certificate was good (T5)."""
        self.tls.forget_sessions()
        self.on_event("revoked", {"certificate": staple.subject.name, "sessions": "forgotten"})

    async def reload(self) -> None:
        """Read the files again and serve them once their staples are there, or cannot be had now
        (K18); on an error nothing changes.

        Staples of what is served no more stay while a handshake with it can be under way (T6).
        """
        identities = self.files.load()
        await self._stop_dropping()
        wanted = {one.certid.key: one for one in [*self._wanted, *subjects_of(identities)]}
        if self._feeder is not None:
            await self._feeder.prepare(list(wanted.values()))
        self._wanted = list(wanted.values())
        self.tls.reload(identities)
        self._dropping = asyncio.create_task(self._drop_the_old())

    async def _stop_dropping(self) -> None:
        if self._dropping is not None:
            await _ended(self._dropping)

    async def _drop_the_old(self) -> None:
        await asyncio.sleep(self.passing.deadlines.handshake)
        self._wanted = self.subjects
        if self._feeder is not None:
            await self._feeder.prepare(self._wanted)

    def rows(self) -> list[dict[str, object]]:
        """One certificate each: what is served, and where its staple stands, in words."""
        rows: list[dict[str, object]] = []
        for identity in self.tls.identities:
            leaf = identity.leaf
            staple = self.shelf.held(leaf.der)
            sent = bool(self.tls.staple_for(leaf.der))
            told = unstapled(identity) or "no staple yet"
            if staple is not None:
                told = f"staple {staple.certificate_status.text}{'' if sent else ', not sent'}"
            rows.append(
                {
                    "name": leaf.names[0] if leaf.names else leaf.subject,
                    "serial": f"{leaf.serial:x}",
                    "key_type": leaf.key_type,
                    "stapled": sent,
                    "staple": told,
                }
            )
        return rows

    @asynccontextmanager
    async def kept(
        self,
        keeper: str | os.PathLike[str] | None,
        *,
        state: str | os.PathLike[str] | None = None,
    ) -> AsyncIterator[None]:
        """Staples are kept during the block: by the keeper whose state folder is `keeper`, or here,
        in the folder `state` or, without one, in memory.

        When it begins, the first ones are there, or cannot be had now (K1).
        """
        async with AsyncExitStack() as stack:
            feeder: _Own | _Followed
            if keeper is None:
                source = HttpSource(await stack.enter_async_context(Http()))
                store = MemoryStore() if state is None else FileStore(Path(state) / FOLDER)
                feeder = _Own(self.shelf, self.clock, Shared(Limited(source)), store)
            else:
                feeder = _Followed(self._follower(Path(keeper)))
            self._feeder = feeder
            self._wanted = self.subjects
            await feeder.prepare(self._wanted, running=stack)
            renewing = asyncio.create_task(self._renew_ticket_keys())
            stack.push_async_callback(_ended, renewing)
            stack.push_async_callback(self._stop_dropping)
            yield

    async def _renew_ticket_keys(self) -> None:
        """So that a key that leaks later opens little (RFC 9325 3.4)."""
        while True:
            await asyncio.sleep(TICKET_KEYS)
            self.tls.forget_sessions()

    def _follower(self, folder: Path) -> Follower:
        if not folder.is_dir():
            raise OperatorError(
                f"{folder}: there is no such state folder",
                hint="give the keeper's `state` setting; `holdfast keep` makes it when it starts",
            )
        return Follower(
            self.subjects,
            store=FileStore(folder / FOLDER),
            server=self.shelf,
            clock=self.clock,
            on_event=self.on_event,
        )


class _ProxyShelf(Shelf):
    """A shelf that says when it hears of a revocation."""

    def __init__(self, revoked: Callable[[Staple], None], *, on_revoked: OnRevoked) -> None:
        super().__init__(on_revoked=on_revoked)
        self._revoked = revoked
        self._bad: set[str] = set()

    async def deliver(self, staple: Staple, /) -> None:
        await super().deliver(staple)
        key = staple.certid.key
        if not isinstance(staple.certificate_status, Revoked):
            self._bad.discard(key)
        elif key not in self._bad:
            self._bad.add(key)
            self._revoked(staple)


class _Own:
    """A keeper inside the proxy: its one server is the shelf."""

    def __init__(self, shelf: Shelf, clock: Clock, source: Source, store: Store) -> None:
        self._shelf = shelf
        self._keeper = Keeper(
            (), source=source, store=store, clock=clock, servers={shelf.name: shelf}
        )

    async def prepare(
        self, subjects: Sequence[Subject], *, running: AsyncExitStack | None = None
    ) -> None:
        """Keep `subjects`; return when each has its staple or has failed to get one."""
        await self._keeper.adopt(self._kept(subject) for subject in subjects)
        if running is not None:
            running.push_async_callback(_ended, asyncio.create_task(self._keeper.run()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_STAPLES):
                while not all(map(self._tried, self._keeper.entries)):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

    def _tried(self, entry: Entry) -> bool:
        return entry.failures > 0 or entry.retired or self._keeper.is_settled(entry)

    def _kept(self, subject: Subject) -> Kept:
        # The serial's end tells RSA from ECDSA and old from new: they are kept side by side
        name = f"{subject.name}/{subject.serial & 0xFFFFFFFF:08x}"
        return Kept.of(subject, name=name, servers=(self._shelf.name,))


class _Followed:
    """Another process's keeper."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    async def prepare(
        self, subjects: Sequence[Subject], *, running: AsyncExitStack | None = None
    ) -> None:
        """Look for `subjects` now, and from now on."""
        self._follower.keep(subjects)
        await self._follower.look()
        if running is not None:
            running.push_async_callback(_ended, asyncio.create_task(self._follower.run()))


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel `task` and wait for its end; a bug in it comes out here."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
