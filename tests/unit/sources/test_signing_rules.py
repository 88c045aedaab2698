"""Rules in a responder that signs: what one client was given is not given to another who may not
have it; what the ledger knows is told; who is preferred signs (R7, R12, R13, R14)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.request import Request
from holdfast.ocsp.request_extensions import PreferredAlgorithm, preferred_extension
from holdfast.ocsp.response import BasicResponse, Response
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.single_extensions import CrlID, crl_reference, invalidity_date
from holdfast.ocsp.statuses import GOOD, ResponseStatus, RevocationReason, Revoked
from holdfast.ocsp.verify import examine
from holdfast.plan.answering import Answer
from holdfast.plan.rules import Rules, SignedRequests, Told
from holdfast.seams import LedgerEntry
from holdfast.sources.signers import Signers
from holdfast.sources.signing import Signing
from support.clock import FakeClock
from support.messages import signed_request
from support.pki import AT, a_root, a_server, a_signer

CA = a_root()
DIRECT = Signer(CA.certificate, CA.key, CA.certificate)
CLIENT = a_server(CA, "client.test")
STRANGER = a_server(a_root("Another"), "stranger.test")
PLAIN = Request.build(CertID.of(1, CA.certificate))
SINCE = AT - timedelta(days=30)
LIST = CrlID("http://ca.test/ca.crl", 9, AT)


class Rows:
    """1 is good, 2 revoked, with all that a ledger can know of it."""

    def __init__(self, *, blocking: bool = False) -> None:
        self.blocking = blocking
        end = AT + timedelta(days=90)
        self.rows = {
            1: LedgerEntry(1, end),
            2: LedgerEntry(
                2, end, AT - timedelta(days=1), RevocationReason.KEY_COMPROMISE,
                invalidity_date=SINCE, crl=LIST,
            ),
        }  # fmt: skip

    def entry(self, serial: int, /) -> LedgerEntry | None:
        return self.rows.get(serial)

    def entries(self) -> Iterator[LedgerEntry]:
        return iter(self.rows.values())


def signing(
    rules: Rules, *signers: Signer, clock: FakeClock | None = None, blocking: bool = False
) -> Signing:
    return Signing(
        signer=Signers(*(signers or (DIRECT,))),
        ledger=Rows(blocking=blocking),
        clock=clock or FakeClock(AT),
        rules=rules,
    )


def asked(source: Signing, request: Request) -> Answer:
    return asyncio.run(source.answer_bytes(request.encode()))


def basic_of(given: Answer) -> BasicResponse:
    basic = Response.parse(given.der).basic
    assert basic is not None, given.why
    return basic


@pytest.mark.parametrize("blocking", [False, True])
def test_r7_red_what_a_proved_client_was_given_is_not_given_to_others(blocking: bool) -> None:
    """Neither from what was kept, nor by answering at once."""
    rules = Rules(signed_requests=SignedRequests.REQUIRED, requestors=(CA.certificate,))
    source = signing(rules, blocking=blocking)
    signed = signed_request(PLAIN, CLIENT)
    forged = replace(signed, signature=signed_request(PLAIN, STRANGER).signature)
    for _ in range(3):
        proved = asked(source, signed)
        assert proved.response_status is ResponseStatus.successful
        assert proved.requestor == CLIENT.certificate.subject
        assert asked(source, PLAIN).response_status is ResponseStatus.sigRequired
        assert asked(source, forged).response_status is ResponseStatus.unauthorized


def test_r7_red_a_client_that_ends_is_refused_though_it_was_answered() -> None:
    """Nothing that was proved is remembered."""
    clock = FakeClock(AT)
    ca = a_root("Long", lifetime=timedelta(days=9000))
    client = a_server(ca, "ending.test", lifetime=timedelta(days=152))
    assert client.certificate.in_date(AT)
    rules = Rules(
        signed_requests=SignedRequests.VERIFIED,
        requestors=(ca.certificate,),
        validity=timedelta(days=7),
    )
    source, signed = signing(rules, clock=clock), signed_request(PLAIN, client)
    assert asked(source, signed).response_status is ResponseStatus.successful
    clock.advance(timedelta(days=1))
    assert asked(source, signed).response_status is ResponseStatus.unauthorized


@pytest.mark.parametrize("blocking", [False, True])
def test_r12_what_the_ledger_knows_is_told(blocking: bool) -> None:
    two = Request.build(CertID.of(2, CA.certificate))
    quiet = basic_of(asked(signing(Rules(), blocking=blocking), two)).singles[0]
    assert quiet.extensions == ()
    rules = Rules(tell=frozenset(Told))
    told = basic_of(asked(signing(rules, blocking=blocking), two)).singles[0]
    assert crl_reference(told.extensions) == LIST
    assert invalidity_date(told.extensions) == SINCE


def test_r13_the_preferred_signer_signs() -> None:
    made = a_signer(CA, "Edwards", key_type="ed25519")
    edwards = Signer(made.certificate, made.key, CA.certificate)
    source = signing(Rules(), DIRECT, edwards)
    for signer in (DIRECT, edwards, DIRECT):
        wish = preferred_extension(PreferredAlgorithm(signer.algorithm))
        request = Request.build(PLAIN.singles[0].certid, extensions=(wish,))
        given = asked(source, request)
        assert basic_of(given).signature_algorithm == signer.algorithm
        assert examine(Response.parse(given.der), Subject(1, CA.certificate), at=AT).good


def test_r14_a_lost_ca_key_revokes_what_the_ledger_has_as_good() -> None:
    lost = Revoked(AT - timedelta(days=2), RevocationReason.CA_COMPROMISE)
    said = basic_of(asked(signing(Rules(ca_revoked=lost)), PLAIN)).singles[0]
    assert said.certificate_status == lost
    assert basic_of(asked(signing(Rules()), PLAIN)).singles[0].certificate_status == GOOD
