"""Random OCSP messages: every field that there is, right in form, from one source of chance.

`rng` is a `random.Random`: seeded, a message is the same each time; given by hypothesis
(`st.randoms()`), it shrinks.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random

from holdfast.ocsp import der
from holdfast.ocsp.algorithms import AlgorithmIdentifier, signing
from holdfast.ocsp.certid import HASH_OIDS, CertID
from holdfast.ocsp.extension import NONCE, SERVICE_LOCATOR, Extension
from holdfast.ocsp.request import Request, RequestSignature, SingleRequest
from holdfast.ocsp.request_extensions import (
    PreferredAlgorithm,
    acceptable_extension,
    preferred_extension,
)
from holdfast.ocsp.response import (
    BASIC,
    GOOD,
    UNKNOWN,
    CertificateStatus,
    ResponderID,
    ResponderKey,
    ResponderName,
    ResponseStatus,
    RevocationReason,
    Revoked,
    SingleResponse,
    assemble,
    encode_response_data,
    error_response,
)
from holdfast.ocsp.single_extensions import (
    CrlID,
    archive_cutoff_extension,
    crl_extension,
    invalidity_date_extension,
)
from holdfast.pki import issue
from holdfast.pki.certificate import Certificate
from holdfast.pki.issue import Issued
from support.builders import key_from, pss_parameters

SIZES = {"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}
ALGORITHMS = (
    *(AlgorithmIdentifier(f"1.2.840.113549.1.1.{n}", der.NULL_DER) for n in (5, 11, 12, 13)),
    *(AlgorithmIdentifier(f"1.2.840.10045.4.3.{n}") for n in (2, 3, 4)),
    AlgorithmIdentifier("1.2.840.113549.1.1.10", pss_parameters("sha256", "sha256", 32)),
    AlgorithmIdentifier("1.3.101.112"),
    AlgorithmIdentifier("1.3.101.113"),
    *(AlgorithmIdentifier(f"2.16.840.1.101.3.4.3.{n}") for n in (17, 18, 19)),
)
ML_DSA_SIGNATURES = (2420, 3309, 4627)  # octets, FIPS 204 table 2
LOCATOR = der.sequence(  # AuthorityInfoAccessSyntax
    der.sequence(der.encode_oid("1.3.6.1.5.5.7.48.1"), der.tlv(0x86, b"http://ocsp.example/"))
)
_BEGIN = datetime(1970, 1, 1, tzinfo=UTC)


@cache
def certificates() -> tuple[Certificate, ...]:
    """A few certificates of different keys, to be carried along."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    root = issue.root("Messages Root", key=key_from("messages"), serial=1, at=at)
    made = [root.certificate]
    for number, kind in enumerate(("ecdsa-p384", "ed25519", "ml-dsa-44"), 2):
        signer = root.delegated_signer(f"Signer {kind}", key=key_from(kind, kind), at=at,
                                       serial=number)  # fmt: skip
        made.append(signer.certificate)
    return tuple(made)


def a_time(rng: Random) -> datetime:
    return _BEGIN + timedelta(seconds=rng.randrange(0, 7_000_000_000))


def a_serial(rng: Random) -> int:
    """Of one to twenty octets, now and then with its first bit set, now and then small."""
    octets = rng.choice((1, 1, 2, 8, 16, 20, 20, 20))
    return rng.getrandbits(8 * octets) or 1


def a_certid(rng: Random) -> CertID:
    name = rng.choice(tuple(HASH_OIDS))
    size = SIZES[name]
    return CertID(name, rng.randbytes(size), rng.randbytes(size), a_serial(rng), rng.random() < 0.7)


def some_extensions(rng: Random, *known: Extension) -> tuple[Extension, ...]:
    """Up to four, none twice: `known` ones, and strangers of odd OIDs and sizes."""
    pool = [
        *known,
        *(
            Extension(oid, rng.random() < 0.3, rng.randbytes(rng.choice((0, 1, 40, 127, 128, 300))))
            for oid in ("1.3.6.1.4.1.99999.1", "2.999.3", "1.2.840.113549.77.16383.16384", "0.9.1")
        ),
    ]
    count = rng.choice((0, 0, 0, 1, 1, 2, 4))
    return tuple(rng.sample(pool, min(count, len(pool))))


def a_nonce(rng: Random) -> Extension:
    return Extension(NONCE, False, der.octet_string(rng.randbytes(rng.randrange(1, 129))))


# -- responses --------------------------------------------------------------------------------


def a_certificate_status(rng: Random) -> CertificateStatus:
    match rng.randrange(5):
        case 0 | 1:
            return GOOD
        case 2:
            return UNKNOWN
        case 3:
            return Revoked(a_time(rng))
        case _:
            return Revoked(a_time(rng), rng.choice(list(RevocationReason)))


def a_crl_id(rng: Random) -> CrlID:
    """Any of its three parts, all of them, or none."""
    return CrlID(
        rng.choice((None, "", "http://ca.example/ca.crl")),
        rng.choice((None, 0, rng.getrandbits(160))),
        a_time(rng) if rng.random() < 0.5 else None,
    )


def a_single(rng: Random) -> SingleResponse:
    more = (
        archive_cutoff_extension(a_time(rng)),
        invalidity_date_extension(a_time(rng)),
        crl_extension(a_crl_id(rng)),
    )
    return SingleResponse(
        a_certid(rng),
        a_certificate_status(rng),
        a_time(rng),
        a_time(rng) if rng.random() < 0.8 else None,
        some_extensions(rng, *more),
    )


def a_responder_id(rng: Random) -> ResponderID:
    if rng.random() < 0.5:
        return ResponderKey(rng.randbytes(20))
    return ResponderName(rng.choice(certificates()).subject_der)


class Answer:
    """The values of a successful response, and its bytes."""

    def __init__(self, rng: Random) -> None:
        self.responder_id = a_responder_id(rng)
        self.produced_at = a_time(rng)
        self.singles = tuple(a_single(rng) for _ in range(rng.choice((1, 1, 1, 1, 2, 3, 7))))
        self.extensions = some_extensions(rng, a_nonce(rng))
        self.algorithm = rng.choice(ALGORITHMS)
        size = rng.choice((64, 71, 256))
        if self.algorithm.oid.startswith("2.16.840.1.101.3.4.3."):
            size = rng.choice(ML_DSA_SIGNATURES)
        self.signature = rng.randbytes(size)
        self.certificates = tuple(
            one.der for one in rng.sample(certificates(), rng.choice((0, 0, 1, 1, 2, 4)))
        )
        self.tbs = encode_response_data(
            self.responder_id, self.produced_at, self.singles, self.extensions
        )
        self.der = assemble(self.tbs, self.algorithm, self.signature, self.certificates)


def an_error(rng: Random) -> tuple[ResponseStatus, bytes]:
    code = rng.choice([code for code in ResponseStatus if code])
    return code, error_response(code)


# -- requests ---------------------------------------------------------------------------------


def a_preference(rng: Random) -> PreferredAlgorithm:
    key = AlgorithmIdentifier("1.2.840.10045.2.1", der.encode_oid("1.2.840.10045.3.1.7"))
    return PreferredAlgorithm(rng.choice(ALGORITHMS), rng.choice((None, key)))


def some_wishes(rng: Random) -> tuple[Extension, ...]:
    """acceptableResponses and preferredSignatureAlgorithms, critical now and then."""
    types = rng.choice(((BASIC,), (BASIC,), (BASIC, "1.2.3"), ("1.2.3",), ()))
    listed = [a_preference(rng) for _ in range(rng.choice((0, 1, 3, 16)))]
    wishes = (acceptable_extension(*types), preferred_extension(*listed))
    return tuple(replace(wish, critical=rng.random() < 0.2) for wish in wishes)


def a_request(rng: Random) -> Request:
    """Up to seven CertIDs; now and then signed, with a requestor's name and certificates."""
    locator = Extension(
        SERVICE_LOCATOR, False, der.sequence(rng.choice(certificates()).subject_der, LOCATOR)
    )
    singles = tuple(
        SingleRequest(a_certid(rng), some_extensions(rng, locator))
        for _ in range(rng.choice((1, 1, 1, 1, 2, 3, 7)))
    )
    extensions = some_extensions(rng, a_nonce(rng), *some_wishes(rng))
    if rng.random() < 0.6:
        return Request(singles, extensions)
    name = rng.choice(certificates()).subject_der
    requestor = rng.choice((der.tlv(0xA4, name), der.tlv(0x82, b"client.example"), None))
    held = rng.sample(certificates(), rng.choice((0, 1, 2)))
    signature = RequestSignature(
        rng.choice(ALGORITHMS), rng.randbytes(256), tuple(one.der for one in held)
    )
    return Request(singles, extensions, requestor, rng.choice((signature, signature, None)))


def signed_request(
    request: Request,
    by: Issued,
    *,
    name: bytes | None = None,
    certificates: tuple[Certificate, ...] | None = None,
    pss: bool = False,
) -> Request:
    """`request` signed by `by`, its subject the requestorName and its certificate sent along,
    unless told otherwise; `name` b"": no name."""
    if name is None:
        name = der.tlv(0xA4, by.certificate.subject_der)
    sent = (by.certificate,) if certificates is None else certificates
    algorithm, make = signing(by.key, pss=pss)
    named = Request(request.singles, request.extensions, name or None)
    signature = RequestSignature(algorithm, make(named.encode_tbs()), tuple(c.der for c in sent))
    return Request(named.singles, named.extensions, named.requestor, signature)


# -- damage -----------------------------------------------------------------------------------


def damaged(rng: Random, message: bytes) -> bytes:
    """`message` with a few things done to it that networks and enemies do."""
    data = bytearray(message)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        if not data:
            break
        place = rng.randrange(len(data))
        match rng.randrange(8):
            case 0 | 1:
                data[place] ^= 1 << rng.randrange(8)
            case 2:
                data[place] = rng.choice((0x00, 0x01, 0x30, 0x7F, 0x80, 0x81, 0x82, 0xA0, 0xFF))
            case 3:
                del data[place:]
            case 4:
                del data[place : place + rng.randrange(1, 5)]
            case 5:
                data[place:place] = rng.randbytes(rng.randrange(1, 5))
            case 6:
                piece = data[place : place + rng.randrange(1, 40)]
                data[place:place] = piece
            case _:
                data[place] = (data[place] + rng.choice((1, 255))) % 256
    return bytes(data)
