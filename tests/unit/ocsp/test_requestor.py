"""Who signed a request (R7): each way to be believed, and beside it the twin that is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from time import process_time
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from holdfast.errors import Malformed
from holdfast.ocsp import der
from holdfast.ocsp.algorithms import AlgorithmIdentifier, signing
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.request import Request, RequestSignature
from holdfast.ocsp.requestor import Proved, Unproved, requestor_of
from holdfast.pki.certificate import Certificate
from holdfast.pki.issue import KEY_USAGE, Authority, Extra, Issued, root
from support.messages import signed_request
from support.pki import AT, BEGIN, a_key, a_root, a_server, an_intermediate, resigned

CA = a_root("Clients' Root")
BETWEEN = an_intermediate(CA, "Clients' Issuing CA")
CLIENT = a_server(CA, "client.test")
BELOW = a_server(BETWEEN, "below.test")
OTHER = a_root("Anybody's Root")
STRANGER = a_server(OTHER, "stranger.test")
ASKED = Request.build(CertID("sha1", b"n" * 20, b"k" * 20, 77), nonce=b"n" * 32)


def asked_by(request: Request, *anchors: Certificate, at: Any = AT) -> Proved | Unproved:
    """As it comes over the wire."""
    read = Request.parse(request.encode())
    return requestor_of(read, anchors=anchors or (CA.certificate,), at=at)


def refused(request: Request, *anchors: Certificate, at: Any = AT) -> str:
    found = asked_by(request, *anchors, at=at)
    assert isinstance(found, Unproved)
    return found.why


@pytest.mark.parametrize("key_type", ["ecdsa-p256", "ecdsa-p384", "rsa-2048", "ed25519"])
def test_r7_a_requestor_under_an_anchor_is_proved(key_type: str) -> None:
    client = a_server(CA, "kind.test", key_type=key_type)
    assert asked_by(signed_request(ASKED, client)) == Proved(client.certificate)


def test_r7_pss_and_ml_dsa_requestors_are_proved() -> None:
    rsa = a_server(CA, "pss.test", key_type="rsa-2048")
    assert asked_by(signed_request(ASKED, rsa, pss=True)) == Proved(rsa.certificate)
    dsa = a_server(CA, "ml-dsa.test", key_type="ml-dsa-44")
    assert asked_by(signed_request(ASKED, dsa), dsa.certificate) == Proved(dsa.certificate)


def test_r7_an_intermediate_that_is_sent_along_is_used_and_one_that_is_not_is_missed() -> None:
    with_it = signed_request(ASKED, BELOW, certificates=(BELOW.certificate, BETWEEN.certificate))
    assert asked_by(with_it) == Proved(BELOW.certificate)
    alone = signed_request(ASKED, BELOW, certificates=(BELOW.certificate,))
    assert "no signatures lead to who may ask" in refused(alone)
    assert asked_by(alone, BETWEEN.certificate) == Proved(BELOW.certificate)


def test_r7_a_requestors_own_certificate_may_be_named_and_need_not_be_sent() -> None:
    bare = signed_request(ASKED, STRANGER, certificates=())
    assert asked_by(bare, STRANGER.certificate) == Proved(STRANGER.certificate)
    assert "no certificate with the requestorName" in refused(bare)


def test_r7_the_name_may_be_a_subject_alternative_name() -> None:
    """RFC 6960 4.1.1: requestorName is any GeneralName."""
    named = signed_request(ASKED, CLIENT, name=der.tlv(0x82, b"client.test"))
    assert asked_by(named) == Proved(CLIENT.certificate)
    for other in (
        der.tlv(0x82, b"other.test"),
        der.tlv(0x82, b"client.tes"),
        der.tlv(0x81, b"client.test"),
        der.tlv(0xA4, OTHER.certificate.subject_der),
        der.tlv(0xA4, der.sequence()),
    ):
        assert "requestorName" in refused(signed_request(ASKED, CLIENT, name=other))


def test_r7_red_an_unsigned_request_proves_nobody() -> None:
    assert "not signed" in refused(ASKED)
    named_only = replace(ASKED, requestor=der.tlv(0xA4, CLIENT.certificate.subject_der))
    assert "not signed" in refused(named_only)


def test_r7_red_a_signed_request_without_a_name() -> None:
    assert "no requestorName" in refused(signed_request(ASKED, CLIENT, name=b""))


def test_r7_red_a_stranger_with_the_trusted_name_and_its_own_ca_is_refused() -> None:
    """The certificates that come along are material, never trust."""
    forged_ca = a_root("Clients' Root", who="forger")
    forged = a_server(forged_ca, "client.test", who="forger's client")
    sent = (forged.certificate, forged_ca.certificate)
    why = refused(signed_request(ASKED, forged, certificates=sent))
    assert "no trusted path" in why
    why = refused(signed_request(ASKED, STRANGER, certificates=(STRANGER.certificate,)))
    assert "no trusted path" in why


def test_r7_red_another_key_under_a_trusted_certificate() -> None:
    """The certificate is public: sending it proves nothing."""
    thief = replace(CLIENT, key=STRANGER.key)
    why = refused(signed_request(ASKED, thief))
    assert why == f"the signature was not made by the key of {CLIENT.certificate.subject}"


def test_r7_red_every_changed_octet_of_what_was_signed_is_seen() -> None:
    """Mutation: none of 8 x n flips of the TBSRequest is still proved."""
    data = signed_request(ASKED, CLIENT).encode()
    tbs = Request.parse(data).tbs
    begin = data.index(tbs)
    for place in range(begin, begin + len(tbs)):
        changed = bytearray(data)
        changed[place] ^= 1 << (place % 8)
        try:
            request = Request.parse(bytes(changed))
        except Malformed:
            continue
        found = requestor_of(request, anchors=(CA.certificate,), at=AT)
        assert isinstance(found, Unproved), place


def test_r7_red_a_signature_of_another_request() -> None:
    """Replayed under other CertIDs, extensions or names."""
    signed = signed_request(ASKED, CLIENT)
    other = Request.build(CertID("sha1", b"n" * 20, b"k" * 20, 78), nonce=b"n" * 32)
    moved = replace(other, requestor=signed.requestor, signature=signed.signature)
    assert "was not made by" in refused(moved)


def _sha1(issued: Issued) -> Request:
    """An ECDSA signature over SHA-1, as signers of old made them."""
    name = der.tlv(0xA4, issued.certificate.subject_der)
    unsigned = replace(ASKED, requestor=name)
    key = issued.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    made = key.sign(unsigned.encode_tbs(), ec.ECDSA(hashes.SHA1()))
    algorithm = AlgorithmIdentifier("1.2.840.10045.4.1")
    return replace(unsigned, signature=RequestSignature(algorithm, made, (issued.certificate.der,)))


def test_r7_red_weak_and_unknown_algorithms() -> None:
    assert "SHA-1 is too weak" in refused(_sha1(CLIENT))
    signed = signed_request(ASKED, CLIENT)
    assert signed.signature is not None
    for algorithm, match in (
        (AlgorithmIdentifier("1.2.3.4"), "not on the list"),
        (AlgorithmIdentifier("1.2.840.10045.4.3.2", der.NULL_DER), "parameters"),
        (AlgorithmIdentifier("1.2.840.113549.1.1.11", der.NULL_DER), "was not made by"),
    ):
        other = replace(signed, signature=replace(signed.signature, algorithm=algorithm))
        assert match in refused(other)


@pytest.mark.parametrize("when", [BEGIN - timedelta(seconds=1), BEGIN + timedelta(days=366)])
def test_r7_red_a_requestor_out_of_date(when: Any) -> None:
    """Also one whose own certificate is the anchor."""
    signed = signed_request(ASKED, CLIENT)
    for anchor in (CA.certificate, CLIENT.certificate):
        assert "not in date" in refused(signed, anchor, at=when)


def test_r7_red_a_certificate_that_is_not_for_signing() -> None:
    """RFC 5280 4.2.1.3: key usage without digitalSignature and nonRepudiation."""
    only_agreement = x509.KeyUsage(False, False, False, False, True, False, False, False, False)
    usage = Extra(only_agreement, True)
    other = a_server(CA, "agrees.test", extensions=(usage,))
    assert "key usage" in refused(signed_request(ASKED, other))
    assert "key usage" in refused(signed_request(ASKED, other), other.certificate)
    free = a_server(CA, "free.test", omit=(KEY_USAGE,))
    assert asked_by(signed_request(ASKED, free)) == Proved(free.certificate)


def test_r7_red_a_server_certificate_that_issues_a_requestor() -> None:
    """A leaf is no CA, whatever it signs."""
    below: Authority = CLIENT.authority
    forged = a_server(below, "forged.test")
    sent = (forged.certificate, CLIENT.certificate)
    assert "no trusted path" in refused(signed_request(ASKED, forged, certificates=sent))


def test_r7_red_unknown_critical_extensions_of_a_requestor() -> None:
    """RFC 5280 4.2."""
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")
    for critical in (False, True):
        odd = a_server(CA, "odd.test", extensions=(Extra(strange, critical),))
        found = asked_by(signed_request(ASKED, odd))
        assert isinstance(found, Unproved if critical else Proved)


def test_k25_certificates_that_sign_each_other_are_each_tried_once() -> None:
    """K25: five of one name and key, where 4! orders could be searched; and more are refused."""
    key = a_key("loop")
    loop = [root("Loop", key=key, at=BEGIN, serial=100 + n) for n in range(4)]
    client = a_server(loop[0], "loop.test")
    sent = (client.certificate, *(one.certificate for one in loop))
    hostile, took = signed_request(ASKED, client, certificates=sent), []
    for _ in range(5):
        begun = process_time()
        assert "no signatures lead to who may ask" in refused(hostile)
        took.append(process_time() - begun)
    assert min(took) < 0.012  # 2 ms; by every order it takes 25
    many = signed_request(ASKED, client, certificates=(*sent, CLIENT.certificate))
    assert "6 certificates came with the request, more than 5" in refused(many)
    held = signed_request(ASKED, CLIENT, certificates=(CLIENT.certificate,) * 5)
    assert asked_by(held) == Proved(CLIENT.certificate)


def test_r7_red_an_intermediate_out_of_date_leads_nowhere() -> None:
    """The old certificate of a CA that was renewed, and its new one."""
    ended = an_intermediate(CA, "Renewed CA", lifetime=timedelta(days=30))
    renewed = an_intermediate(CA, "Renewed CA")
    below = a_server(renewed, "late.test")
    old = signed_request(ASKED, below, certificates=(below.certificate, ended.certificate))
    new = signed_request(ASKED, below, certificates=(below.certificate, renewed.certificate))
    assert "no signatures lead" in refused(old)
    assert asked_by(new) == Proved(below.certificate)
    assert asked_by(old, at=BEGIN + timedelta(days=1)) == Proved(below.certificate)


def test_certificates_that_cannot_be_read_are_passed_over() -> None:
    signed = signed_request(ASKED, CLIENT)
    assert signed.signature is not None
    many = (b"\x30\x00", b"\x30\x03\x02\x01\x00", *signed.signature.certificates)
    with_junk = replace(signed, signature=replace(signed.signature, certificates=many))
    assert asked_by(with_junk) == Proved(CLIENT.certificate)


def test_certificates_whose_keys_cannot_be_read_are_passed_over() -> None:
    """They bear the right name: their keys are asked for nothing."""
    key_in = CLIENT.certificate.spki_der
    unreadable = der.sequence(der.sequence(der.encode_oid("1.2.3.4")), der.encode_bit_string(b"k"))
    broken = Certificate(resigned(CLIENT.certificate, CA.key, spki=unreadable))
    assert not broken.has_readable_key
    assert broken.spki_der != key_in
    sent = (broken, CLIENT.certificate)
    assert asked_by(signed_request(ASKED, CLIENT, certificates=sent)) == Proved(CLIENT.certificate)
    why = refused(signed_request(ASKED, CLIENT, certificates=(broken,)))
    assert "no certificate with the requestorName" in why


def test_the_helper_signs_as_signers_do() -> None:
    """The test's own builder against a message made by hand."""
    algorithm, make = signing(CLIENT.key)
    signed = signed_request(ASKED, CLIENT)
    assert signed.signature is not None
    assert signed.signature.algorithm == algorithm
    assert make(signed.encode_tbs())
