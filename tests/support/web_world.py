"""`holdfast web` on a free port, in a loop of its own, and a client that follows nothing.

with a_page(loop, ca_file=roots, allow_private_targets=True) as page:
    answer = page.checked(f"localhost:{port}")     # waits until the check has ended
    page.get("/host?target=...").text
"""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

from holdfast.net.dial import PUBLIC_ONLY, AddressPolicy, IPAddress
from holdfast.net.http_message import Reply, Request
from holdfast.net.http_server import serve
from holdfast.ocsp.statuses import GOOD, Revoked
from holdfast.settings_web import WebLimits, WebTable
from holdfast.wiring_web import Serving, serving
from support.answers import an_answer
from support.check_world import CA, Web
from support.tls_world import NOW, Loop, Stand, a_proxy, a_site, roots_file

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Internet(AddressPolicy):
    """127.0.0.1 stands for the whole internet; the rest of loopback is private, as it is."""

    def refuses(self, address: str | IPAddress) -> str | None:
        return None if str(address) == "127.0.0.1" else PUBLIC_ONLY.refuses(address)


@dataclass(frozen=True, slots=True)
class Answered:
    """One reply as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Page:
    """The page that is up."""

    def __init__(self, loop: Loop, up: Serving) -> None:
        self.loop, self.up, self.port = loop, up, up.port
        self.url = up.url.rstrip("/")

    def ask(
        self,
        method: str,
        path: str,
        *,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answered:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            sent = {**({} if form is None else {"Content-Type": FORM}), **(headers or {})}
            body = None if form is None else urlencode(form)
            connection.request(method, path, body, sent)
            reply = connection.getresponse()
            return Answered(reply.status, dict(reply.headers), reply.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answered:
        return self.ask("GET", path, headers=headers)

    def begin(self, target: str, **headers: str) -> str:
        """Ask for a check; the path of its page."""
        reply = self.ask("POST", "/check", form={"target": target}, headers=headers)
        assert reply.status == 303, reply.text
        return reply.headers["Location"]

    def checked(self, target: str) -> Answered:
        """The page of a check that has ended."""
        path = self.begin(target)
        self.ended(path)
        return self.get(path)

    def ended(self, path: str) -> dict[str, Any]:
        """The document of the check, as soon as it has ended."""
        limit = time.monotonic() + 20
        while (reply := self.get(f"{path}.json")).status == 202:
            assert time.monotonic() < limit, "the check does not end"
            time.sleep(0.02)
        assert reply.status == 200, reply.text
        return dict(reply.json)

    def report(self, target: str) -> dict[str, Any]:
        return dict(self.ended(self.begin(target))["reports"][0])


@contextmanager
def a_page(
    loop: Loop,
    *,
    ca_file: Path | None = None,
    addresses: AddressPolicy | None = None,
    limits: Mapping[str, Any] | None = None,
    **table: Any,
) -> Iterator[Page]:
    """The page of `table`, with `limits` in its [web.limits]."""
    with TemporaryDirectory() as folder:
        # The system's roots take a third of a second to read
        trusted = ca_file or roots_file(CA, Path(folder))
        given = WebTable(
            listen="127.0.0.1:0",
            ca_file=str(trusted),
            limits=WebLimits(**(limits or {})),
            **table,
        )
        block = serving(given, addresses=addresses)
        up = loop.run(block.__aenter__())
        try:
            yield Page(loop, up)
        finally:
            loop.run(block.__aexit__(None, None, None))  # type: ignore[arg-type]


class Waiting:
    """A responder that answers when it is let."""

    answer = b""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._let = asyncio.Event()
        self._server = loop.run(serve("127.0.0.1", 0, self._said))
        self.url = f"http://127.0.0.1:{self._server.port}"

    async def _said(self, request: Request) -> Reply:
        await self._let.wait()
        return Reply(200, self.answer, ((b"Content-Type", b"application/ocsp-response"),))

    def let(self) -> None:
        self._loop.loop.call_soon_threadsafe(self._let.set)

    def close(self) -> None:
        self._loop.run(self._server.close(grace=0))


CASES = ("good", "expired", "revoked", "missing", "must-staple")


@contextmanager
def a_case(case: str, loop: Loop, web: Web) -> Iterator[Stand]:
    """A server whose staple is right, or wrong in one way; `web` is its CA's responder."""
    must = case == "must-staple"
    site = a_site(CA, responder_urls=[f"{web.url}/{case}"], must_staple=must)
    status = Revoked(NOW - timedelta(hours=2)) if case == "revoked" else GOOD
    current = an_answer(CA, site, status, at=NOW)
    web.answers[f"/{case}"] = current
    match case:
        case "good" | "revoked":
            staple = current
        case "expired":
            staple = an_answer(CA, site, at=NOW - timedelta(hours=12), window=timedelta(hours=3))
        case _:
            staple = b""
    with a_proxy(site, loop=loop, staple_for=lambda _: staple, serve_unstapled=True) as stand:
        yield stand
