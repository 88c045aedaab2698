"""R28 and R2: certificates named by every hash, one or many in a request."""

from __future__ import annotations

import itertools

import pytest

from holdfast.ocsp.certid import CertID
from holdfast.ocsp.request import Request, SingleRequest
from support.responder_judge import (
    caching_objections,
    echo_objections,
    error_objections,
    singles_of,
    states_of,
)
from support.responder_wire import ask, get_bytes, path_of, post_bytes
from support.responder_world import World

HASHES = ("sha1", "sha256", "sha384", "sha512")


@pytest.mark.parametrize("null", [True, False])
@pytest.mark.parametrize("hash_algorithm", HASHES)
def test_every_hash_names_a_certificate(
    world: World, port: int, hash_algorithm: str, null: bool
) -> None:
    """R28, R2: the hash's parameters NULL or absent, echoed as they came."""
    for serial, state in ((0x1030, "good"), (0x2030, "revoked")):
        certid = world.certid(serial, hash_algorithm)._replace(null_parameters=null)
        asked = Request((SingleRequest(certid),)).encode()
        for data in (get_bytes(path_of(asked)), post_bytes(asked)):
            got = ask(port, data)
            assert states_of(got.body)[0] == (serial, state)
            assert certid.encode() in [single["cert_id"].dump() for single in singles_of(got.body)]
            assert caching_objections(got) == []


def test_all_hashes_in_one_request(world: World, port: int) -> None:
    """R2, R28: in the order asked, one certificate twice."""
    asked = [
        world.certid(serial, name).encode()
        for serial, name in itertools.product((0x1031, 0x2031, 0x1031), HASHES)
    ]
    singles = tuple(
        SingleRequest(world.certid(serial, name))
        for serial, name in itertools.product((0x1031, 0x2031, 0x1031), HASHES)
    )
    got = ask(port, post_bytes(Request(singles).encode()))
    assert echo_objections(got.body, asked) == []


@pytest.mark.parametrize("hash_algorithm", HASHES)
@pytest.mark.parametrize("wrong", ["name", "key", "both", "short", "swapped"])
def test_another_issuer_is_not_answered_for(
    world: World, port: int, hash_algorithm: str, wrong: str
) -> None:
    """R28: the red twin: both hashes must be the CA's, whole."""
    right = world.certid(0x1032, hash_algorithm)
    name, key = right.issuer_name_hash, right.issuer_key_hash
    flip = bytes([name[0] ^ 1]) + name[1:], key[:-1] + bytes([key[-1] ^ 1])
    certid: CertID = {
        "name": right._replace(issuer_name_hash=flip[0]),
        "key": right._replace(issuer_key_hash=flip[1]),
        "both": right._replace(issuer_name_hash=flip[0], issuer_key_hash=flip[1]),
        "short": right._replace(issuer_key_hash=key[:-1]),
        "swapped": right._replace(issuer_name_hash=key, issuer_key_hash=name),
    }[wrong]
    got = ask(port, post_bytes(Request((SingleRequest(certid),)).encode()))
    assert error_objections(got.body, "unauthorized", "malformed_request") == []


@pytest.mark.parametrize("oid", ["1.2.840.113549.2.5", "1.3.6.1.4.1.1", "2.16.840.1.101.3.4.2.8"])
def test_a_hash_that_nobody_knows_is_not_answered_for(world: World, port: int, oid: str) -> None:
    """R28: MD5, an arbitrary one, SHA3-256, with the octets of SHA-1."""
    certid = world.certid(0x1033)._replace(hash_algorithm=oid)
    got = ask(port, post_bytes(Request((SingleRequest(certid),)).encode()))
    assert error_objections(got.body, "unauthorized", "malformed_request") == []


@pytest.mark.parametrize("serial", [0, 1, 0x7F, 0x80, 0xFF, 0x1000 << 8, 2**159 - 1, -1, -0x1000])
def test_a_serial_that_is_like_another_is_not_it(world: World, port: int, serial: int) -> None:
    """R11: small, large, negative: none was issued, none is good."""
    got = ask(port, post_bytes(world.asks(serial)))
    assert error_objections(got.body, "unauthorized", "malformed_request") == []


def test_a_serial_with_a_leading_zero_octet_too_many_is_malformed_or_not_known(
    world: World, port: int
) -> None:
    """R5, R11: 02 03 00 10 34 is no DER; it is never answered as if it were 10 34."""
    right = world.asks(0x1034)
    assert right.endswith(b"\x02\x02\x10\x34")
    wrong = bytearray(right[:-4] + b"\x02\x03\x00\x10\x34")
    for at in (1, 3, 5, 7, 9):  # the SEQUENCEs around it are one longer
        assert wrong[at - 1] == 0x30
        wrong[at] += 1
    got = ask(port, post_bytes(bytes(wrong)))
    assert error_objections(got.body, "malformed_request", "unauthorized") == []
