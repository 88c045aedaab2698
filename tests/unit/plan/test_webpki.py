"""R29, R31: the Baseline Requirements as a table; every rule has a case that breaks it alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from holdfast.pki.certificate import OCSP_SIGNING, Certificate
from holdfast.pki.extras import Extra
from holdfast.plan.webpki import (
    PRACTICE_RULES,
    Practice,
    SigningAs,
    breaches,
    signer_breaches,
    words,
)
from support.pki import a_root, a_signer

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
GOOD = Practice(validity=4 * DAY, noticed_within=timedelta(seconds=10))
BROKEN: dict[str, tuple[Practice, str, str]] = {
    "short": (Practice(validity=8 * HOUR - timedelta(seconds=1)), "validity", "4.9.10"),
    "long": (Practice(validity=10 * DAY + timedelta(seconds=1)), "validity", "4.9.10"),
    "long with backdate": (Practice(validity=10 * DAY, backdate=HOUR), "validity", "4.9.10"),
    "noticed late": (replace(GOOD, noticed_within=timedelta(minutes=16)), "delay", "4.9.10"),
    "unlisted": (replace(GOOD, unlisted_good=True), "crl_unlisted", "4.9.10"),
    "signed": (replace(GOOD, signed_requests_only=True), "signed_requests", "4.9.9"),
    "digest": (replace(GOOD, digest="sha1"), "digest", "7.1.3.2"),
}


@pytest.mark.parametrize(
    "practice",
    [
        GOOD,
        Practice(validity=8 * HOUR),
        Practice(validity=10 * DAY),
        Practice(validity=12 * HOUR, backdate=HOUR, digest="sha384"),
    ],
)
def test_r31_what_is_allowed(practice: Practice) -> None:
    assert list(breaches(practice)) == []


@pytest.mark.parametrize("case", BROKEN)
def test_r31_what_is_refused_names_the_key_the_section_and_a_way_out(case: str) -> None:
    practice, key, section = BROKEN[case]
    (breach,) = breaches(practice)
    assert breach.key == key
    assert breach.section.startswith(section)
    assert breach.message.startswith(f"{key}: ")
    assert f"(Baseline Requirements {section}" in breach.message
    assert breach.hint


def test_every_rule_about_settings_has_a_case_that_breaks_it() -> None:
    broken = {case: next(breaches(practice)).hint for case, (practice, _, _) in BROKEN.items()}
    assert {rule.hint for rule in PRACTICE_RULES} == set(broken.values())


def told(certificate: Certificate, issuer: Certificate) -> list[tuple[str, str]]:
    found = signer_breaches(SigningAs(certificate=certificate, issuer=issuer))
    return [(breach.section, breach.problem) for breach in found]


USAGE = x509.KeyUsage(False, True, False, False, False, False, False, False, False)
SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
BAD_DELEGATES: dict[str, tuple[dict[str, Any], str, str]] = {
    "nocheck": ({"nocheck": False}, "4.9.9", "lacks id-pkix-ocsp-nocheck"),
    "no purpose": ({"eku": (SERVER_AUTH,)}, "7.1.2.8", "lacks the extended key usage"),
    "purposes": ({"eku": (OCSP_SIGNING, SERVER_AUTH)}, "7.1.2.8", "beside OCSPSigning"),
    "usage": ({"extensions": [Extra(USAGE, True)]}, "7.1.2.8", "lacks the key usage"),
    "usages": ({"ca": True}, "7.1.2.8", "key usages beside digitalSignature"),
    "Ed25519": ({"key_type": "ed25519", "who": "ed"}, "6.1.5", "Ed25519"),
    "ML-DSA": ({"key_type": "ml-dsa-44", "who": "ml"}, "6.1.5", "ML-DSA"),
    "RSA 1024": ({"key_type": "rsa-1024", "who": "small"}, "6.1.5", "RSA 1024"),
}


@pytest.mark.parametrize("key_type", ["ecdsa-p256", "ecdsa-p384", "rsa-2048"])
def test_r31_a_good_delegate_and_the_ca_itself(key_type: str) -> None:
    ca = a_root()
    signer = a_signer(ca, key_type=key_type, who=f"good {key_type}")
    assert told(signer.certificate, ca.certificate) == []
    assert told(ca.certificate, ca.certificate) == []


@pytest.mark.parametrize("case", BAD_DELEGATES)
def test_r31_a_bad_delegate_is_refused(case: str) -> None:
    wishes, section, problem = BAD_DELEGATES[case]
    ca = a_root()
    ((cited, said),) = told(a_signer(ca, **wishes).certificate, ca.certificate)
    assert cited == section
    assert problem in said


def test_r31_a_ca_without_digital_signature_must_not_sign_answers() -> None:
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    ca = a_root(extensions=[Extra(usage, True)])
    ((section, said),) = told(ca.certificate, ca.certificate)
    assert section == "7.1.2.10.7"
    assert "lacks digitalSignature" in said


def test_words() -> None:
    told = [words(timedelta(seconds=s)) for s in (90, 600, 43_200, 345_600, 0)]
    assert told == ["90s", "10m", "12h", "4d", "0s"]
