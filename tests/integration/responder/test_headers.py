"""R20 to R23: what stands around an answer, read from a bare socket."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from holdfast.ocsp.extension import Extension, nonce_extension
from holdfast.ocsp.request import Request, SingleRequest
from support.responder_judge import (
    caching_objections,
    date_of,
    echo_objections,
    error_objections,
    not_modified_objections,
    states_of,
    time_objections,
    uncached_objections,
)
from support.responder_wire import Wire, ask, get_bytes, path_of, post_bytes
from support.responder_world import RunningResponder, World


def both_ways(asked: bytes) -> list[bytes]:
    return [get_bytes(path_of(asked)), post_bytes(asked)]


def test_every_answer_ends_and_its_times_are_whole_seconds(world: World, port: int) -> None:
    """R20: good and revoked, by GET and by POST, one CertID and several."""
    for serials in ([0x1000], [0x2000], [0x1001, 0x2001, 0x1002]):
        for data in both_ways(world.asks(*serials)):
            body = ask(port, data).body
            assert time_objections(body) == []
            assert [serial for serial, _ in states_of(body)] == serials


def test_an_answer_carries_the_caching_headers(world: World, port: int) -> None:
    """R21."""
    for serial in (0x1003, 0x2003, world.awkward):
        for data in both_ways(world.asks(serial)):
            got = ask(port, data)
            assert got.code == 200
            assert caching_objections(got) == []


def test_max_age_is_the_configured_hour_and_date_is_now(world: World, port: int) -> None:
    """R21."""
    got = ask(port, get_bytes(path_of(world.asks(0x1004))))
    assert (got.field("cache-control") or "").startswith("max-age=3600,")
    date = date_of(got.field("date"))
    assert date is not None
    assert abs(date - datetime.now(UTC)) < timedelta(seconds=5)


def test_max_age_never_reaches_the_end_of_a_short_answer(world: World) -> None:
    """R21: now + n lies before nextUpdate, whatever the setting says."""
    with world.responder("--validity", "90s", "--max-age", "1h") as short:
        got = ask(short.port, get_bytes(path_of(world.asks(0x1005))))
        assert caching_objections(got) == []
        age = int((got.field("cache-control") or "").split(",")[0].removeprefix("max-age="))
        assert 0 < age < 90


def test_an_answer_to_the_same_question_is_the_same(
    world: World, responder: RunningResponder
) -> None:
    """R23: byte for byte, by both methods, or no cache could revalidate; each worker signs once."""
    asked = world.asks(0x1006)
    signing = max(len(responder.tree()) - 1, 1)
    bodies = {ask(responder.port, data).body for data in both_ways(asked) * 20}
    assert len(bodies) <= signing
    with Wire(responder.port) as wire:
        for data in both_ways(asked) * 5:
            wire.send(data)
        assert len({wire.reply().body for _ in range(10)}) == 1


@pytest.mark.parametrize(
    "spell",
    [
        "{0}",
        "W/{0}",
        '"another", {0}',
        '"another",W/{0} , "third"',
        "*",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_the_client_has_is_not_sent_again(
    world: World, port: int, spell: str, method: str
) -> None:
    """R23."""
    target = path_of(world.asks(0x1007))
    with Wire(port) as wire:
        wire.send(get_bytes(target))
        first = wire.reply()
        tag = first.field("etag")
        wire.send(get_bytes(target, f"If-None-Match: {spell.format(tag)}", method=method))
        assert not_modified_objections(wire.reply(method), first.body) == []
        wire.send(get_bytes(target))  # nothing of the 304 was left on the connection
        assert wire.reply().body == first.body


@pytest.mark.parametrize("sent", ['"another"', '""', 'W/"another", "third"', "nonsense"])
def test_what_the_client_has_not_is_sent(world: World, port: int, sent: str) -> None:
    """R23: the red twin."""
    got = ask(port, get_bytes(path_of(world.asks(0x1007)), f"If-None-Match: {sent}"))
    assert got.code == 200
    assert caching_objections(got) == []


def test_an_entity_tag_of_another_answer_is_none_of_this(world: World, port: int) -> None:
    """R23: the tag of a good answer does not keep a revoked one back."""
    good = ask(port, get_bytes(path_of(world.asks(0x1008))))
    tag = f"If-None-Match: {good.field('etag')}"
    got = ask(port, get_bytes(path_of(world.asks(0x2008)), tag))
    assert got.code == 200
    assert states_of(got.body) == [(0x2008, "revoked")]


def test_a_date_does_not_stand_in_for_the_entity_tag(world: World, port: int) -> None:
    """R23, RFC 9110 13.1.3: If-Modified-Since is ignored beside If-None-Match."""
    target = path_of(world.asks(0x1009))
    later = "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"
    got = ask(port, get_bytes(target, 'If-None-Match: "another"', later))
    assert got.code == 200


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "malformed_request"),
        (b"\x30\x00", "malformed_request"),
        (b"\x30\x03\x30\x01\x30", "malformed_request"),
        (b"MDAwMDA=", "malformed_request"),
        (bytes(1000), "malformed_request"),
    ],
)
def test_an_error_is_kept_by_nobody(port: int, body: bytes, expected: str) -> None:
    """R4, R5, R22: with HTTP code 200, as RFC 6960 A.2 has it."""
    got = ask(port, post_bytes(body))
    assert got.code == 200
    assert got.field("content-type") == "application/ocsp-response"
    assert error_objections(got.body, expected) == []
    assert uncached_objections(got) == []


def test_a_serial_never_issued_and_another_ca_are_kept_by_nobody(world: World, port: int) -> None:
    """R11, R22: unauthorized is no statement about a certificate, which may be issued soon."""
    other = world.certid(0x1000)._replace(issuer_key_hash=bytes(20))
    strange = Request((SingleRequest(other),)).encode()
    mixed = Request((SingleRequest(world.certid(0x1000)), SingleRequest(other))).encode()
    for asked in (world.asks(0xDEAD), world.asks(0x1000, 0xDEAD), strange, mixed):
        for data in both_ways(asked):
            got = ask(port, data)
            assert error_objections(got.body, "unauthorized") == []
            assert uncached_objections(got) == []


@pytest.mark.parametrize("size", [1, 15, 16, 32, 33, 128])
def test_an_answer_with_a_nonce_is_kept_by_nobody(world: World, port: int, size: int) -> None:
    """R17 to R19, R22; the answer may also be one without the nonce, below 16 and over 32."""
    nonce = bytes(range(size))
    certid = world.certid(0x100A)
    asked = Request((SingleRequest(certid),), (nonce_extension(nonce),)).encode()
    bodies = set()
    for data in both_ways(asked):
        got = ask(port, data)
        assert got.code == 200
        assert states_of(got.body) == [(0x100A, "good")]
        assert echo_objections(got.body, [certid.encode()]) == []
        if nonce_extension(nonce).encode() in got.body:
            assert uncached_objections(got) == []
            bodies.add(got.body)
        else:
            assert not 16 <= size <= 32
    assert len(bodies) == 2 or not 16 <= size <= 32  # each is signed for itself


@pytest.mark.parametrize("size", [0, 129])
def test_a_nonce_of_no_allowed_length_is_malformed(world: World, port: int, size: int) -> None:
    """R16, R22: the red twin."""
    octets = b"\x04\x00" if size == 0 else b"\x04\x81" + bytes([size]) + bytes(size)
    bad = Extension("1.3.6.1.5.5.7.48.1.2", False, octets)
    asked = Request((SingleRequest(world.certid(0x100B)),), (bad,)).encode()
    got = ask(port, post_bytes(asked))
    assert error_objections(got.body, "malformed_request") == []
    assert uncached_objections(got) == []


def test_nonces_are_never_mixed_up_on_one_connection(world: World, port: int) -> None:
    """R19: a pipeline of nonces and of none; each answer carries its own."""
    wanted: list[bytes | None] = [bytes([n]) * 32 if n % 3 else None for n in range(60)]
    with Wire(port) as wire:
        certid = SingleRequest(world.certid(0x100C))
        for nonce in wanted:
            extensions = () if nonce is None else (nonce_extension(nonce),)
            wire.send(post_bytes(Request((certid,), extensions).encode()))
        for nonce in wanted:
            got = wire.reply()
            found = [bytes([n]) * 32 in got.body for n in range(60)]
            assert found == [nonce == bytes([n]) * 32 for n in range(60)]
            assert uncached_objections(got) == [] if nonce else caching_objections(got) == []


def test_every_client_of_many_gets_a_whole_answer(world: World, port: int) -> None:
    """R21: over a hundred connections, whichever worker serves them."""
    data = get_bytes(path_of(world.asks(0x100D)), "Connection: close")
    assert [caching_objections(ask(port, data)) for _ in range(100)] == [[]] * 100


def test_if_none_match_of_a_post_is_no_reason_to_send_nothing(world: World, port: int) -> None:
    """R23, RFC 9110 13.1.2: 304 is for GET and HEAD alone."""
    asked = world.asks(0x100E)
    tag = ask(port, post_bytes(asked)).field("etag")
    got = ask(port, post_bytes(asked, f"If-None-Match: {tag}"))
    assert got.code == 200
    assert states_of(got.body) == [(0x100E, "good")]
