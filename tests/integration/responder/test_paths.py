"""R24: a request in the path of a GET, in every spelling that clients and proxies have."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from urllib.parse import quote

import pytest

from support.responder_judge import (
    caching_objections,
    echo_objections,
    error_objections,
    uncached_objections,
)
from support.responder_wire import Wire, ask, get_bytes
from support.responder_world import World

SPELLINGS: dict[str, Callable[[str], str]] = {
    "RFC 6960 A.1": lambda b64: "/" + quote(b64, safe=""),
    "escapes in lower case": lambda b64: "/" + re.sub("%..", _lower, quote(b64, safe="")),
    "only the padding is escaped": lambda b64: "/" + b64.replace("=", "%3D"),
    "only slashes are escaped": lambda b64: "/" + b64.replace("/", "%2F"),
    "only + is escaped": lambda b64: "/" + b64.replace("+", "%2B"),
    "raw": lambda b64: "/" + b64,
    "+ became a space": lambda b64: "/" + b64.replace("+", "%20"),
    "no padding": lambda b64: "/" + b64.rstrip("="),
    "escaped without padding": lambda b64: "/" + quote(b64.rstrip("="), safe=""),
    "base64url": lambda b64: "/" + b64.replace("+", "-").replace("/", "_"),
    "base64url without padding": lambda b64: "/" + b64.translate(_URL).rstrip("="),
    "two slashes": lambda b64: "//" + quote(b64, safe=""),
    "three slashes": lambda b64: "///" + b64,
    "an escaped slash first": lambda b64: "/%2F" + quote(b64, safe=""),
    "every byte escaped": lambda b64: "/" + "".join(f"%{ord(c):02X}" for c in b64),
    "a query": lambda b64: "/" + quote(b64, safe="") + "?cache=no&x=/../",
    "an empty query": lambda b64: "/" + b64 + "?",
    "absolute form": lambda b64: "http://ocsp.test/" + quote(b64, safe=""),
    "absolute form, raw": lambda b64: "http://ocsp.test:80//" + b64,
}
_URL = str.maketrans("+/", "-_")


def _lower(found: re.Match[str]) -> str:
    return found[0].lower()


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_every_spelling_of_a_path_is_read(world: World, port: int, name: str, method: str) -> None:
    """R24: of a request whose base64 has `//`, `+` and padding; the CertID tells it was this."""
    asked = world.asks(world.awkward)
    text = base64.b64encode(asked).decode()
    assert "//" in text
    assert "+" in text
    target = SPELLINGS[name](text)
    with Wire(port) as wire:
        wire.send(get_bytes(target))
        whole = wire.reply()
        assert whole.code == 200
        assert caching_objections(whole) == []
        assert echo_objections(whole.body, [world.certid(world.awkward).encode()]) == []
        if method == "HEAD":
            wire.send(get_bytes(target, method="HEAD"))
            assert caching_objections(wire.reply("HEAD"), body=whole.body) == []


@pytest.mark.parametrize(
    "target",
    [
        "/!!!",
        "/MDAwMDA",
        "/%",
        "/%zz",
        "/%00",
        "/TUZ",
        "/a",
        "/.",
        "/../",
        "/MFE?",
        "/" + "A" * 4000,
        "/%FF%FE",
    ],
)
def test_a_path_that_is_no_request_is_malformed(port: int, target: str) -> None:
    """R4, R5, R22, R24: the red twin."""
    got = ask(port, get_bytes(target))
    assert got.code == 200
    assert error_objections(got.body, "malformed_request") == []
    assert uncached_objections(got) == []


@pytest.mark.parametrize("before", ["/x/..", "/.", "/a/../", "/%2e%2e"])
def test_a_path_is_never_normalised(world: World, port: int, before: str) -> None:
    """R24: what would be a request after removing dot segments is none."""
    got = ask(port, get_bytes(f"{before}/{base64.b64encode(world.asks(0x1000)).decode()}"))
    assert error_objections(got.body, "malformed_request") == []


def test_one_octet_more_or_less_is_malformed(world: World, port: int) -> None:
    """R5: trailing octets and missing ones."""
    asked = world.asks(0x1000)
    for wrong in (asked + b"\x00", asked[:-1], b"\x00" + asked, asked + asked):
        got = ask(port, get_bytes("/" + quote(base64.b64encode(wrong).decode(), safe="")))
        assert error_objections(got.body, "malformed_request") == []


def test_a_prefix_is_all_that_is_answered(world: World) -> None:
    """R27: what follows the prefix is read as above; beside it there is nothing."""
    text = base64.b64encode(world.asks(world.awkward)).decode()
    with world.responder("--prefix", "/ocsp/one") as one:
        assert one.url.endswith("/ocsp/one")
        for spell in (
            "/ocsp/one/{0}",
            "/ocsp/one//{0}",
            "/ocsp/one/{0}?q",
            "http://a/ocsp/one/{0}",
        ):
            got = ask(one.port, get_bytes(spell.format(text)))
            assert echo_objections(got.body, [world.certid(world.awkward).encode()]) == []
        beside = ("/{0}", "/ocsp/{0}", "/ocsp/oneone/{0}", "/ocsp/two/{0}", "//ocsp/one/{0}")
        for spell in beside:
            got = ask(one.port, get_bytes(spell.format(text)))
            assert got.code == 404
            assert uncached_objections(got) == []
