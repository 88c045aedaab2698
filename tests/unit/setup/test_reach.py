"""Reaching a responder: every obstacle is told apart from the others, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdfast.errors import Unavailable
from holdfast.lab.forge import Forge
from holdfast.lab.responder import LabResponder
from holdfast.lab.setting import Setting
from holdfast.net.dial import PUBLIC_ONLY
from holdfast.ocsp.certid import Subject
from holdfast.setup.reach import Reached, _Asking, reach, reach_any
from holdfast.setup.words import Place
from support.ports import free_port
from support.tls_world import NOW, a_ca, a_site

CA = a_ca()
LEAF = a_site(CA, "www.test", responder_urls=["http://ocsp.test/"]).certificate
SUBJECT = Subject.of(LEAF, CA.certificate)


def ask(url: str, *, subject: Subject = SUBJECT, **how: object) -> Reached:
    how.setdefault("environment", False)
    how.setdefault("timeout", 3.0)
    return asyncio.run(
        reach(url, subject, at=datetime.now(UTC), **how)  # type: ignore[arg-type]
    )


def code(url: str, **how: object) -> str:
    reached = ask(url, **how)
    assert reached.trouble is not None
    assert reached.trouble.message.startswith("www.test: ")
    assert reached.trouble.hint
    assert reached.trouble.fatal
    return reached.trouble.code


async def with_lab(
    fault: str, then: Callable[[LabResponder], Awaitable[Reached]]
) -> tuple[Reached, LabResponder]:
    async with LabResponder(Forge(CA, at=NOW), setting=Setting(fault=fault)) as lab:
        return await then(lab), lab


def of_lab(fault: str, *, subject: Subject = SUBJECT, timeout: float = 2.0) -> Reached:
    async def main() -> Reached:
        reached, _ = await with_lab(
            fault,
            lambda lab: reach(
                lab.url, subject, at=datetime.now(UTC), environment=False, timeout=timeout
            ),
        )
        return reached

    return asyncio.run(main())


@contextlib.contextmanager
def listening(*, backlog: int = 5) -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(backlog)
        yield sock


def url_of(sock: socket.socket) -> str:
    return f"http://127.0.0.1:{sock.getsockname()[1]}/"


# -- a good way --------------------------------------------------------------------------------


def test_a_good_answer_is_verified_and_handed_over() -> None:
    reached = of_lab("good")
    assert reached.trouble is None
    assert reached.proxy == ""
    assert reached.notes == ()
    assert reached.staple is not None
    assert reached.response == reached.staple.der
    assert reached.staple.subject == SUBJECT


# -- before HTTP -------------------------------------------------------------------------------


def test_addresses_that_no_server_asks() -> None:
    assert code("ldap://ocsp.test/") == "responder-bad-url"
    assert code("http://") == "responder-bad-url"
    assert code("https://127.0.0.1:1/") == "responder-tls-only"
    assert code("https://127.0.0.1:1/", https=True) == "responder-refused", "the keeper may"


def test_a_name_that_dns_does_not_know() -> None:
    assert code("http://no-such-responder.invalid/") in {
        "responder-name-not-found",
        "responder-resolver-silent",  # where this machine has no resolver at all
    }


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "name-not-found"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "resolver-silent"),
        (TimeoutError(), "resolver-silent"),
    ],
)
def test_a_silent_resolver_is_not_an_unknown_name(cause: OSError, expected: str) -> None:
    error = Unavailable("ocsp.test: cannot be resolved", failure="dns")
    error.__cause__ = cause
    asking = _Asking("http://ocsp.test/", SUBJECT, None, 1.0, PUBLIC_ONLY)
    assert asking._unresolved(error, "ocsp.test").trouble.code == f"responder-{expected}"


def test_a_port_where_nothing_listens() -> None:
    assert code(f"http://127.0.0.1:{free_port()}/") == "responder-refused"


def test_a_firewall_that_drops_packets() -> None:
    """A listener with a full backlog answers no SYN, as a dropping firewall does."""
    with listening(backlog=0) as sock, contextlib.ExitStack() as stack:
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(sock.getsockname())
        begun = time.monotonic()
        assert code(url_of(sock), timeout=0.6) == "responder-timeout"
        assert time.monotonic() - begun < 3


def test_an_address_that_is_never_dialled() -> None:
    assert code("http://169.254.169.254/") == "responder-address-refused"
    with listening() as sock:
        assert code(url_of(sock), addresses=PUBLIC_ONLY) == "responder-address-refused"


def test_the_place_is_told() -> None:
    place = Place(Path("/etc/haproxy/haproxy.cfg"), 7)
    reached = ask(f"http://127.0.0.1:{free_port()}/", place=place)
    assert reached.trouble is not None
    assert reached.trouble.place == place


# -- the proxy ---------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def a_proxy(status: bytes, url: str = "") -> AsyncIterator[tuple[str, list[bytes]]]:
    """An HTTP proxy that answers `status`, or passes what it is asked on to `url`."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split(b"\r\n")[0])
        if not url:
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
        else:
            method, target, _ = head.split(b" ", 2)
            path = b"/" + target.split(b"/", 3)[3]
            port = int(url.rpartition(":")[2])
            onward, back = await asyncio.open_connection("127.0.0.1", port)
            back.write(method + b" " + path + b" HTTP/1.0\r\nHost: x\r\n\r\n")
            writer.write(await onward.read())
            back.close()
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()
        await server.wait_closed()


def through(proxy_status: bytes, **how: object) -> tuple[Reached, list[bytes]]:
    async def main() -> tuple[Reached, list[bytes]]:
        async with a_proxy(proxy_status) as (url, asked):
            reached = await reach(
                "http://ocsp.invalid/",
                SUBJECT,
                at=NOW,
                proxy=url.replace("http://", "http://me:secret@"),
                timeout=3.0,
                **how,  # type: ignore[arg-type]
            )
            return reached, asked

    return asyncio.run(main())


def test_a_proxy_that_wants_a_login() -> None:
    reached, asked = through(b"407 Proxy Authentication Required")
    assert reached.trouble is not None
    assert reached.trouble.code == "responder-proxy-refused"
    assert "407" in reached.trouble.message
    assert "secret" not in reached.trouble.message + reached.proxy
    assert asked[0].startswith(b"GET http://ocsp.invalid/"), "the name is the proxy's to resolve"


def test_a_proxy_that_is_not_there() -> None:
    proxy = f"http://127.0.0.1:{free_port()}"
    assert code("http://ocsp.invalid/", proxy=proxy) == "responder-proxy-unreachable"
    assert code("http://ocsp.invalid/", proxy="socks5://x") == "responder-proxy-bad-url"


def test_a_proxy_of_the_environment_is_used_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> Reached:
        async with (
            LabResponder(Forge(CA, at=NOW)) as lab,
            a_proxy(b"", lab.url) as (url, _),
        ):
            monkeypatch.setenv("http_proxy", url)
            monkeypatch.delenv("no_proxy", raising=False)
            return await reach("http://ocsp.invalid/", SUBJECT, at=datetime.now(UTC), timeout=3.0)

    reached = asyncio.run(main())
    assert reached.trouble is None
    assert reached.staple is not None
    (note,) = reached.notes
    assert note.code == "responder-through-proxy"
    assert not note.fatal
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    found = ask("http://ocsp.invalid/", environment=True).trouble
    assert found is not None
    assert found.code == "responder-proxy-unreachable"


# -- HTTP and OCSP -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("http-404", "http-4xx"),
        ("http-500", "http-5xx"),
        ("http-503", "http-5xx"),
        ("html", "web-page"),
        ("empty", "not-ocsp"),
        ("malformed", "not-ocsp"),
        ("truncated", "not-ocsp"),
        ("lying-content-length", "truncated"),
        ("huge", "not-ocsp"),
        ("hang", "silent"),
        ("drip", "silent"),
        ("reset", "reset"),
        ("refused", "refused"),
        ("redirect-loop", "redirect"),
        ("redirect-inside", "redirect"),
        ("unauthorized", "unauthorized"),
        ("tryLater", "try-later"),
        ("internalError", "internal-error"),
        ("malformedRequest", "malformed-request"),
        ("sigRequired", "sig-required"),
        ("bad-signature", "response-rejected"),
        ("wrong-serial", "response-rejected"),
        ("foreign-signer", "response-rejected"),
        ("expired", "response-rejected"),
        ("not-yet-valid", "response-rejected"),
        ("revoked", "says-revoked"),
        ("unknown", "says-unknown"),
    ],
)
def test_each_fault_has_its_name_and_cure(fault: str, expected: str) -> None:
    reached = of_lab(fault, timeout=0.8)
    assert reached.trouble is not None
    assert reached.trouble.code == f"responder-{expected}"
    assert reached.trouble.hint
    assert (reached.staple is not None) == (fault in {"revoked", "unknown"})


@pytest.mark.parametrize("fault", ["redirect", "chunked", "wrong-content-type", "no-nonce"])
def test_what_is_tolerated(fault: str) -> None:
    assert of_lab(fault).trouble is None


def test_a_rejected_response_names_its_finding() -> None:
    trouble = of_lab("bad-signature").trouble
    assert trouble is not None
    assert trouble.said == "response-bad-signature"


def test_what_speaks_no_http() -> None:
    async def main() -> Reached:
        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.test ESMTP\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            return await reach(
                f"http://127.0.0.1:{port}/", SUBJECT, at=NOW, environment=False, timeout=3.0
            )
        finally:
            server.close()

    reached = asyncio.run(main())
    assert reached.trouble is not None
    assert reached.trouble.code == "responder-not-http"


def test_another_issuers_certificate_is_not_answered_for() -> None:
    """The red twin of a good answer: the same responder, asked with a foreign issuer."""
    other = a_ca("ecdsa-p384")
    foreign = Subject.of(a_site(other, "www.test").certificate, other.certificate)
    assert of_lab("good").trouble is None
    trouble = of_lab("good", subject=foreign).trouble
    assert trouble is not None
    assert trouble.code in {"responder-unauthorized", "responder-response-rejected"}


def test_the_first_that_answers_well_counts() -> None:
    async def main() -> tuple[Reached | None, Reached | None, Reached | None]:
        down = f"http://127.0.0.1:{free_port()}/"
        async with LabResponder(Forge(CA, at=NOW)) as lab:
            at = datetime.now(UTC)
            both = await reach_any([down, lab.url], SUBJECT, at=at, timeout=3.0)
            none = await reach_any([down, down], SUBJECT, at=at, timeout=3.0)
            return both, none, await reach_any([], SUBJECT, at=at)

    both, none, empty = asyncio.run(main())
    assert both is not None
    assert both.trouble is None
    assert none is not None
    assert none.trouble is not None
    assert none.trouble.code == "responder-refused"
    assert empty is None
