"""Who signed, and whether that one may: roles and findings as values (V2, V4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from holdfast.ocsp.certid import Subject
from holdfast.ocsp.findings import Finding, Profile
from holdfast.ocsp.policy import Policy
from holdfast.ocsp.response import GOOD, BasicResponse, Response, SingleResponse
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.signer import issued_by, signed_by_issuer_or_delegate
from holdfast.pki.certificate import Certificate
from holdfast.pki.issue import Authority, Issued
from support.pki import AT, BEGIN, a_key, a_root, a_signer, an_intermediate

CA = a_root()
SUBJECT = Subject(77, CA.certificate)
SINGLE = SingleResponse(SUBJECT.certid, GOOD, AT, AT + timedelta(days=7))
DELEGATE = a_signer(CA)
TRUSTED = a_signer(a_root("Elsewhere"), "Trusted")


def asked(
    who: Authority | Issued, *certificates: Certificate, **policy: object
) -> tuple[Certificate | None, str | None, list[Finding]]:
    """(signer, role, findings) for a response by `who` that carries `certificates`."""
    signer = Signer(who.certificate, who.key, CA.certificate, send_certificate=False)
    basic = Response.parse(signer.respond([SINGLE], produced_at=AT)).basic
    assert basic is not None
    basic = basic._replace(certificates=tuple(one.der for one in certificates))
    found: list[Finding] = []
    signed, role = signed_by_issuer_or_delegate(
        basic, SUBJECT, at=AT, policy=Policy(**policy), into=found  # type: ignore[arg-type]
    )  # fmt: skip
    return signed, role, found


def codes(found: list[Finding]) -> set[str]:
    return {one.code.removeprefix("response-") for one in found}


def test_the_issuer_signs_in_its_own_role() -> None:
    assert asked(CA) == (CA.certificate, "issuer", [])


def test_a_delegate_signs_in_its_own_role() -> None:
    assert asked(DELEGATE, DELEGATE.certificate) == (DELEGATE.certificate, "delegate", [])


def test_a_trusted_responder_signs_in_its_own_role() -> None:
    given = {"trusted_responders": (TRUSTED.certificate,)}
    assert asked(TRUSTED, **given) == (TRUSTED.certificate, "trusted", [])
    signed, role, found = asked(TRUSTED, TRUSTED.certificate)
    assert (signed, role) == (TRUSTED.certificate, None)
    assert codes(found) == {"signer-unauthorised"}


def test_trust_is_in_the_certificate_not_in_its_name_or_key() -> None:
    """The red twin: another certificate of the same name and key is not the one trusted."""
    again = a_signer(a_root("Elsewhere"), "Trusted")
    assert again.certificate != TRUSTED.certificate
    assert again.certificate.spki_der == TRUSTED.certificate.spki_der
    signed, role, _ = asked(again, again.certificate, trusted_responders=(DELEGATE.certificate,))
    assert (signed, role) == (again.certificate, None)


def test_nobody_at_hand_made_it() -> None:
    signed, role, found = asked(DELEGATE)
    assert (signed, role, codes(found)) == (None, None, {"signer-unauthorised"})


def test_a_bad_signature_names_whose_it_should_be() -> None:
    signed, role, found = asked(replace(CA, key=a_key("stranger")))
    assert (signed, role, codes(found)) == (None, None, {"bad-signature"})
    assert "CN=Test Root" in found[0].message


@pytest.mark.parametrize("place", range(4))
def test_a_delegate_is_found_at_any_position(place: int) -> None:
    """Go x/crypto looked at certs[0] alone."""
    others = [CA.certificate, TRUSTED.certificate, a_root("Third").certificate]
    others.insert(place, DELEGATE.certificate)
    assert asked(DELEGATE, *others)[1] == "delegate"


def test_of_two_certificates_with_the_key_one_without_fault_is_enough() -> None:
    """A renewed delegate, its ended certificate sent first, last, or alone."""
    ended = a_signer(CA, at=BEGIN, lifetime=timedelta(days=30))
    assert ended.certificate.spki_der == DELEGATE.certificate.spki_der
    for sent in ((ended, DELEGATE), (DELEGATE, ended)):
        signed, role, found = asked(DELEGATE, *(one.certificate for one in sent))
        assert (signed, role, found) == (DELEGATE.certificate, "delegate", [])
    signed, role, found = asked(DELEGATE, ended.certificate)
    assert (signed, role) == (ended.certificate, "delegate")
    assert codes(found) == {"signer-expired"}


def test_when_none_is_without_fault_the_first_is_told() -> None:
    plain = a_signer(CA, eku=())
    ended = a_signer(CA, at=BEGIN, lifetime=timedelta(days=30))
    signed, role, found = asked(DELEGATE, plain.certificate, ended.certificate)
    assert (signed, role) == (plain.certificate, None)
    assert codes(found) == {"signer-unauthorised"}


@pytest.mark.parametrize(
    ("profile", "role"),
    [(Profile.STRICT, None), (Profile.BROWSER, None), (Profile.RFC6960, "delegate")],
)
def test_a_delegate_that_is_a_ca(profile: Profile, role: str | None) -> None:
    who = a_signer(CA, "CA Signer", ca=True)
    signed, found_role, found = asked(who, who.certificate, profile=profile)
    assert (signed, found_role) == (who.certificate, role)
    assert codes(found) == {"signer-unauthorised"}


def test_a_missing_nocheck_is_only_a_note() -> None:
    who = a_signer(CA, "Checked", nocheck=False)
    _, role, found = asked(who, who.certificate)
    assert (role, codes(found)) == ("delegate", {"signer-without-nocheck"})
    assert found[0].severity.text == "note"


def test_an_unlisted_algorithm_ends_the_search() -> None:
    """V4: nothing is verified by an algorithm that is not on the list."""
    basic = Response.parse(
        Signer(CA.certificate, CA.key, CA.certificate).respond([SINGLE], produced_at=AT)
    ).basic
    assert isinstance(basic, BasicResponse)
    odd = basic._replace(signature_algorithm=basic.signature_algorithm._replace(oid="1.2.3"))
    found: list[Finding] = []
    assert signed_by_issuer_or_delegate(
        odd, SUBJECT, at=AT, policy=Policy(), into=found
    ) == (None, None)  # fmt: skip
    assert codes(found) == {"weak-signature"}
    assert "1.2.3, which is not on the list" in found[0].message


def test_issued_by_asks_for_the_key_alone() -> None:
    """V2: the signature is checked, not the name."""
    renamed = a_root("Renamed", who="Test Root")
    assert issued_by(DELEGATE.certificate, CA.certificate) == (True, "")
    assert issued_by(DELEGATE.certificate, renamed.certificate) == (True, "")
    impostor = a_root(who="impostor")
    assert impostor.certificate.subject_der == CA.certificate.subject_der
    assert issued_by(DELEGATE.certificate, impostor.certificate) == (False, "")
    below = an_intermediate(CA)
    assert issued_by(a_signer(below).certificate, CA.certificate) == (False, "")
