"""Signing: what a `Signer` makes is judged valid; an unfit one says why (R1, R3, R9, R15, V2)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from holdfast.errors import OperatorError
from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.extension import Extension, nonce_extension
from holdfast.ocsp.policy import Policy
from holdfast.ocsp.response import GOOD, ResponderKey, ResponderName, Response, SingleResponse
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.verify import examine
from holdfast.pki.issue import Authority, Issued, raw
from support.pki import AT, BEGIN, a_key, a_root, a_server, a_signer

CA = a_root()
OTHER = a_root("Other Root")
SERVER = a_server(CA)
DELEGATE = a_signer(CA)
SUBJECT = Subject.of(SERVER.certificate, CA.certificate)
SINGLE = SingleResponse(SUBJECT.certid, GOOD, AT, AT + timedelta(days=7))


def signer_of(issued: Authority | Issued, **wishes: object) -> Signer:
    return Signer(issued.certificate, issued.key, CA.certificate, **wishes)  # type: ignore[arg-type]


@pytest.mark.parametrize("responder", ["key", "name"])
@pytest.mark.parametrize("who", [CA, DELEGATE], ids=["issuer", "delegate"])
def test_r15_what_it_signs_is_good(who: Authority | Issued, responder: str) -> None:
    """R9, R15: named by key and by name, by the CA itself and by a delegate."""
    signer = signer_of(who, responder=responder)
    response = Response.parse(signer.respond([SINGLE], produced_at=AT))
    verdict = examine(response, SUBJECT, at=AT)
    assert verdict.good
    assert verdict.findings == ()
    assert verdict.signer == who.certificate
    assert verdict.signer_role == ("issuer" if who is CA else "delegate")
    kind = ResponderKey if responder == "key" else ResponderName
    assert isinstance(signer.responder_id, kind)


@pytest.mark.parametrize("key_type", ["rsa-2048", "ecdsa-p384", "ecdsa-p521", "ed25519", "ed448"])
def test_every_kind_of_delegate(key_type: str) -> None:
    signer = signer_of(a_signer(CA, f"Signer {key_type}", key_type=key_type))
    response = Response.parse(signer.respond([SINGLE], produced_at=AT))
    assert examine(response, SUBJECT, at=AT).good


def test_pss_and_digest_can_be_chosen() -> None:
    who = a_signer(CA, "Signer PSS", key_type="rsa-2048")
    response = Response.parse(
        signer_of(who, pss=True, digest="sha384").respond([SINGLE], produced_at=AT)
    )
    assert examine(response, SUBJECT, at=AT).good
    assert response.basic is not None
    assert response.basic.signature_algorithm.oid == "1.2.840.113549.1.1.10"


@pytest.mark.parametrize(
    ("who", "send", "count"),
    [(CA, None, 0), (CA, True, 1), (DELEGATE, None, 1), (DELEGATE, False, 0)],
)
def test_r3_certs_are_sent_when_they_are_needed(
    who: Authority | Issued, send: bool | None, count: int
) -> None:
    signer = signer_of(who, send_certificate=send)
    basic = Response.parse(signer.respond([SINGLE], produced_at=AT)).basic
    assert basic is not None
    assert len(basic.certificates) == count


def test_r2_several_singles_and_extensions_keep_their_order() -> None:
    other = SingleResponse(CertID.of(1, CA.certificate), GOOD, AT)
    extensions = (Extension("1.2.3", False, b""), nonce_extension(b"n" * 16))
    data = signer_of(CA).respond([other, SINGLE, other], produced_at=AT, extensions=extensions)
    basic = Response.parse(data).basic
    assert basic is not None
    assert basic.singles == (other, SINGLE, other)
    assert basic.extensions == extensions
    verdict = examine(Response.parse(data), SUBJECT, at=AT, policy=Policy(nonce=b"n" * 16))
    assert verdict.good


def test_an_unfit_key_is_an_operator_error() -> None:
    with pytest.raises(OperatorError, match="cannot sign OCSP responses"):
        Signer(CA.certificate, object(), CA.certificate)


def test_the_key_is_never_shown() -> None:
    shown = repr(signer_of(CA))
    assert "PrivateKey" not in shown
    assert "key=" not in shown


# -- whether it may ---------------------------------------------------------------------------


@pytest.mark.parametrize("who", [CA, DELEGATE], ids=["issuer", "delegate"])
def test_v2_a_fit_signer_has_no_objection(who: Authority | Issued) -> None:
    assert signer_of(who).objection(AT) == ""


@pytest.mark.parametrize(
    ("who", "match"),
    [
        (a_signer(CA, "Ended", at=BEGIN, lifetime=timedelta(days=1)), "is not in date"),
        (a_signer(CA, "Not begun", at=AT + timedelta(days=1)), "is not in date"),
        (a_signer(OTHER, "Foreign"), "was not issued by CN=Test Root"),
        (a_signer(CA, "Plain", eku=()), "lacks the extended key usage OCSPSigning"),
        (a_signer(CA, "Server", eku=("1.3.6.1.5.5.7.3.1",)), "lacks the extended key usage"),
        (OTHER, "was not issued by CN=Test Root"),
        (a_signer(CA, "CA Signer", ca=True), "is itself a CA"),
        (
            a_signer(CA, "Unreadable", extensions=[raw("2.5.29.37", b"\x30\x80")]),
            "cannot be read: Certificate.extensions 2.5.29.37",
        ),
    ],
)
def test_v2_an_unfit_one_says_why_and_is_judged_so(who: Authority | Issued, match: str) -> None:
    """V2, R15: the red twins; and the judge agrees about what such a signer makes."""
    signer = signer_of(who)
    assert match in signer.objection(AT)
    response = Response.parse(signer.respond([SINGLE], produced_at=AT))
    assert not examine(response, SUBJECT, at=AT).valid


def test_the_issuers_renewed_certificate_is_the_issuer() -> None:
    """V2, R15: the same name and key, issued again."""
    renewed = a_root(serial=2)
    assert renewed.certificate != CA.certificate
    signer = signer_of(renewed)
    assert signer.is_issuer
    assert signer.objection(AT) == ""
    response = Response.parse(signer.respond([SINGLE], produced_at=AT))
    verdict = examine(response, SUBJECT, at=AT)
    assert (verdict.good, verdict.signer_role) == (True, "issuer")


def test_an_impostors_certificate_is_not() -> None:
    """The red twin: the same name, another key."""
    signer = signer_of(a_root(who="impostor"))
    assert not signer.is_issuer
    assert "was not issued by" in signer.objection(AT)


def test_a_signature_by_another_key_is_bad() -> None:
    signer = Signer(DELEGATE.certificate, a_key("stranger"), CA.certificate)
    verdict = examine(Response.parse(signer.respond([SINGLE], produced_at=AT)), SUBJECT, at=AT)
    assert verdict.codes == {"response-bad-signature"}
