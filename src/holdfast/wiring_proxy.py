"""The proxy's objects put together: certificates and keys from files, the shelf, what fills it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.errors import OperatorError
from holdfast.net.clock import SystemClock
from holdfast.net.files import read_bounded
from holdfast.net.http_client import Http
from holdfast.ocsp.certid import Subject
from holdfast.pki import keys, pem
from holdfast.pki.chain import order
from holdfast.pki.kind import Kind
from holdfast.seams import Clock
from holdfast.servers.shelf import OnRevoked, Shelf
from holdfast.services.follower import Follower
from holdfast.services.own_staples import OwnStaples
from holdfast.services.proxy import Deadlines, OnEvent, Proxy, Upstream
from holdfast.sources.http import HttpSource
from holdfast.sources.layered import Limited
from holdfast.stores.files import FOLDER, FileStore
from holdfast.tls.server import Identity, ServerTLS

Kept = Callable[[], Awaitable[None]]
"""Returns when the first staples are there, or cannot be had now."""


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
    on_revoked: OnRevoked = "staple"
    deadlines: Deadlines = field(default_factory=Deadlines)
    clock: Clock = field(default_factory=SystemClock)
    on_event: OnEvent = lambda name, facts: None
    shelf: Shelf = field(init=False)
    tls: ServerTLS = field(init=False)
    proxy: Proxy = field(init=False)
    _feeder: OwnStaples | Follower | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.shelf = Shelf(on_revoked=self.on_revoked)
        shelf, clock = self.shelf, self.clock
        self.tls = ServerTLS(
            self.files.load(),
            staple_for=lambda leaf: shelf.lookup(leaf, clock.now()),
            alpn=["http/1.1"],
        )
        self.proxy = Proxy(
            self.tls,
            held=shelf.held,
            clock=clock,
            upstream=self.upstream,
            deadlines=self.deadlines,
            on_event=self.on_event,
        )

    @property
    def subjects(self) -> list[Subject]:
        return subjects_of(self.tls.identities)

    def reload(self) -> None:
        """Read the files again and serve them; on an error nothing changes."""
        self.tls.reload(self.files.load())
        if self._feeder is not None:
            self._feeder.keep(self.subjects)

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
    async def kept(self, state: str | os.PathLike[str] | None) -> AsyncIterator[Kept]:
        """Staples are kept during the block: by a keeper whose state folder is `state`, or here."""
        async with AsyncExitStack() as stack:
            if state is not None:
                self._feeder = self._follower(Path(state))
            else:
                source = HttpSource(await stack.enter_async_context(Http()))
                self._feeder = OwnStaples(
                    self.subjects,
                    source=Limited(source),
                    server=self.shelf,
                    clock=self.clock,
                    on_event=self.on_event,
                )
            running = asyncio.create_task(self._feeder.run())
            stack.push_async_callback(_ended, running)
            yield self._feeder.ready

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


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel `task` and wait for its end; a bug in it comes out here."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
