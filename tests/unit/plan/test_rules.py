"""A responder's rules: safe when nothing is said, refused when they cannot be kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holdfast.errors import OperatorError
from holdfast.ocsp.statuses import RevocationReason, Revoked
from holdfast.plan.rules import (
    CA_REASONS,
    NeverIssued,
    Nonces,
    OtherIssuers,
    Rules,
    SignedRequests,
    compromised,
)
from support.pki import AT, a_root

CA = a_root()
LOST = Revoked(AT - timedelta(days=2), RevocationReason.CA_COMPROMISE)


def test_the_defaults_are_those_of_the_lightweight_profile() -> None:
    """RFC 9919: unauthorized for what is not known, short answers; R7: nobody has to sign."""
    rules = Rules()
    assert rules.never_issued is NeverIssued.UNAUTHORIZED
    assert rules.other_issuers is OtherIssuers.UNAUTHORIZED
    assert rules.signed_requests is SignedRequests.IGNORED
    assert rules.nonces is Nonces.ECHOED
    assert rules.tell == frozenset()
    assert rules.cutoff(AT) is None
    assert rules.ca_revoked is None
    assert rules.shelf_may_answer


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"validity": timedelta(0)}, "hold for 0:00:00"),
        ({"validity": -timedelta(hours=1)}, "hold for"),
        ({"backdate": -timedelta(seconds=1)}, "dated back"),
        ({"signed_requests": SignedRequests.VERIFIED}, "to be verified, and nobody is trusted"),
        ({"signed_requests": SignedRequests.REQUIRED}, "to be required, and nobody is trusted"),
        ({"archive_cutoff": timedelta(0)}, "archive cutoff of 0:00:00"),
        ({"archive_cutoff": timedelta.max}, "archive cutoff of"),
        ({"archive_cutoff": datetime(2020, 1, 1)}, "without a time zone"),  # noqa: DTZ001
        ({"ca_revoked": Revoked(AT)}, "cACompromise or keyCompromise"),
        ({"ca_revoked": Revoked(AT, RevocationReason.SUPERSEDED)}, "cACompromise"),
    ],
)
def test_rules_that_cannot_be_kept_are_refused(wrong: dict[str, Any], match: str) -> None:
    """R7, R12, R14: with a hint at what to give."""
    with pytest.raises(OperatorError, match=match) as caught:
        Rules(**wrong)
    assert caught.value.hint


def test_r7_r14_when_answers_from_before_must_not_be_given() -> None:
    """A shelf knows neither who asks nor that the CA's key was lost since."""
    anchors = (CA.certificate,)
    for mode in SignedRequests:
        rules = Rules(signed_requests=mode, requestors=anchors)
        assert rules.shelf_may_answer is (mode is not SignedRequests.REQUIRED)
    assert not Rules(ca_revoked=LOST).shelf_may_answer


def test_r12_the_cutoff_is_counted_back_or_fixed() -> None:
    fixed = datetime(2001, 2, 3, tzinfo=UTC)
    assert Rules(archive_cutoff=timedelta(days=10)).cutoff(AT) == AT - timedelta(days=10)
    assert Rules(archive_cutoff=fixed).cutoff(AT) == fixed


@pytest.mark.parametrize("reason", [None, *RevocationReason])
@pytest.mark.parametrize("days", [-5, 0, 5])
def test_r14_the_stricter_of_two_revocations(reason: RevocationReason | None, days: int) -> None:
    """The earlier date; a hold does not stay one."""
    own = Revoked(LOST.at + timedelta(days=days), reason)
    said = compromised(own, LOST)
    assert said.at == min(own.at, LOST.at)
    lifted = (None, RevocationReason.CERTIFICATE_HOLD, RevocationReason.REMOVE_FROM_CRL)
    assert said.reason == (LOST.reason if reason in lifted else reason)


def test_r14_what_was_not_revoked_is() -> None:
    for reason in CA_REASONS:
        lost = Revoked(AT, reason)
        assert compromised(None, lost) == lost
        assert Rules(ca_revoked=lost).ca_revoked == lost
