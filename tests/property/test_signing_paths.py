"""However an answer came about, put together from parts, given again or by the general way, it is
octet for octet what `plan.answering.answer` says, under every rule (R2 to R19, R28).

Ed25519 and RSA PKCS#1 sign the same message the same way, so that whole responses compare.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from random import Random

import pytest

from holdfast.ocsp.certid import HASH_OIDS, CertID
from holdfast.ocsp.request import Request, SingleRequest
from holdfast.ocsp.response import Response
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.single_extensions import CrlID
from holdfast.ocsp.statuses import GOOD, CertificateStatus, RevocationReason, Revoked
from holdfast.plan.answering import Answer, Detail, Signed, answer, read_request
from holdfast.plan.choosing import choose
from holdfast.plan.rules import (
    NeverIssued,
    Nonces,
    OtherIssuers,
    Rules,
    SignedRequests,
    Told,
)
from holdfast.seams import LedgerEntry
from holdfast.sources.signers import Signers
from holdfast.sources.signing import Signing
from support.clock import FakeClock
from support.messages import a_certid, a_nonce, damaged, signed_request, some_wishes
from support.pki import AT, a_root, a_server, a_signer

CA = a_root()
CLIENTS = (a_server(CA, "client.test"), a_server(a_root("Another"), "stranger.test"))
SIGNERS = tuple(
    Signer(made.certificate, made.key, CA.certificate)
    for made in (a_signer(CA, kind, key_type=kind) for kind in ("ed25519", "rsa-2048"))
)
END = AT + timedelta(days=90)
LIST = CrlID("http://ca.test/ca.crl", 9, AT)
SERIALS = (1, 2, 0x7F, 0x80, 0xFF00, (1 << 159) - 5)  # of several lengths; the second is revoked
LOST = Revoked(AT - timedelta(days=2), RevocationReason.CA_COMPROMISE)


class Rows:
    """All of SERIALS, the even ones revoked."""

    blocking = False

    def __init__(self) -> None:
        self.rows = {n: self._row(n) for n in SERIALS}

    def _row(self, serial: int) -> LedgerEntry:
        if serial % 2:
            return LedgerEntry(serial, END)
        at = AT - timedelta(days=1)
        reason = RevocationReason.SUPERSEDED if serial % 3 else None
        return LedgerEntry(serial, END, at, reason, invalidity_date=AT, crl=LIST)

    def entry(self, serial: int, /) -> LedgerEntry | None:
        return self.rows.get(serial)

    def entries(self) -> Iterator[LedgerEntry]:
        return iter(self.rows.values())

    def known(self, serial: int) -> CertificateStatus | None:
        entry = self.rows.get(serial)
        if entry is None:
            return None
        return GOOD if entry.revoked_at is None else Revoked(entry.revoked_at, entry.reason)


def some_rules(rng: Random) -> Rules:
    return Rules(
        validity=rng.choice((timedelta(hours=12), timedelta(days=2000))),
        backdate=rng.choice((timedelta(0), timedelta(hours=1))),
        never_issued=rng.choice(list(NeverIssued)),
        other_issuers=rng.choice(list(OtherIssuers)),
        signed_requests=rng.choice(list(SignedRequests)),
        requestors=(CA.certificate,),
        nonces=rng.choice(list(Nonces)),
        archive_cutoff=rng.choice((None, timedelta(days=3650))),
        tell=frozenset(one for one in Told if rng.random() < 0.3),
        ca_revoked=rng.choice((None, None, None, LOST)),
    )


def a_question(rng: Random) -> bytes:
    """Plain for the most part, as clients ask; the rest of every shape."""

    def one() -> CertID:
        if rng.random() < 0.05:
            return a_certid(rng)
        serial = rng.choice((*SERIALS, 3, 0x8000))
        name = rng.choice(("sha1", "sha1", "sha1", *HASH_OIDS))
        found = CertID.of(serial, CA.certificate, name)
        return found._replace(null_parameters=rng.random() < 0.8)

    match rng.randrange(6):
        case 0 | 1:
            request = Request.build(one())
        case 2 | 3:
            request = Request((SingleRequest(one()),), (a_nonce(rng),))
        case 4:
            request = Request.build(*(one() for _ in range(rng.randrange(2, 5))))
        case _:
            request = Request((SingleRequest(one()),), (a_nonce(rng), *some_wishes(rng)))
    if rng.random() < 0.15:
        request = signed_request(request, rng.choice(CLIENTS))
    data = request.encode()
    return damaged(rng, data) if rng.random() < 0.1 else data


def by_the_book(data: bytes, rules: Rules, ledger: Rows, clock: FakeClock) -> Answer:
    request = read_request(data)
    if isinstance(request, Answer):
        return request
    at = clock.now()
    ours = [
        single.certid
        for single in request.singles
        if single.certid.names(single.certid.serial, CA.certificate)
    ]
    details = {
        certid: Detail(entry.invalidity_date, entry.crl)
        for certid in ours
        if (entry := ledger.rows.get(certid.serial)) is not None and entry.revoked_at is not None
    }
    return answer(
        request,
        known={certid: ledger.known(certid.serial) for certid in ours},
        signer=choose(SIGNERS, request, at=at),
        rules=rules,
        at=at,
        details=details,
    )


def octets_of(right: Answer) -> Signed:
    assert right.this_update is not None
    assert right.next_update is not None
    begins, ends = (int(time.timestamp()) for time in (right.this_update, right.next_update))
    (single,) = right.singles
    digest = sha256(right.der).hexdigest()
    return right.der, begins, ends, single.certificate_status.text, right.nonced, digest


@pytest.mark.parametrize("keep", [0, 100])
@pytest.mark.parametrize("batch", range(8))
def test_every_way_to_an_answer_ends_at_the_same_octets(batch: int, keep: int) -> None:
    """Thirty questions to each of ten responders of other rules; time passes where none is kept."""
    rng = Random(f"paths {batch}")
    in_octets = 0
    for _ in range(10):
        rules, ledger, clock = some_rules(rng), Rows(), FakeClock(AT)
        source = Signing(
            signer=Signers(*SIGNERS), ledger=ledger, clock=clock, rules=rules, keep=keep
        )
        for _ in range(30):
            data = a_question(rng)
            right = by_the_book(data, rules, ledger, clock)
            for _ in range(2):  # the second time its shape is known
                (quick,) = source.signed_now([data])
                if quick is not None:
                    in_octets += 1
                    assert quick == octets_of(right)
                assert asyncio.run(source.answer_bytes(data)) == right
            if not keep and rng.random() < 0.3:
                clock.advance(timedelta(seconds=rng.choice((0.4, 1, 100))))
    assert in_octets or keep  # what the general way made first is given again by it


def asked(serial: int, nonce: bytes | None) -> bytes:
    return Request.build(CertID.of(serial, CA.certificate), nonce=nonce).encode()


class Noting:
    """An `Audit` that is told several at once, and of others one by one."""

    def __init__(self) -> None:
        self.noted: list[bytes] = []

    def __call__(self, answer: Answer, _: Signer) -> None:
        self.noted.append(answer.der)

    def several(self, made: Sequence[tuple[int, Signed]], _: Signer, __: datetime) -> None:
        for serial, (der, *_) in made:
            basic = Response.parse(der).basic
            assert basic is not None
            (single,) = basic.singles
            assert single.certid.serial == serial
            self.noted.append(der)


@pytest.mark.parametrize("keep", [0, 100])
def test_what_is_answered_together_is_what_each_is_answered_alone(keep: int) -> None:
    """In order, whatever stands beside it; R36: each signature is noted once."""
    rng = Random(f"together {keep}")
    in_octets = 0
    for _ in range(20):
        rules, ledger, audit = some_rules(rng), Rows(), Noting()
        source = Signing(
            signer=Signers(*SIGNERS),
            ledger=ledger,
            clock=FakeClock(AT),
            rules=rules,
            audit=audit,
            keep=keep,
        )
        several = [a_question(rng) for _ in range(6)]
        several += [asked(rng.choice(SERIALS), rng.choice((None, b"n"))) for _ in range(6)]
        for data in several:  # their shapes are known then
            asyncio.run(source.answer_bytes(data))
        several += rng.choices(several, k=6)
        rng.shuffle(several)
        audit.noted.clear()
        made = source.signed_now(several)
        given = [one for one in made if one is not None]
        in_octets += len(given)
        for data, one in zip(several, made, strict=True):
            assert one is None or one == octets_of(by_the_book(data, rules, ledger, FakeClock(AT)))
        assert set(audit.noted) <= {der for der, *_ in given}
        if not keep:
            assert sorted(audit.noted) == sorted(der for der, *_ in given)
    assert in_octets > (5 if keep else 40)  # what the general way made is given again by it


def test_what_is_asked_twice_at_once_is_signed_once() -> None:
    """R23: a crowd costs one signature, and a nonce is never another's."""
    audit = Noting()
    source = Signing(signer=SIGNERS[0], ledger=Rows(), clock=FakeClock(AT), audit=audit)
    for nonce in (None, b"o" * 16):  # their shapes are known then
        asyncio.run(source.answer_bytes(asked(0x7F, nonce)))
    audit.noted.clear()
    plain, nonced = asked(1, None), asked(1, b"n" * 16)
    made = source.signed_now([plain, plain, nonced, plain, nonced])
    first, second, third, fourth, fifth = (one for one in made if one is not None)
    assert first is second is fourth
    assert audit.noted == [first[0], third[0], fifth[0]]
    assert source.signed_now([plain]) == [first]
    assert len(audit.noted) == 3
