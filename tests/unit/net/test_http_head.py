"""net/http_head: Host (RFC 9112 3.2), the bound of a body, Expect (R26, R27)."""

from __future__ import annotations

import pytest

from holdfast.net.http_head import said, without_upgrade
from holdfast.net.http_message import Limits

LIMITS = Limits(body_bytes=100)
HOST = (b"host", b"a")


def status_of(*headers: tuple[bytes, bytes], version: str = "1.1") -> int | None:
    refusal = said(headers, version, LIMITS).refusal
    return refusal.status if refusal else None


@pytest.mark.parametrize(
    "host", [b"", b"a", b"a.b:80", b"a:", b"[::1]:80", b"[fe80::1%25en0]", b"a_b", b"%C3%B6", b"A."]
)
def test_a_host_is_one_name_and_a_port(host: bytes) -> None:
    for version in ("1.1", "1.0"):
        assert status_of((b"host", host), version=version) is None


@pytest.mark.parametrize(
    "host", [b"a/b", b"a b", b"u@a", b"http://a", b"a:b", b"a:1:2", b"[::1", b"::1", b"%2", b"\xf6"]
)
def test_whatever_else_is_refused(host: bytes) -> None:
    for version in ("1.1", "1.0"):
        assert status_of((b"host", host), version=version) == 400
    assert status_of(HOST, (b"host", host)) == 400


def test_one_host_and_no_more() -> None:
    assert status_of((b"x", b"y")) == 400
    assert status_of((b"x", b"y"), version="1.0") is None
    assert status_of(HOST, HOST) == status_of(HOST, HOST, version="1.0") == 400


def test_a_body_is_bounded_before_it_comes() -> None:
    assert status_of(HOST, (b"content-length", b"100")) is None
    assert status_of(HOST, (b"content-length", b"101")) == 413


def test_who_waits_is_told_to_go_on() -> None:
    waits = (b"expect", b"100-Continue")
    assert said((HOST, waits), "1.1", LIMITS).expects
    assert not said((HOST, waits), "1.0", LIMITS).expects
    assert not said((HOST, (b"expect", b"200-ok")), "1.1", LIMITS).expects
    assert not said((waits,), "1.1", LIMITS).expects  # and is refused


def test_an_upgrade_is_taken_out_and_the_host_stays() -> None:
    head = without_upgrade(b"GET", b"/x", "1.1", [HOST, (b"upgrade", b"h2c")])
    assert head == b"GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
