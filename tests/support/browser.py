"""Debian's Chromium on `holdfast web`, before an nginx with a right staple and four wrong ones.

with a_browser() as browser, a_world(folder) as world:
    tab = Tab(browser, world)
    tab.check("good"); tab.shot("good")
"""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from playwright import async_api

from holdfast.net.http_message import Reply
from holdfast.ocsp.statuses import GOOD, Revoked
from holdfast.pki.pem import encode_certificates
from support.answers import an_answer
from support.check_world import CA, Web
from support.servers.nginx import Nginx
from support.tls_world import NOW, Loop, a_site
from support.web_world import CASES, Waiting, a_page
from support.web_world import Page as Serving

CHROMIUM = "/usr/bin/chromium"
SHOTS = Path(__file__).resolve().parents[1] / "browser" / "screenshots"


class TestNames(asyncio.SelectorEventLoop):
    """A loop to which every name under .test is this machine."""

    __test__ = False

    async def getaddrinfo(self, host: Any, port: Any, **how: Any) -> Any:
        if not str(host).endswith(".test"):
            return await super().getaddrinfo(host, port, **how)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


@dataclass(frozen=True, slots=True)
class World:
    """The page, and the server whose name says what its staple is."""

    page: Serving
    port: int
    waiting: Waiting
    """The responder of slow.test."""

    def target(self, case: str) -> str:
        return f"{case}.test:{self.port}"


class Blocking:
    """An object of Playwright's asynchronous interface, whose methods return when they are done."""

    def __init__(self, loop: Loop, inner: Any) -> None:
        self._loop, self._inner = loop, inner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        return self._calling(value) if callable(value) else self._given(value)

    def _calling(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            bare = [one._inner if isinstance(one, Blocking) else one for one in args]

            async def called() -> Any:  # a call sends its message when it is made: in the loop
                result = method(*bare, **named)
                return await result if inspect.isawaitable(result) else result

            return self._given(self._loop.run(called()))

        return call

    def _given(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._given(one) for one in value]
        ours = type(value).__module__.startswith("playwright.")
        return Blocking(self._loop, value) if ours else value


def expect(what: Blocking) -> Blocking:
    """Playwright's assertions, which wait for what they ask."""
    return Blocking(what._loop, async_api.expect(what._inner))


@contextmanager
def a_browser() -> Iterator[Blocking]:
    # Chromium refuses its sandbox to root
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    # Never stopped: what asyncio keeps of the driver's process ends on it whenever it is collected,
    # and an error there, told within `ast.parse`, breaks CPython 3.11 (gh-106905)
    loop = Loop()
    playwright = Blocking(loop, loop.run(_started()))
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
    try:
        yield browser
    finally:
        browser.close()
        playwright.stop()


async def _started() -> Any:
    async_api.expect.set_options(timeout=15_000)
    return await async_api.async_playwright().start()


@contextmanager
def a_world(folder: Path, **table: Any) -> Iterator[World]:
    loop = Loop(TestNames)
    web, waiting = Web(loop), Waiting(loop)
    sites = {}
    for case in CASES:
        url = f"{web.url}/{case}"
        sites[case] = a_site(
            CA, f"{case}.test", responder_urls=[url], must_staple=case == "must-staple"
        )
        status = Revoked(NOW - timedelta(hours=2)) if case == "revoked" else GOOD
        web.answers[f"/{case}"] = an_answer(CA, sites[case], status, at=NOW)
    sites["slow"] = a_site(CA, "slow.test", responder_urls=[waiting.url + "/"])
    waiting.answer = web.answers["/slow"] = an_answer(CA, sites["slow"], at=NOW)
    server = Nginx(folder, {case: [site] for case, site in sites.items()})
    for case in ("good", "expired", "revoked", "slow", "missing", "must-staple"):
        conf = server.owned / f"{case}.conf"
        conf.write_text("ssl_protocols TLSv1.2 TLSv1.3;\n")
        if case in ("missing", "must-staple"):
            continue
        staple = web.answers[f"/{case}"]
        assert not isinstance(staple, Reply)
        if case == "expired":
            old = NOW - timedelta(hours=12)
            staple = an_answer(CA, sites[case], at=old, window=timedelta(hours=3))
        file = server.owned / f"{case}.der"
        file.write_bytes(staple)
        with conf.open("a") as more:
            more.write(f"ssl_stapling on; ssl_stapling_file {file};\n")
    roots = folder / "roots.pem"
    roots.write_bytes(encode_certificates([CA.root]))
    wishes: dict[str, Any] = {"ca_file": roots, "allow_private_targets": True, **table}
    limits = {"per_client": 1000, "fresh": timedelta(minutes=1)}
    try:
        with server, a_page(loop, limits=limits, **wishes) as page:
            yield World(page, server.port, waiting)
    finally:
        web.close()
        waiting.close()
        loop.stop()


class Tab:
    """One tab of its own context. What a strict policy forbids, an error in a script or a request
    to anywhere else is kept in `complaints`."""

    def __init__(self, browser: Blocking, world: World, **wishes: Any) -> None:
        self.world, self.url = world, world.page.url
        wishes.setdefault("viewport", {"width": 1100, "height": 800})
        self.context = browser.new_context(**wishes)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda said: self._console(said.type, said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._request(request.url))

    def _console(self, kind: str, text: str) -> None:
        answered = "the server responded with a status of 4" in text  # a page that says why
        if kind in ("error", "warning") and not answered:
            self.complaints.append(text)

    def _request(self, url: str) -> None:
        if not url.startswith(self.url):
            self.complaints.append(f"asked {url}")

    def __enter__(self) -> Tab:
        return self

    def __exit__(self, *exc: object) -> None:
        self.context.close()
        if exc[0] is None:
            assert self.complaints == []

    def check(self, case: str) -> None:
        """Ask by the form, and wait for the verdict."""
        self.page.goto(f"{self.url}/")
        self.page.get_by_label("Host").fill(self.world.target(case))
        self.page.get_by_role("button", name="Check").click()
        self.answered()

    def answered(self) -> None:
        settled = self.page.locator(".verdict:not(.running)")
        expect(settled).to_be_visible()

    @property
    def verdict(self) -> str:
        return " ".join(self.page.locator(".verdict").inner_text().split())

    def shot(self, name: str) -> Path:
        """A picture of the whole page, kept for people."""
        SHOTS.mkdir(exist_ok=True)
        path = SHOTS / f"{name}.png"
        self.page.screenshot(path=path, full_page=True)
        return path
