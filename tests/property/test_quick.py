"""The quick reader and the general one: what the first recognises the second reads alike."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import Malformed
from holdfast.ocsp import der, quick
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.response import (
    GOOD,
    ResponderKey,
    SingleResponse,
    encode_response_data,
    response_data,
)
from support.messages import Answer, a_serial, a_time, damaged

EXAMPLES = 4000


def usual(rng: Random) -> bytes:
    """A ResponseData of the shape that nearly every responder sends, DER."""
    certid = CertID("sha1", rng.randbytes(20), rng.randbytes(20), a_serial(rng))
    this_update = a_time(rng)
    single = SingleResponse(certid, GOOD, this_update, this_update + timedelta(days=7))
    return encode_response_data(ResponderKey(rng.randbytes(20)), a_time(rng), (single,))


def both(tbs: bytes) -> tuple[object, object]:
    """What each reader makes of `tbs`: None or a Malformed where it makes nothing of it."""
    start, stop = der.whole(tbs, der.SEQUENCE, "ResponseData")
    found = quick.read(tbs, start, stop)
    try:
        general: object = response_data(tbs, start, stop)
    except Malformed as error:
        general = error
    if found is None:
        return None, general
    responder, produced_at, name_hash, key_hash, serial, this_update, next_update = found
    certid = CertID("sha1", name_hash, key_hash, serial)
    single = SingleResponse(certid, GOOD, this_update, next_update)
    assert single.certid.null_parameters
    return (ResponderKey(responder), produced_at, (single,), ()), general


def test_the_usual_shape_is_recognised_and_read_alike() -> None:
    rng = Random(20261121)
    recognised = 0
    for _ in range(EXAMPLES):
        read, general = both(usual(rng))
        if read is not None:
            recognised += 1
            assert read == general
    assert recognised > EXAMPLES * 0.4  # serials with a first octet of 0 or 0x7f are passed on


def test_other_shapes_go_to_the_general_reader() -> None:
    rng = Random(1)
    for _ in range(EXAMPLES):
        read, general = both(Answer(rng).tbs)
        assert read is None or read == general


@given(st.randoms(use_true_random=False))
def test_of_what_was_damaged_nothing_is_recognised_that_the_general_reader_refuses(
    rng: Random,
) -> None:
    tbs = damaged(rng, usual(rng))
    try:
        read, general = both(tbs)
    except Malformed:
        return  # not even the outer SEQUENCE is left
    assert read is None or read == general


@pytest.mark.parametrize("bit", range(8))
def test_every_bit_flipped(bit: int) -> None:
    tbs = usual(Random(7))
    for position in range(len(tbs)):
        flipped = bytearray(tbs)
        flipped[position] ^= 1 << bit
        try:
            read, general = both(bytes(flipped))
        except Malformed:
            continue
        assert read is None or read == general
