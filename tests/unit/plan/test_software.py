"""What ends TLS is told by what it answers itself, and by nothing else."""

from __future__ import annotations

import pytest

from holdfast.plan.software import Answers, product, recognised, server_header

HAPROXY = (
    b"HTTP/1.1 400 Bad request\r\nContent-length: 90\r\nCache-Control: no-cache\r\n"
    b"Connection: close\r\nContent-Type: text/html\r\n\r\n<html><body><h1>400 Bad request</h1>\n"
    b"Your browser sent an invalid request.\n</body></html>\n"
)


def ok(server: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nDate: today\r\nServer: {server}\r\n\r\n".encode("latin-1")


def bad(server: str) -> bytes:
    return ok(server).replace(b"200 OK", b"400 Bad Request")


CASES: dict[str, tuple[Answers, tuple[str, str, str]]] = {
    "nginx": (
        Answers(head=ok("nginx/1.22.1"), refusal=bad("nginx/1.22.1"), plain=bad("nginx/1.22.1")),
        ("nginx", "1.22.1", ""),
    ),
    "nginx that hides its version, before Apache": (
        Answers(head=ok("Apache/2.4.71"), refusal=bad("nginx"), plain=bad("nginx")),
        ("nginx", "", ""),
    ),
    "Apache": (
        Answers(head=ok("Apache/2.4.71 (Debian)"), plain=bad("Apache/2.4.71 (Debian)")),
        ("apache", "2.4.71", ""),
    ),
    "HAProxy alone": (
        Answers(head=b"HTTP/1.1 200 OK\r\n\r\n", refusal=HAPROXY),
        ("haproxy", "", ""),
    ),
    "HAProxy before nginx": (
        Answers(head=ok("nginx/1.22.1"), refusal=HAPROXY),
        ("haproxy", "", "nginx/1.22.1"),
    ),
    "IIS": (
        Answers(head=ok("Microsoft-IIS/10.0"), refusal=bad("Microsoft-HTTPAPI/2.0")),
        ("iis", "10.0", ""),
    ),
    "Caddy": (
        Answers(
            head=ok("Caddy"),
            refusal=b"HTTP/1.1 400 Bad Request\r\n\r\n400 Bad Request",
            plain=b"HTTP/1.0 400 Bad Request\r\n\r\n"
            b"Client sent an HTTP request to an HTTPS server.\n",
        ),
        ("caddy", "", ""),
    ),
    "another Go program, with nginx behind it": (
        Answers(
            head=ok("nginx"),
            plain=b"HTTP/1.0 400 Bad Request\r\n\r\n"
            b"Client sent an HTTP request to an HTTPS server.\n",
        ),
        ("unknown", "", "nginx"),
    ),
    "a TCP proxy that ends TLS before nginx": (
        Answers(head=ok("nginx/1.22.1"), refusal=bad("nginx/1.22.1")),
        ("unknown", "", "nginx/1.22.1"),
    ),
    "a name that is not known": (
        Answers(head=ok("envoy"), refusal=bad("envoy"), plain=b""),
        ("unknown", "", "envoy"),
    ),
    "no HTTP at all": (Answers(plain=b"220 mail.example ESMTP\r\n"), ("unknown", "", "")),
    "silence": (Answers(), ("unknown", "", "")),
}


@pytest.mark.parametrize("name", CASES)
def test_who_ends_tls(name: str) -> None:
    answers, wanted = CASES[name]
    found = recognised(answers)
    assert (found.name, found.version, found.behind) == wanted
    assert found.because


def test_what_a_server_says_of_itself_is_bounded_and_printable() -> None:
    hostile = ok("nginx/1.0\x1b[2J" + "x" * 10_000)
    assert server_header(hostile) == ("nginx/1.0[2J" + "x" * 100)[:60]
    assert server_header(b"SSH-2.0-x\r\nServer: nginx\r\n\r\n") == ""
    assert server_header(b"HTTP/1.1 200 OK\r\n\r\nServer: nginx\r\n") == "", "that is the body"
    assert product("nginx/1.2;rm -rf /") == ("nginx", "1.2")
    assert product("") == product("\x00") == ("unknown", "")
