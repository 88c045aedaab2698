"""A real TLS server of ours on loopback in a thread, and other people's programs to look at it.

Everything is minted around the real clock, because openssl, gnutls-cli and curl read it.
"""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from holdfast.net.clock import SystemClock
from holdfast.ocsp.staple import Staple
from holdfast.pki.issue import Authority, Issued
from holdfast.pki.pem import encode_certificates
from holdfast.servers.shelf import Shelf
from holdfast.services.proxy import Deadlines, Limits, Passing, Proxy, Upstream
from holdfast.tls.server import Identity, ServerTLS
from support.pki import a_root, a_server, an_intermediate

T = TypeVar("T")
NOW = datetime.now(UTC).replace(microsecond=0)
YESTERDAY = NOW - timedelta(days=1)
RESPONDER = "http://127.0.0.1:9/"  # never asked here: what clients read is the staple


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self, new: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop):
        self.loop = new()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(timeout=20)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=10)
        self.loop.close()


@contextmanager
def a_loop() -> Iterator[Loop]:
    loop = Loop()
    try:
        yield loop
    finally:
        loop.stop()


def a_ca(key_type: str = "ecdsa-p256") -> Authority:
    """An issuing CA under a root, both from yesterday on."""
    root = a_root(at=YESTERDAY, key_type=key_type)
    return an_intermediate(root, at=YESTERDAY, key_type=key_type)


def a_site(ca: Authority, *names: str, key_type: str = "ecdsa-p256", **wishes: Any) -> Issued:
    names = names or ("localhost", "127.0.0.1")
    wishes.setdefault("responder_urls", [RESPONDER])
    return a_server(ca, *names, key_type=key_type, at=YESTERDAY, **wishes)


def roots_file(ca: Authority, folder: Path) -> Path:
    path = folder / "roots.pem"
    path.write_bytes(encode_certificates([ca.root]))
    return path


def identity(issued: Issued) -> Identity:
    return Identity((issued.certificate, *issued.chain), key=issued.key)


class Stand:
    """A proxy that listens, and its shelf."""

    def __init__(self, loop: Loop, proxy: Proxy, shelf: Shelf, events: list[tuple[str, Any]]):
        self.loop, self.proxy, self.shelf, self.events = loop, proxy, shelf, events
        self.port = proxy.port

    def deliver(self, staple: Staple) -> None:
        self.loop.run(self.shelf.deliver(staple))


@contextmanager
def a_proxy(
    *sites: Issued,
    upstream: str | None = None,
    staple_for: Callable[[bytes], bytes] | None = None,
    deadlines: Deadlines | None = None,
    loop: Loop | None = None,
    max_connections: int = 1000,
    passing: Passing | None = None,
    alpn: Sequence[str] = ("http/1.1",),
    serve_unstapled: bool = False,
) -> Iterator[Stand]:
    """Serve `sites` on a free port of 127.0.0.1. `staple_for`: instead of the shelf's."""
    clock, shelf = SystemClock(), Shelf()
    own = loop or Loop()
    events: list[tuple[str, Any]] = []

    async def start() -> Proxy:
        proxy = Proxy(
            ServerTLS(
                [identity(site) for site in sites],
                staple_for=staple_for or (lambda leaf: shelf.lookup(leaf, clock.now())),
                alpn=alpn,
                serve_unstapled=serve_unstapled,
            ),
            held=shelf.held,
            clock=clock,
            upstream=Upstream.parse(upstream) if upstream else None,
            passing=passing
            or Passing(
                deadlines=deadlines or Deadlines(), limits=Limits(connections=max_connections)
            ),
            on_event=lambda name, facts: events.append((name, facts)),
        )
        await proxy.listen("127.0.0.1", 0)
        return proxy

    proxy = own.run(start())
    try:
        yield Stand(own, proxy, shelf, events)
    finally:
        own.run(proxy.close(grace=0))
        if loop is None:
            own.stop()


def run(words: Sequence[object], *, stdin: bytes = b"", timeout: float = 20) -> tuple[int, str]:
    """(exit code, both streams) of a program."""
    done = subprocess.run(
        [str(word) for word in words],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
        check=False,
    )
    return done.returncode, done.stdout.decode("utf-8", "replace")


def openssl(
    port: int, roots: Path, *more: object, name: str = "localhost", stdin: bytes = b""
) -> tuple[int, str]:
    """`openssl s_client -status`, chain verified."""
    return run(
        [
            *("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", name),
            *("-status", "-verify_return_error", "-CAfile", roots, *more),
        ],
        stdin=stdin,
    )


def gnutls(port: int, roots: Path, *, priority: str = "NORMAL") -> tuple[int, str]:
    """`gnutls-cli`, which checks a staple whenever one comes."""
    return run(
        [
            *("gnutls-cli", "--x509cafile", roots, "--priority", priority),
            *("--verify-hostname", "localhost", "--sni-hostname", "localhost"),
            *("-p", port, "127.0.0.1"),
        ]
    )


def curl(port: int, roots: Path, *more: object, path: str = "/") -> tuple[int, str]:
    """`curl --cert-status`, which wants a good staple."""
    return run(
        [
            *("curl", "-sS", "--max-time", 10, "--cert-status", "--cacert", roots, *more),
            *("--resolve", f"localhost:{port}:127.0.0.1", f"https://localhost:{port}{path}"),
        ]
    )
