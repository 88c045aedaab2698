"""The shelf: what a handshake is given, and when not. K4, K11, K12, T3."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from holdfast.errors import DeliveryError
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.response import Response
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import UNKNOWN, Revoked
from holdfast.ocsp.verify import verify
from holdfast.servers.shelf import Shelf
from support.answers import a_staple, a_subject, an_answer
from support.pki import AT, a_key, a_root, a_server, a_signer, an_intermediate

CA = an_intermediate(a_root())
SERVER = a_server(CA, "localhost")
LEAF = SERVER.certificate.der
SECOND = timedelta(seconds=1)


def holding(*staples: Staple, **wishes: str) -> Shelf:
    shelf = Shelf(**wishes)  # type: ignore[arg-type]
    for staple in staples:
        asyncio.run(shelf.deliver(staple))
    return shelf


def test_a_delivered_staple_is_given_and_a_withdrawn_one_is_not() -> None:
    staple = a_staple(CA, SERVER)
    shelf = holding(staple)
    assert shelf.lookup(LEAF, AT) == staple.der
    asyncio.run(shelf.withdraw(staple.certid))
    assert shelf.lookup(LEAF, AT) == b""
    asyncio.run(shelf.withdraw(staple.certid))


def test_k4_the_shelf_stops_by_itself_before_next_update() -> None:
    staple = a_staple(CA, SERVER, window=timedelta(hours=2))
    shelf = holding(staple)
    assert staple.next_update is not None
    end = staple.next_update - timedelta(seconds=60)
    assert shelf.lookup(LEAF, end - SECOND) == staple.der
    assert shelf.lookup(LEAF, end) == b""
    assert shelf.held(LEAF) == staple


def test_k4_a_short_window_keeps_95_percent_of_itself() -> None:
    staple = a_staple(CA, SERVER, window=timedelta(hours=1, seconds=100))
    shelf = holding(staple)
    assert staple.next_update is not None
    end = staple.next_update - timedelta(seconds=60)
    assert shelf.lookup(LEAF, end - SECOND) == staple.der


def test_k4_the_signers_end_is_the_staples_end() -> None:
    signer = a_signer(CA, at=AT - timedelta(days=1), lifetime=timedelta(days=2))
    staple = a_staple(CA, SERVER, signer=signer)
    shelf = holding(staple)
    assert staple.next_update is not None
    assert signer.certificate.not_after < staple.next_update
    assert shelf.lookup(LEAF, signer.certificate.not_after - timedelta(seconds=90)) == staple.der
    assert shelf.lookup(LEAF, signer.certificate.not_after - timedelta(seconds=30)) == b""


def test_k6_no_next_update_is_not_for_ever() -> None:
    staple = a_staple(CA, SERVER, window=None)
    shelf = holding(staple)
    assert shelf.lookup(LEAF, AT) == staple.der
    assert shelf.lookup(LEAF, AT + timedelta(hours=12)) == b""


def test_t3_not_yet_valid_is_not_given() -> None:
    staple = a_staple(CA, SERVER)
    shelf = holding(staple)
    assert shelf.lookup(LEAF, staple.this_update - timedelta(minutes=6)) == b""


def test_t3_another_certificates_staple_is_not_given() -> None:
    shelf = holding(a_staple(CA, SERVER))
    other = a_server(CA, "other.example")
    assert shelf.lookup(other.certificate.der, AT) == b""
    assert shelf.lookup(b"no certificate", AT) == b""


def test_t3_the_same_serial_under_another_key_of_that_name_is_not_given() -> None:
    twin_ca = an_intermediate(a_root(), key=a_key("another issuing key"))
    twin = a_server(twin_ca, "localhost", serial=SERVER.certificate.serial)
    assert twin_ca.certificate.subject_der == CA.certificate.subject_der
    answer = Response.parse(an_answer(CA, SERVER))
    bare = verify(answer, Subject(SERVER.certificate.serial, CA.certificate), at=AT)
    shelf = holding(bare)
    assert shelf.lookup(LEAF, AT) == bare.der
    assert shelf.lookup(twin.certificate.der, AT) == b""


def test_t3_unknown_is_refused_at_the_door() -> None:
    with pytest.raises(DeliveryError, match="unknown"):
        holding(a_staple(CA, SERVER, UNKNOWN))


def test_k11_revoked_is_sent_unless_withheld() -> None:
    staple = a_staple(CA, SERVER, Revoked(AT - timedelta(days=1)))
    assert holding(staple).lookup(LEAF, AT) == staple.der
    assert holding(staple, on_revoked="withhold").lookup(LEAF, AT) == b""


def test_a_newer_staple_replaces_the_one_on_the_shelf_also_after_a_lookup() -> None:
    old, new = a_staple(CA, SERVER), a_staple(CA, SERVER, Revoked(AT - timedelta(days=1)))
    shelf = holding(old)
    assert shelf.lookup(LEAF, AT) == old.der
    asyncio.run(shelf.deliver(new))
    assert shelf.lookup(LEAF, AT) == new.der
    assert old.certid == a_subject(CA, SERVER).certid
