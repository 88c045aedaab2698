"""A staple is what was proved, and only `verify` makes one (V7)."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import timedelta

import pytest

from holdfast.ocsp.certid import Subject
from holdfast.ocsp.response import GOOD, Response, SingleResponse
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.verify import verify
from support.pki import AT, a_root, a_server

CA = a_root()
SERVER = a_server(CA)
SUBJECT = Subject.of(SERVER.certificate, CA.certificate)
SINGLE = SingleResponse(SUBJECT.certid, GOOD, AT, AT + timedelta(days=7))
DER = Signer(CA.certificate, CA.key, CA.certificate).respond([SINGLE], produced_at=AT)
STAPLE = verify(Response.parse(DER), SUBJECT, at=AT)


def test_it_has_what_a_store_and_a_server_need() -> None:
    assert STAPLE.der == DER
    assert STAPLE.certid == SUBJECT.certid
    assert STAPLE.certificate_status == GOOD
    assert (STAPLE.this_update, STAPLE.next_update) == (SINGLE.this_update, SINGLE.next_update)
    assert STAPLE.produced_at == AT


def test_it_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        STAPLE.subject = SUBJECT  # type: ignore[misc]


def test_it_does_not_pour_its_bytes_into_logs() -> None:
    assert "der=" not in repr(STAPLE)
