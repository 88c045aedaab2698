"""The quick way says octet for octet what the general one says, or nothing (R2, R19, R28).

Signed with Ed25519 and RSA, whose signatures of the same octets are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.ocsp.certid import HASH_OIDS, CertID
from holdfast.ocsp.extension import NONCE, Extension, nonce_extension
from holdfast.ocsp.request import Request
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import RevocationReason, Revoked
from holdfast.plan.answering import Answer, Rules, answer, read_request
from holdfast.plan.rules import NeverIssued, Nonces, SignedRequests
from holdfast.seams import LedgerEntry
from holdfast.sources.quick_signing import QuickSigning
from holdfast.sources.signing import Signing
from support.clock import FakeClock
from support.pki import AT, a_root, a_signer

CA = a_root("Quick", key_type="ed25519")
OTHER = a_root("Other")
DELEGATE = a_signer(CA, "Quick signer", key_type="rsa-2048")
SIGNERS = (
    Signer(CA.certificate, CA.key, CA.certificate),
    Signer(DELEGATE.certificate, DELEGATE.key, CA.certificate, responder="name"),
)
SERIALS = st.integers(1, 2**159)
NONCES = st.none() | st.binary(min_size=1, max_size=128)


class ByParity:
    """Even serials are revoked, odd ones good; what ends in 7 was never issued."""

    blocking = False

    def entry(self, serial: int, /) -> LedgerEntry | None:
        end = AT + timedelta(days=9)
        if serial % 10 == 7:
            return None
        if serial % 2:
            return LedgerEntry(serial, end)
        reason = [None, *RevocationReason][serial % 5]
        return LedgerEntry(serial, end, AT - timedelta(hours=serial % 100), reason)

    def entries(self) -> Iterator[LedgerEntry]:
        return iter(())


def general(data: bytes, signer: Signer, rules: Rules) -> Answer:
    request = read_request(data)
    assert isinstance(request, Request)
    known = {}
    for single in request.singles:
        if single.certid.names(single.certid.serial, CA.certificate):
            entry = ByParity().entry(single.certid.serial)
            known[single.certid] = None if entry is None else signed_status(entry)
    return answer(request, known=known, signer=signer, rules=rules, at=AT)


def signed_status(entry: LedgerEntry) -> object:
    from holdfast.ocsp.statuses import GOOD

    return GOOD if entry.revoked_at is None else Revoked(entry.revoked_at, entry.reason)


def told(given: Answer) -> tuple[object, ...]:
    return (
        given.der, given.response_status, given.this_update, given.next_update, given.nonced,
        given.singles, given.made_at,
    )  # fmt: skip


RULES = (
    Rules(),
    Rules(validity=timedelta(days=2), backdate=timedelta(minutes=5)),
    Rules(nonces=Nonces.IGNORED, never_issued=NeverIssued.UNKNOWN),
    Rules(never_issued=NeverIssued.REVOKED, archive_cutoff=timedelta(days=1000)),
    Rules(ca_revoked=Revoked(AT - timedelta(days=2), RevocationReason.KEY_COMPROMISE)),
    Rules(signed_requests=SignedRequests.REQUIRED, requestors=(OTHER.certificate,)),
)


@settings(max_examples=100, deadline=None)
@given(
    serials=st.lists(SERIALS, min_size=2, max_size=6),
    nonces=st.lists(NONCES, min_size=1, max_size=3),
    name=st.sampled_from(sorted(HASH_OIDS)),
    null=st.booleans(),
    signer=st.sampled_from(SIGNERS),
    rules=st.sampled_from(RULES),
)
def test_the_quick_way_and_the_general_one_say_the_same(
    *,
    serials: list[int],
    nonces: list[bytes | None],
    name: str,
    null: bool,
    signer: Signer,
    rules: Rules,
) -> None:
    source = Signing(signer=signer, ledger=ByParity(), clock=FakeClock(AT), rules=rules, keep=0)
    for serial in (*serials, *serials):  # the second time its shape is known
        for nonce in nonces:
            certid = CertID.of(serial, CA.certificate, name)._replace(null_parameters=null)
            data = Request.build(certid, nonce=nonce).encode()
            given = source.answer_now(data)
            assert given is not None
            assert told(given) == told(general(data, signer, rules))
            ready = source._quick.read(data) is not None
            assert ready or rules in RULES[3:] or serial % 10 == 7


def learned(*requests: Request) -> QuickSigning:
    quick = QuickSigning(Rules())
    for request in requests:
        data = request.encode()
        quick.learn(data, Request.parse(data))
    return quick


GOOD_ONE = Request.build(CertID.of(1001, CA.certificate), nonce=b"n" * 16)
PLAIN = Request.build(CertID.of(1001, CA.certificate))


def test_what_was_learned_is_read_of_every_serial_and_nonce_of_its_length() -> None:
    quick = learned(PLAIN, GOOD_ONE)
    for serial in (1001, 0x7FFF, 0x0080, 300):
        for nonce in (None, b"m" * 16):
            data = Request.build(CertID.of(serial, CA.certificate), nonce=nonce).encode()
            plain = quick.read(data)
            assert plain is not None
            assert (plain.serial, plain.nonce) == (serial, nonce or b"")
    for other in (
        Request.build(CertID.of(70000, CA.certificate)),  # of another length
        Request.build(CertID.of(1001, CA.certificate), nonce=b"n" * 17),
        Request.build(CertID.of(1001, OTHER.certificate)),
        Request.build(CertID.of(1001, CA.certificate, "sha256")),
        Request.build(*[CertID.of(1001, CA.certificate)] * 2),
    ):
        assert quick.read(other.encode()) is None


CRITICAL = Extension(NONCE, True, nonce_extension(b"n" * 16).value)


@pytest.mark.parametrize(
    "odd",
    [
        Request.build(CertID.of(1001, CA.certificate), extensions=(CRITICAL,)),
        Request.build(CertID.of(1001, CA.certificate), CertID.of(1003, CA.certificate)),
        Request.build(
            CertID.of(1001, CA.certificate), extensions=(Extension("1.2.3.4", False, b"\x05\x00"),)
        ),
        Request(PLAIN.singles, requestor=b"\x82\x01x"),
        Request.build(CertID.of(0, CA.certificate)),
        Request.build(CertID.of(-5, CA.certificate)),
    ],
    ids=["critical nonce", "two", "other extension", "requestor", "zero", "negative"],
)
def test_what_is_not_plain_is_not_learned(odd: Request) -> None:
    quick = learned(odd)
    assert quick.read(odd.encode()) is None


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_mutated_request_is_read_as_the_general_reader_does_or_not_at_all(
    data: st.DataObject,
) -> None:
    """The red twin: one octet is another, or the end is missing, or longer."""
    quick = learned(PLAIN, GOOD_ONE)
    whole = bytearray(data.draw(st.sampled_from([PLAIN, GOOD_ONE])).encode())
    where = data.draw(st.integers(0, len(whole) - 1))
    whole[where] = data.draw(st.integers(0, 255))
    size = data.draw(st.integers(0, len(whole) + 2))
    mutated = bytes(whole[:size]).ljust(size, b"\x00") if data.draw(st.booleans()) else bytes(whole)
    plain = quick.read(mutated)
    if plain is not None:
        request = Request.parse(mutated)
        assert len(request.singles) == 1
        assert request.singles[0].certid == CertID.of(plain.serial, CA.certificate)
        assert (request.nonce or b"") == plain.nonce


def test_shapes_are_bounded() -> None:
    quick = QuickSigning(Rules())
    for size in range(1, 20):
        for nonce in range(1, 129):
            request = Request.build(
                CertID.of(1 << (8 * size - 2), CA.certificate), nonce=b"n" * nonce
            )
            quick.learn(request.encode(), request)
    assert len(quick._shapes) <= 1024
