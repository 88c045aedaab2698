"""lab/setting and lab/forge: what may be set, and what is answered to requests that are odd."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holdfast.errors import OperatorError
from holdfast.lab.faults import FAULTS, Seen, Stage
from holdfast.lab.forge import _SPOILT, _WRONG, Forge
from holdfast.lab.setting import Setting, duration, duration_text, serial_number
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.findings import rule_of
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import Response, ResponseStatus
from support.pki import AT, BEGIN, a_root

CA = a_root(at=BEGIN - timedelta(days=100))
FORGE = Forge(CA, at=AT)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("250ms", 0.25), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("7d", 604800),
     ("1.5s", 1.5), (3, 3), (0.5, 0.5)],
)  # fmt: skip
def test_durations(text: Any, seconds: float) -> None:
    assert duration(text, "window").total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "-1s", "1 s", "1e3s", None, [], -1, 1e300, True])
def test_durations_refused(text: Any) -> None:
    with pytest.raises(OperatorError, match="window"):
        duration(text, "window")


@pytest.mark.parametrize("text", ["0s", "250ms", "90s", "10m", "90m", "7d"])
def test_durations_are_written_back(text: str) -> None:
    assert duration_text(duration(text, "x")) == text


def test_serials() -> None:
    assert serial_number("4F:2a") == serial_number("0x4f2a") == 0x4F2A
    assert serial_number(10) == 10


def test_changes_keep_the_rest() -> None:
    before = Setting(fault="expired", age=timedelta(hours=1), times=3)
    after = before.changed({"window": "5m"})
    assert after == Setting(fault="expired", age=timedelta(hours=1), window=timedelta(minutes=5))


def test_the_table_names_only_what_there_is() -> None:
    """Every finding that a row names exists; every row of the forge is a fault of its stage."""
    for fault in FAULTS.values():
        if fault.seen is Seen.FINDING:
            assert rule_of(fault.word)
        assert bool(fault.word) == (fault.seen is not Seen.GOOD)
    assert all(FAULTS[name].stage is Stage.ANSWER for name in _WRONG)
    assert all(FAULTS[name].stage is Stage.BYTES for name in _SPOILT)


def certid(serial: int = 1, hash_algorithm: str = "sha1") -> CertID:
    return CertID.of(serial, CA.certificate, hash_algorithm)


def body(request: bytes, fault: str = "good") -> Response:
    return Response.parse(FORGE.body(request, Setting(fault=fault), at=AT))


@pytest.mark.parametrize("request_bytes", [b"", b"garbage", b"\x30\x00"])
def test_what_does_not_parse_is_malformed_request(request_bytes: bytes) -> None:
    assert body(request_bytes).response_status is ResponseStatus.malformedRequest


def test_error_statuses_are_given_whatever_is_asked() -> None:
    assert body(b"garbage", "tryLater").response_status is ResponseStatus.tryLater


def test_several_certids_of_any_hash_in_their_order() -> None:
    asked = [certid(1), certid(2, "sha256"), certid(3, "sha512")]
    response = body(Request.build(*asked).encode())
    assert response.basic is not None
    assert [single.certid for single in response.basic.singles] == asked


def test_one_foreign_certid_is_unauthorized() -> None:
    other = CertID.of(1, a_root("Other").certificate)
    response = body(Request.build(certid(), other).encode())
    assert response.response_status is ResponseStatus.unauthorized


def test_times_are_whole_seconds() -> None:
    at = datetime(2026, 6, 1, 12, 0, 0, 999_999, tzinfo=UTC)
    der = FORGE.body(Request.build(certid()).encode(), Setting(), at=at)
    basic = Response.parse(der).basic
    assert basic is not None
    assert basic.produced_at == at.replace(microsecond=0)
