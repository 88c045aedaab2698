"""The names of statuses and reasons, and that they come apart (RFC 6960 4.2.1, RFC 5280 5.3.1)."""

from __future__ import annotations

import pytest

from holdfast.ocsp.statuses import GOOD, UNKNOWN, Good, ResponseStatus, RevocationReason, Unknown


def test_response_statuses_are_the_rfcs() -> None:
    assert {status.name: status.value for status in ResponseStatus} == {
        "successful": 0,
        "malformedRequest": 1,
        "internalError": 2,
        "tryLater": 3,
        "sigRequired": 5,
        "unauthorized": 6,
    }


@pytest.mark.parametrize("reason", RevocationReason)
def test_r10_reasons_are_found_by_code_and_by_name(reason: RevocationReason) -> None:
    assert RevocationReason.by_code(reason.code) is reason
    assert RevocationReason.by_text(reason.text.upper()) is reason


def test_code_7_is_no_reason() -> None:
    assert {reason.code for reason in RevocationReason} == {0, 1, 2, 3, 4, 5, 6, 8, 9, 10}
    assert RevocationReason.by_code(7) is None
    assert RevocationReason.by_text("because") is None


def test_good_and_unknown_are_never_equal() -> None:
    assert Good() == GOOD
    assert Unknown() == UNKNOWN
    assert GOOD != UNKNOWN
    assert (Good.text, Unknown.text) == ("good", "unknown")
