"""Several CAs behind one address: the CertID tells who answers (R15, R28)."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.ocsp.certid import HASH_OIDS, CertID, Subject
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import Response
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import ResponseStatus
from holdfast.ocsp.verify import examine
from holdfast.pki.issue import Authority
from holdfast.sources.authorities import Authorities
from holdfast.sources.signing import Signing
from support.clock import FakeClock
from support.ledgers import BrokenLedger, TwoEntries
from support.pki import AT, a_root

FIRST, SECOND, STRANGER = a_root("First"), a_root("Second"), a_root("Stranger")


def signing(ca: Authority, ledger: TwoEntries) -> Signing:
    signer = Signer(ca.certificate, ca.key, ca.certificate)
    return Signing(signer=signer, ledger=ledger, clock=FakeClock(AT))


def both(*, blocking: bool = False) -> Authorities:
    return Authorities(
        [(ca.certificate, signing(ca, TwoEntries(blocking=blocking))) for ca in (FIRST, SECOND)]
    )


def asked(certid: CertID, nonce: bytes | None = None) -> bytes:
    return Request.build(certid, nonce=nonce).encode()


@pytest.mark.parametrize("nonce", [None, b"n" * 32])
@pytest.mark.parametrize("null", [True, False])
@pytest.mark.parametrize("name", HASH_OIDS)
@pytest.mark.parametrize("ca", [FIRST, SECOND], ids=["first", "second"])
def test_r15_r28_each_ca_answers_for_its_own(
    ca: Authority, name: str, null: bool, nonce: bytes | None
) -> None:
    certid = CertID.of(1, ca.certificate, name)._replace(null_parameters=null)
    given = both().answer_now(asked(certid, nonce))
    assert given is not None
    subject = Subject(1, ca.certificate)
    assert examine(Response.parse(given.der), subject, at=AT).good
    other = Subject(1, (SECOND if ca is FIRST else FIRST).certificate)
    assert not examine(Response.parse(given.der), other, at=AT).good


@pytest.mark.parametrize("name", HASH_OIDS)
def test_r15_nobodys_certificate_is_unauthorized(name: str) -> None:
    """Also one that has a CA's name hash and another's key hash."""
    told = both().answer_now(asked(CertID.of(1, STRANGER.certificate, name)))
    assert told is not None
    assert told.response_status is ResponseStatus.unauthorized
    mixed = CertID.of(1, FIRST.certificate, name)._replace(
        issuer_key_hash=CertID.of(1, SECOND.certificate, name).issuer_key_hash
    )
    told = both().answer_now(asked(mixed))
    assert told is not None
    assert told.response_status is ResponseStatus.unauthorized


def test_r15_a_request_that_mixes_cas_is_unauthorized() -> None:
    mixed = Request.build(CertID.of(1, FIRST.certificate), CertID.of(1, SECOND.certificate))
    told = both().answer_now(mixed.encode())
    assert told is not None
    assert told.response_status is ResponseStatus.unauthorized


def test_one_cas_trouble_is_not_anothers() -> None:
    several = Authorities(
        [
            (FIRST.certificate, signing(FIRST, BrokenLedger())),
            (SECOND.certificate, signing(SECOND, TwoEntries())),
        ]
    )
    broken = several.answer_now(asked(CertID.of(1, FIRST.certificate)))
    whole = several.answer_now(asked(CertID.of(1, SECOND.certificate)))
    assert broken is not None
    assert broken.response_status is ResponseStatus.tryLater
    assert whole is not None
    assert whole.response_status is ResponseStatus.successful


def test_where_a_ledger_blocks_the_answer_is_waited_for() -> None:
    slow = both(blocking=True)
    data = asked(CertID.of(1, SECOND.certificate))
    assert slow.answer_now(data) is None
    given = asyncio.run(slow.answer_bytes(data))
    assert examine(Response.parse(given.der), Subject(1, SECOND.certificate), at=AT).good


@pytest.mark.parametrize("data", [b"", b"garbage", b"0\x00", b"0" * 300])
def test_garbage_is_malformed_request(data: bytes) -> None:
    """R5."""
    given = both().answer_now(data)
    assert given is not None
    assert given.response_status is ResponseStatus.malformedRequest
    assert asyncio.run(both().answer_bytes(data)).response_status is given.response_status
