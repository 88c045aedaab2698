"""One bit flipped in a signed response never gives a valid verdict, and never a crash (V2).

Every bit of three messages: an ECDSA issuer's, an RSA delegate's with its certificate, an Ed25519
issuer's with several singles. The messages come from the vectors' cast.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from holdfast.ocsp import der
from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.extension import SCT_LIST, Extension, nonce_extension
from holdfast.ocsp.response import UNKNOWN, Response, RevocationReason, Revoked
from holdfast.ocsp.verify import examine_bytes
from vectors.cast import AT, BY_KIND, CA, LEAF, NEXT, THIS, answer, delegate, says


@dataclass(frozen=True, slots=True)
class Message:
    """A response that is valid, and what it is about."""

    response: bytes
    subject: Subject

    @property
    def tbs(self) -> range:
        """Where the octets of tbsResponseData stand."""
        basic = Response.parse(self.response).basic
        assert basic is not None
        begin = self.response.index(basic.tbs)
        return range(begin, begin + len(basic.tbs))


def _several() -> Message:
    ca = BY_KIND["ed25519"]
    sct = Extension(SCT_LIST, False, der.octet_string(b"\x00\x00"))
    revoked = Revoked(THIS, RevocationReason.KEY_COMPROMISE)
    told = answer(
        says(revoked, of=CertID.of(1, ca.certificate)),
        says(of=CertID.of(2, ca.certificate), extensions=(sct,)),
        says(UNKNOWN, of=CertID.of(3, ca.certificate), until=None),
        by=ca,
        extensions=(nonce_extension(b"n" * 16),),
    )
    return Message(told, Subject(2, ca.certificate))


SUBJECT = Subject.of(LEAF.certificate, CA.certificate)
MESSAGES = {
    "ECDSA issuer": Message(answer(), SUBJECT),
    "RSA delegate": Message(answer(by=delegate(CA, "flips", 150, kind="rsa-2048")), SUBJECT),
    "Ed25519 issuer, three singles": _several(),
}


def examined(message: Message, octet: int, bit: int) -> bool:
    """True when `message` with that bit flipped is valid."""
    data = bytearray(message.response)
    data[octet] ^= 1 << bit
    return examine_bytes(bytes(data), message.subject, at=AT).valid


@pytest.mark.parametrize("name", MESSAGES)
def test_the_message_itself_is_good(name: str) -> None:
    """The green twin: without a flip it is good."""
    message = MESSAGES[name]
    assert THIS <= AT < NEXT
    assert examine_bytes(message.response, message.subject, at=AT).good


@pytest.mark.parametrize("name", MESSAGES)
def test_a_bit_flipped_in_what_is_signed_is_never_valid(name: str) -> None:
    """V2: every bit of tbsResponseData."""
    message = MESSAGES[name]
    flips = [(octet, bit) for octet in message.tbs for bit in range(8)]
    assert len(flips) > 1000
    assert [flip for flip in flips if examined(message, *flip)] == []


@pytest.mark.parametrize("name", MESSAGES)
def test_a_bit_flipped_elsewhere_is_never_valid_either(name: str) -> None:
    """V2, V6: every bit of the headers, the algorithm, the signature and the certificates."""
    message = MESSAGES[name]
    elsewhere = [place for place in range(len(message.response)) if place not in message.tbs]
    flips = [(octet, bit) for octet in elsewhere for bit in range(8)]
    assert [flip for flip in flips if examined(message, *flip)] == []
