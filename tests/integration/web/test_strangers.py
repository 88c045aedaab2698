"""What strangers may make the page do: whom it dials, how long, how much, how often.

Each refusal has its twin: the same case where it is allowed, and then it happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from holdfast.net.http_message import Reply
from support.answers import an_answer
from support.check_world import CA, Web
from support.tls_world import NOW, Loop, a_proxy, a_site
from support.web_world import Internet, a_case, a_page

PRIVATE = "127.0.0.2"  # to whom 127.0.0.1 is the internet


class Listener:
    """Counts who connects, and says nothing."""

    def __init__(self, host: str, port: int = 0) -> None:
        self._socket = socket.create_server((host, port))
        self.host, self.port, self.count = host, self._socket.getsockname()[1], 0
        self._open: list[socket.socket] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._open.append(self._socket.accept()[0])
                self.count += 1

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._open:
            connection.close()


@pytest.fixture
def inside() -> Iterator[Listener]:
    listener = Listener(PRIVATE)
    yield listener
    listener.close()


def messages(report: dict[str, Any]) -> str:
    return " | ".join(found["message"] for found in report["findings"])


# -- whom -------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["127.0.0.2:{}", "[::ffff:127.0.0.2]:{}", "smtp://127.0.0.2:{}"])
def test_private_targets_are_not_dialled(loop: Loop, inside: Listener, target: str) -> None:
    with a_page(loop) as page:
        report = page.report(target.format(inside.port))
    assert report["verdict"] == "unreachable"
    assert "not dialled" in messages(report)
    assert "a loopback address" in messages(report)
    assert inside.count == 0


def test_private_targets_are_dialled_where_that_is_allowed(loop: Loop, inside: Listener) -> None:
    limits = {"handshake": timedelta(seconds=0.3)}
    with a_page(loop, allow_private_targets=True, limits=limits) as page:
        report = page.report(f"{PRIVATE}:{inside.port}")
    assert "not dialled" not in messages(report)
    assert inside.count >= 1


@pytest.mark.parametrize("target", ["169.254.169.254", "[fe80::1]", "0.0.0.0", "224.0.0.1"])
def test_some_are_never_dialled(loop: Loop, target: str) -> None:
    with a_page(loop, allow_private_targets=True) as page:
        report = page.report(target)
    assert report["verdict"] == "unreachable"
    assert "not dialled" in messages(report)


@pytest.mark.parametrize("target", ["10.0.0.1", "192.168.1.1", "[fd12::1]", "100.64.0.1", "[::1]"])
def test_private_ranges_are_refused(loop: Loop, target: str) -> None:
    with a_page(loop) as page:
        assert "not dialled" in messages(page.report(target))


class Names(asyncio.SelectorEventLoop):
    """A loop whose look-ups of `name` give the next of `answers` each time, the last for ever."""

    name = "moves.test"
    answers: tuple[tuple[str, ...], ...] = ()
    asked = 0

    async def getaddrinfo(self, host: Any, port: Any, **how: Any) -> Any:
        if host != self.name:
            return await super().getaddrinfo(host, port, **how)
        found = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        stream = socket.SOCK_STREAM
        return [(socket.AF_INET, stream, 6, "", (address, port)) for address in found]


@pytest.mark.parametrize("allowed", [False, True], ids=["refused", "allowed"])
def test_a_name_that_moves_inside_between_look_up_and_connect(
    roots: Path, inside: Listener, allowed: bool
) -> None:
    """DNS rebinding: the name is asked once, and the very address that was passed is dialled; a
    name that has moved before it is asked again is refused."""
    names = Names()
    loop = Loop(lambda: names)
    names.answers = (("127.0.0.1",), (PRIVATE,))
    site = a_site(CA, names.name)
    staple = an_answer(CA, site, at=NOW)
    limits = {"fresh": timedelta(seconds=0.01), "handshake": timedelta(seconds=0.5)}
    try:
        with (
            a_proxy(site, loop=loop, staple_for=lambda _leaf: staple) as outside,
            a_page(
                loop,
                ca_file=roots,
                addresses=None if allowed else Internet(),
                allow_private_targets=allowed,
                limits=limits,
            ) as page,
        ):
            twin = Listener(PRIVATE, outside.port)
            target = f"{names.name}:{outside.port}"
            first = page.report(target)
            assert first["addresses"] == [f"127.0.0.1:{outside.port}"]
            assert len(first["handshakes"]) >= 4
            assert (names.asked, twin.count) == (1, 0)
            time.sleep(0.05)
            second = page.report(target)
            twin.close()
        assert names.asked == 2
        if allowed:
            assert twin.count >= 1
        else:
            assert "127.0.0.2 is a loopback address" in messages(second)
            assert twin.count == 0
    finally:
        loop.stop()


def test_of_several_addresses_only_those_outside_are_dialled(roots: Path) -> None:
    names = Names()
    loop = Loop(lambda: names)
    names.answers = ((PRIVATE, "127.0.0.1"),)
    site = a_site(CA, names.name)
    try:
        with (
            a_proxy(site, loop=loop, staple_for=lambda _leaf: b"") as outside,
            a_page(loop, ca_file=roots, addresses=Internet()) as page,
        ):
            twin = Listener(PRIVATE, outside.port)
            report = page.report(f"{names.name}:{outside.port}")
            twin.close()
        assert report["addresses"] == [f"127.0.0.1:{outside.port}"]
        assert twin.count == 0
    finally:
        loop.stop()


@pytest.mark.parametrize("allowed", [False, True], ids=["refused", "allowed"])
@pytest.mark.parametrize("how", ["responder", "issuer", "crl", "redirect"])
def test_what_a_certificate_points_at_is_not_asked_inside(
    loop: Loop, web: Web, inside: Listener, how: str, allowed: bool
) -> None:
    there = f"http://{PRIVATE}:{inside.port}/"
    web.answers["/moved"] = Reply(302, b"", ((b"Location", there.encode()),))
    wishes: dict[str, Any] = {"responder_urls": [web.url + "/none"]}
    match how:
        case "responder":
            wishes["responder_urls"] = [there]
        case "issuer":
            wishes["issuer_urls"] = [there]
        case "crl":
            wishes["crl_urls"] = [there]
        case _:
            wishes["crl_urls"] = [web.url + "/moved"]
    site = a_site(CA, **wishes)
    if how == "issuer":
        site = type(site)(site.certificate, site.key, ())  # nobody sends it
    limits = {"handshake": timedelta(seconds=0.4)}
    with (
        a_proxy(site, loop=loop, staple_for=lambda _leaf: b"") as outside,
        a_page(
            loop,
            addresses=None if allowed else Internet(),
            allow_private_targets=allowed,
            limits=limits,
        ) as page,
    ):
        report = page.report(f"127.0.0.1:{outside.port}")
    assert len(report["handshakes"]) >= 4
    assert (inside.count > 0) is allowed


# -- how long, how much -----------------------------------------------------------------------


def test_a_check_ends_at_its_deadline_with_what_was_seen(
    loop: Loop, roots: Path, inside: Listener
) -> None:
    """The server is fast; what its certificate points at never answers."""
    there = [f"http://{PRIVATE}:{inside.port}/{number}" for number in range(4)]
    site = a_site(CA, responder_urls=there)
    staple = an_answer(CA, site, at=NOW)
    limits = {"check": timedelta(seconds=1), "handshake": timedelta(seconds=10)}
    with (
        a_proxy(site, loop=loop, staple_for=lambda _leaf: staple) as stand,
        a_page(loop, ca_file=roots, allow_private_targets=True, limits=limits) as page,
    ):
        begun = time.monotonic()
        path = page.begin(f"localhost:{stand.port}")
        document = page.ended(path)
        took = time.monotonic() - begun
        shown = page.get(path).text
    assert took < 4
    assert document["cut"] == "not everything was looked at within 1 s"
    assert len(document["reports"][0]["handshakes"]) >= 4
    assert document["reports"][0]["staples"][0]["certificate_status"] == "good"
    assert "The check was ended early" in shown


def test_a_server_that_never_ends_a_handshake_is_told(loop: Loop, inside: Listener) -> None:
    limits = {"check": timedelta(seconds=10), "handshake": timedelta(seconds=0.3)}
    with a_page(loop, allow_private_targets=True, limits=limits) as page:
        answer = page.checked(f"{PRIVATE}:{inside.port}")
    assert "no answer within 0.3 s" in answer.text


class Endless:
    """HTTP that never ends; `sent` is what the other side took."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"
        self.sent = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with contextlib.suppress(OSError), connection:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                    while self.sent < 24 << 20:
                        self.sent += connection.send(bytes(65536))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.mark.parametrize(("kib", "most"), [(64, 12 << 20), (16_000, 24 << 20)])
def test_a_check_fetches_so_much_and_no_more(loop: Loop, roots: Path, kib: int, most: int) -> None:
    """Beyond what is read there is what the kernels hold, a few MiB on loopback; with a larger
    purse more is read."""
    endless = Endless()
    site = a_site(CA, crl_urls=[endless.url])
    with (
        a_proxy(site, loop=loop, staple_for=lambda _leaf: b"") as stand,
        a_page(
            loop, ca_file=roots, allow_private_targets=True, limits={"fetched_kib": kib}
        ) as page,
    ):
        report = page.report(f"localhost:{stand.port}")
    endless.close()
    assert "larger than" in messages(report)
    assert endless.sent <= most
    assert (endless.sent > 14 << 20) is (kib > 64)


# -- how often --------------------------------------------------------------------------------


def test_a_client_has_so_many_checks_a_minute(loop: Loop) -> None:
    with a_page(loop, limits={"per_client": 2}, trust_forwarded=["127.0.0.1"]) as page:
        for number in (1, 2):
            page.begin(f"10.0.0.{number}", **{"X-Forwarded-For": "192.0.2.7"})
        third = {"form": {"target": "10.0.0.3"}}
        refused = page.ask("POST", "/check", headers={"X-Forwarded-For": "192.0.2.7"}, **third)
        assert refused.status == 429
        assert 1 <= int(refused.headers["Retry-After"]) <= 31
        # what was asked already costs nothing, and another client is another client
        page.begin("10.0.0.1", **{"X-Forwarded-For": "192.0.2.7"})
        page.begin("10.0.0.3", **{"X-Forwarded-For": "192.0.2.7, 192.0.2.8"})


def test_who_is_no_proxy_does_not_say_who_it_is(loop: Loop) -> None:
    """The red twin of the case above: a client that lends itself addresses."""
    with a_page(loop, limits={"per_client": 2}) as page:
        for number in (1, 2):
            page.begin(f"10.0.0.{number}", **{"X-Forwarded-For": f"192.0.2.{number}"})
        headers = {"X-Forwarded-For": "192.0.2.99"}
        refused = page.ask("POST", "/check", form={"target": "10.0.0.3"}, headers=headers)
        assert refused.status == 429


def test_a_target_is_not_asked_again_at_once(loop: Loop, roots: Path, web: Web) -> None:
    """However many want it, and however they write it."""
    with (
        a_page(loop, ca_file=roots, allow_private_targets=True) as page,
        a_case("good", loop, web) as stand,
    ):
        first = page.begin(f"localhost:{stand.port}")
        page.ended(first)
        asked = web.asked
        for text in (f"LOCALHOST:{stand.port}", f"https://localhost:{stand.port}/x"):
            assert page.begin(text) == first
        assert web.asked == asked


def test_too_many_checks_at_once_are_told_to_wait(loop: Loop, inside: Listener) -> None:
    limits = {"checks": 1, "waiting": 1, "handshake": timedelta(seconds=5), "per_client": 60}
    with a_page(loop, allow_private_targets=True, limits=limits) as page:
        for scheme in ("smtp", "imap"):
            page.begin(f"{scheme}://{PRIVATE}:{inside.port}")
        busy = page.ask("POST", "/check", form={"target": "10.0.0.2"})
        assert (busy.status, busy.headers["Retry-After"]) == (503, "16")
        assert "too many checks" in busy.text


def test_pages_are_bounded_too(loop: Loop) -> None:
    with a_page(loop, limits={"pages": 5}) as page:
        statuses = [page.get("/").status for _ in range(7)]
    assert statuses == [200] * 5 + [429] * 2


# -- connections ------------------------------------------------------------------------------


def ends(sock: socket.socket, within: float) -> bool:
    sock.settimeout(within)
    try:
        return sock.recv(100) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def test_a_client_holds_so_many_connections(loop: Loop) -> None:
    with a_page(loop, limits={"connections": 3}) as page:
        held = [socket.create_connection(("127.0.0.1", page.port)) for _ in range(3)]
        try:
            with socket.create_connection(("127.0.0.1", page.port)) as fourth:
                assert ends(fourth, 2)
            held.pop().close()
            for _ in range(100):
                if page.up.guard.connections < 3:
                    break
                time.sleep(0.01)
            assert page.get("/healthz").status == 200
        finally:
            for sock in held:
                sock.close()


def test_who_sends_no_whole_request_is_left(loop: Loop) -> None:
    with a_page(loop) as page:
        page.up.guard.header = 0.3
        with socket.create_connection(("127.0.0.1", page.port)) as slow:
            slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Drip: ")
            assert ends(slow, 2)
        with socket.create_connection(("127.0.0.1", page.port)) as quick:  # and who does is not
            quick.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert quick.recv(100).startswith(b"HTTP/1.1 200")
            assert not ends(quick, 0.6) or page.get("/healthz").status == 200


def test_large_forms_and_headers_are_refused(loop: Loop) -> None:
    with a_page(loop) as page:
        assert page.ask("POST", "/check", form={"target": "a" * 5000}).status == 413
        assert page.get("/", **{"X-Large": "a" * 20000}).status == 400


def test_another_sites_page_may_not_ask(loop: Loop) -> None:
    """Nor by an image, nor by a form; the same from the page itself is taken."""
    with a_page(loop) as page:
        own = {"Origin": page.url, "Sec-Fetch-Site": "same-origin"}
        for theirs in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.test"}):
            form = {"target": "10.0.0.1"}
            assert page.ask("POST", "/check", form=form, headers=theirs).status == 403
            assert page.get("/api/check?target=10.0.0.1", **theirs).status == 403
            assert page.ask("POST", "/check", form=form, headers=own).status == 303
