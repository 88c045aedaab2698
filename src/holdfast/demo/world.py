"""The demo's world: a CA in a folder, its responder, a keeper and a stapling HTTPS server.

Everything is what the commands use, put together in one process on 127.0.0.1; nothing is faked.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from holdfast.errors import OperatorError
from holdfast.net.clock import SystemClock
from holdfast.net.dial import Address
from holdfast.net.http_client import Http
from holdfast.net.http_server import Reply, Request, Server, serve
from holdfast.net.probe import probe
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import RevocationReason
from holdfast.pki import keys, pem
from holdfast.plan.answering import Rules
from holdfast.servers.shelf import Shelf
from holdfast.services.inventory import Kept
from holdfast.services.keeper import Keeper
from holdfast.services.keeper_page import KeeperPage
from holdfast.services.proxy import Proxy
from holdfast.services.responder import Responder
from holdfast.sources.http import HttpSource
from holdfast.sources.layered import Limited, Verified
from holdfast.sources.signing import Signing
from holdfast.stores.authority import AuthorityFolder, Remembered, Wish
from holdfast.stores.files import FOLDER, FileStore
from holdfast.tls.client import Authentication, Version
from holdfast.tls.observation import Observation
from holdfast.tls.server import Identity, ServerTLS

HOST = "127.0.0.1"
NAMES = ("localhost", HOST)
KEY_TYPES: dict[Authentication, str] = {"ecdsa": "ecdsa-p256", "rsa": "rsa-2048"}
VALIDITY = timedelta(minutes=10)  # of the responder's answers: short, so that a refresh is near
CERTIFICATE_LIFETIME = timedelta(days=1)
SERVER = "demo-https"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where to listen; 0 takes a free one."""

    responder: int = 0
    https: int = 0
    page: int = 0

    @classmethod
    def after(cls, base: int | None) -> Ports:
        """`base`, the next and the one after; free ones for None."""
        return cls() if base is None else cls(base, base + 1, base + 2)


@dataclass(slots=True)
class World:
    """What there is so far, in `folder`; what the steps start is ended with `stack`."""

    folder: Path
    ports: Ports
    stack: AsyncExitStack
    clock: SystemClock = field(default_factory=SystemClock)
    ca: AuthorityFolder = field(init=False)
    identities: dict[Authentication, Identity] = field(default_factory=dict)
    subjects: dict[Authentication, Subject] = field(default_factory=dict)
    responder: Responder = field(init=False)
    responder_server: Server = field(init=False)
    responder_port: int = field(init=False)
    keeper: Keeper = field(init=False)
    store: FileStore = field(init=False)
    source: Verified = field(init=False)
    proxy: Proxy = field(init=False)
    page: Server = field(init=False)

    def now(self) -> datetime:
        return self.clock.now()

    @property
    def roots(self) -> Path:
        """The file that clients trust."""
        return self.ca.path / "root.pem"

    @property
    def responder_url(self) -> str:
        return f"http://{HOST}:{self.responder_port}"

    # -- making it -------------------------------------------------------------------------

    async def make_responder_socket(self) -> None:
        """Listen first: the certificates name the port."""
        self.responder_server = await serve(HOST, self.ports.responder, self._asked_responder)
        self.responder_port = self.responder_server.port
        self.stack.push_async_callback(self.responder_server.close, grace=0)

    async def _asked_responder(self, request: Request) -> Reply:
        return await self.responder.handle(request)

    def make_ca(self) -> None:
        """A root, an issuing CA, and the delegated signer that will answer for it."""
        self.ca = AuthorityFolder.create(
            self.folder / "ca",
            name="holdfast demo",
            at=self.now(),
            lifetime=timedelta(days=2),
            intermediate=True,
            remembered=Remembered(responder_urls=(self.responder_url,)),
        )
        self.ca.signer(at=self.now(), lifetime=CERTIFICATE_LIFETIME)

    def issue(self) -> None:
        """An RSA and an ECDSA certificate for localhost, both must-staple."""
        for authentication, key_type in KEY_TYPES.items():
            wish = Wish(
                names=NAMES, key_type=key_type, must_staple=True, lifetime=CERTIFICATE_LIFETIME
            )
            made = self.ca.issue(f"localhost-{authentication}", wish, at=self.now())
            chain = pem.certificates(made.files["fullchain"].read_bytes())
            key = keys.load(made.files["key"].read_bytes())
            self.identities[authentication] = Identity(chain, key=key)
            self.subjects[authentication] = Subject.of(chain[0], chain[1])

    def start_responder(self) -> None:
        """Answer from the CA's ledger, signed by its delegated signer."""
        files = self.ca.files_of_signer("signer")
        certificate = pem.certificates(files["certificate"].read_bytes())[0]
        signer = Signer(certificate, keys.load(files["key"].read_bytes()), self.ca.certificate)
        signing = Signing(
            signer=signer,
            ledger=self.ca.ledger(),
            clock=self.clock,
            rules=Rules(validity=VALIDITY),
        )
        self.responder = Responder(signing, clock=self.clock)

    async def start_keeper_source(self) -> None:
        """What the keeper will ask: the responder by HTTP, verified."""
        http = await self.stack.enter_async_context(Http())
        self.source = Verified(Limited(HttpSource(http)), clock=self.clock)

    async def start_keeper(self, shelf: Shelf) -> None:
        """Keep a staple for both certificates, in files, and give it to `shelf`."""
        self.store = FileStore(self.folder / "keeper" / FOLDER)
        self.keeper = Keeper(
            [
                Kept.of(subject, name=f"localhost-{name}", servers=(SERVER,))
                for name, subject in self.subjects.items()
            ],
            source=self.source,
            store=self.store,
            clock=self.clock,
            servers={SERVER: shelf},
        )
        await self.keeper.load()
        running = asyncio.create_task(self.keeper.run())
        self.stack.push_async_callback(_ended, self.keeper, running)

    async def start_https(self, shelf: Shelf) -> None:
        """Serve both certificates with what is on `shelf`."""
        tls = ServerTLS(
            list(self.identities.values()),
            staple_for=lambda leaf: shelf.lookup(leaf, self.now()),
        )
        self.proxy = Proxy(tls, held=shelf.held, clock=self.clock)
        await self.proxy.listen(HOST, self.ports.https)
        self.stack.push_async_callback(self.proxy.close, grace=0)

    async def start_page(self) -> str:
        """Serve the keeper's status page; its URL."""
        handler = KeeperPage(self.keeper, now=self.now)
        self.page = await serve(HOST, self.ports.page, handler)
        self.stack.push_async_callback(self.page.close, grace=0)
        return self.page_url

    @property
    def page_url(self) -> str:
        return f"http://{HOST}:{self.page.port}/"

    # -- using it --------------------------------------------------------------------------

    async def handshake(self, authentication: Authentication, version: Version) -> Observation:
        """One real handshake that asks for a staple."""
        return await probe(
            Address(socket.AF_INET, HOST, self.proxy.port),
            server_name="localhost",
            version=version,
            authentication=authentication,
        )

    async def stop_responder(self) -> None:
        await self.responder_server.close(grace=0)

    async def restart_responder(self) -> None:
        await self.responder_server.listen(HOST, self.responder_port)

    def revoke(self) -> None:
        """Both certificates, for a compromised key."""
        with self.ca.ledger() as ledger:
            for subject in self.subjects.values():
                ledger.revoke(subject.serial, at=self.now(), reason=RevocationReason.KEY_COMPROMISE)


async def _ended(keeper: Keeper, running: asyncio.Task[None]) -> None:
    keeper.stop()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(running, 10)


def folder_for(path: Path) -> Path:
    """`path`, made for its owner alone; `OperatorError` when it is in use."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if any(path.iterdir()):
        raise OperatorError(f"{path}: is not empty", hint="name a new folder")
    return path
