"""V5 extensions and nonces, V6 error statuses and everything that is not DER."""

from __future__ import annotations

from datetime import datetime

from holdfast.ocsp import der
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.extension import (
    ARCHIVE_CUTOFF,
    CRL_REFERENCE,
    EXTENDED_REVOKE,
    INVALIDITY_DATE,
    NONCE,
    SCT_LIST,
    Extension,
    encode_extensions,
    nonce_extension,
)  # fmt: skip
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import RevocationReason, Revoked
from support.builders import (
    basic_response,
    by_key,
    children,
    response_data,
    signature,
    signed_response,
    single_response,
    wrapped,
)  # fmt: skip
from vectors.cast import (
    CA,
    DAY,
    LEAF,
    LEAF_ID,
    NEXT,
    OTHER_ID,
    RSA_CA,
    THIS,
    answer,
    case,
    data,
    says,
)  # fmt: skip

# -- V5 ---------------------------------------------------------------------------------------

STRANGE = "1.3.6.1.4.1.99999.1"
CRITICAL = Extension(STRANGE, True, b"\x05\x00")
HARMLESS = Extension(STRANGE, False, b"\x05\x00")
case(
    "critical-in-response",
    "V5",
    "An unknown critical extension of the response.",
    answer(extensions=(CRITICAL,)),
    "not good",
    "critical-extension",
    twin="unknown-in-response",
)
case(
    "critical-in-single",
    "V5",
    "An unknown critical extension of the single.",
    answer(says(extensions=(CRITICAL,))),
    "not good",
    "critical-extension",
    twin="unknown-in-single",
)
case(
    "critical-in-anothers-single",
    "V5",
    "In the single of another certificate: the answer is one.",
    answer(says(), says(of=OTHER_ID, extensions=(CRITICAL,))),
    "not good",
    "critical-extension",
    twin="unknown-in-single",
)
case(
    "critical-behind-known",
    "V5",
    "Behind a known one.",
    answer(extensions=(nonce_extension(b"n" * 16), CRITICAL)),
    "not good",
    "critical-extension",
    twin="unknown-in-response",
)
case(
    "critical-longer-than-known",
    "V5",
    "Critical, and its OID begins with the nonce's.",
    answer(extensions=(Extension(NONCE + ".1", True, b"\x04\x01\x00"),)),
    "not good",
    "critical-extension",
    twin="critical-known",
)
case(
    "unknown-in-response",
    "V5",
    "An unknown extension that is not critical is ignored.",
    answer(extensions=(HARMLESS,)),
    "good",
    twin="critical-in-response",
)
case(
    "unknown-in-single",
    "V5",
    "In the single too.",
    answer(says(extensions=(HARMLESS,))),
    "good",
    twin="critical-in-single",
)
case(
    "critical-known",
    "V5",
    "A critical extension that is known: the nonce, nobody having asked.",
    answer(extensions=(Extension(NONCE, True, der.octet_string(b"n" * 16)),)),
    "good",
    twin="critical-in-response",
)
case(
    "sct-list",
    "V5",
    "Signed certificate timestamps in the single (RFC 6962 3.3).",
    answer(says(extensions=(Extension(SCT_LIST, False, der.octet_string(b"\x00\x00")),))),
    "good",
    twin="critical-in-single",
)
case(
    "sct-list-critical",
    "V5",
    "Critical, but known.",
    answer(says(extensions=(Extension(SCT_LIST, True, der.octet_string(b"\x00\x00")),))),
    "good",
    twin="critical-in-single",
)
CUTOFF = Extension(ARCHIVE_CUTOFF, False, der.encode_time(THIS - 365 * DAY))
CRL = Extension(CRL_REFERENCE, False, der.sequence(der.tlv(0xA1, der.encode_integer(7))))
case(
    "archive-cutoff-and-crl",
    "V5",
    "Archive cutoff and CRL reference in the single.",
    answer(says(extensions=(CUTOFF, CRL))),
    "good",
    twin="critical-in-single",
)
case(
    "invalidity-date",
    "V5",
    "A revoked single with its invalidity date.",
    answer(
        says(
            Revoked(THIS, RevocationReason.KEY_COMPROMISE),
            extensions=(Extension(INVALIDITY_DATE, False, der.encode_time(THIS - 30 * DAY)),),
        )
    ),
    "revoked",
    "revoked",
    twin="archive-cutoff-and-crl",
)
case(
    "extended-revoked",
    "V5, R11",
    "Never issued, told as revoked on hold since 1970 (RFC 6960 2.2).",
    answer(
        says(
            Revoked(
                datetime.fromisoformat("1970-01-01T00:00:00+00:00"),
                RevocationReason.CERTIFICATE_HOLD,
            )
        ),
        extensions=(Extension(EXTENDED_REVOKE, False, der.NULL_DER),),
    ),
    "revoked",
    "revoked",
)

# -- nonces (RFC 9654) -------------------------------------------------------------------------

SENT = bytes(range(32))
MISMATCH = "nonce-mismatch"


def nonced(octets: bytes) -> bytes:
    return answer(extensions=(Extension(NONCE, False, der.octet_string(octets)),))


case(
    "nonce-echoed",
    "RFC 9654",
    "The nonce that was sent.",
    nonced(SENT),
    "good",
    nonce=SENT.hex(),
    twin="nonce-of-another",
)
case(
    "nonce-of-another",
    "RFC 9654",
    "Another nonce of the same length.",
    nonced(SENT[::-1]),
    "not good",
    MISMATCH,
    nonce=SENT.hex(),
    twin="nonce-echoed",
)
case(
    "nonce-cut-short",
    "RFC 9654",
    "The first 16 octets of the one sent.",
    nonced(SENT[:16]),
    "not good",
    MISMATCH,
    nonce=SENT.hex(),
    twin="nonce-echoed",
)
case(
    "nonce-empty",
    "RFC 9654",
    "An empty nonce.",
    nonced(b""),
    "not good",
    MISMATCH,
    nonce=SENT.hex(),
    twin="nonce-echoed",
)
case(
    "nonce-too-long",
    "RFC 9654",
    "129 octets.",
    nonced(b"n" * 129),
    "not good",
    MISMATCH,
    nonce=SENT.hex(),
    twin="nonce-echoed",
)
case(
    "nonce-bare",
    "RFC 9654",
    "The octets without the OCTET STRING round them.",
    answer(extensions=(Extension(NONCE, False, SENT),)),
    "not good",
    MISMATCH,
    nonce=SENT.hex(),
    twin="nonce-echoed",
)
case(
    "nonce-absent",
    "RFC 9654",
    "None, although one was sent: a note, the answer may come from a cache.",
    answer(),
    "good",
    "nonce-absent",
    nonce=SENT.hex(),
    twin="nonce-of-another",
)
case(
    "nonce-unasked",
    "RFC 9654",
    "One, although none was sent.",
    nonced(SENT),
    "good",
    twin="nonce-of-another",
)
case(
    "nonce-of-128",
    "RFC 9654",
    "128 octets, the most there may be.",
    nonced(b"n" * 128),
    "good",
    nonce=(b"n" * 128).hex(),
    twin="nonce-too-long",
)

# -- error responses ---------------------------------------------------------------------------

for name, code in (
    ("malformedRequest", 1),
    ("internalError", 2),
    ("tryLater", 3),
    ("sigRequired", 5),
    ("unauthorized", 6),
):
    case(
        f"error-{name.lower()}",
        "CVE-2024-8096",
        f"The error {name}: not an answer, never good (curl took errors as good).",
        der.sequence(bytes((10, 1, code))),
        name,
        "error-response",
    )
MALFORMED = "malformed"


def broken(id: str, told: str, response: bytes) -> None:
    case(id, "V6", told, response, MALFORMED, MALFORMED)


OK = answer()
TBS = data()
ALGORITHM, SIGNATURE = signature(CA.key, TBS)
IDENTIFIER, BITS = ALGORITHM.encode(), der.encode_bit_string(SIGNATURE)
BASIC_BYTES = basic_response(TBS, IDENTIFIER, BITS)
BYTES = der.tlv(
    0xA0, der.sequence(der.encode_oid("1.3.6.1.5.5.7.48.1.1"), der.octet_string(BASIC_BYTES))
)
SUCCESSFUL = b"\x0a\x01\x00"

broken("status-4", "responseStatus 4, which is not used.", b"\x30\x03\x0a\x01\x04")
broken("status-7", "responseStatus 7.", b"\x30\x03\x0a\x01\x07")
broken("status-minus-1", "responseStatus -1.", b"\x30\x03\x0a\x01\xff")
broken(
    "status-in-two-octets",
    "responseStatus 0 in two octets.",
    der.sequence(b"\x0a\x02\x00\x00", BYTES),
)
broken("status-is-integer", "responseStatus an INTEGER.", der.sequence(b"\x02\x01\x00", BYTES))
broken("status-empty", "responseStatus without content.", der.sequence(b"\x0a\x00", BYTES))
broken(
    "error-with-an-answer",
    "tryLater that carries a good answer.",
    der.sequence(b"\x0a\x01\x03", BYTES),
)
broken("successful-without-bytes", "successful, and nothing more.", b"\x30\x03\x0a\x01\x00")
broken(
    "successful-with-empty-bytes",
    "successful, responseBytes empty.",
    der.sequence(SUCCESSFUL, b"\xa0\x00"),
)
broken(
    "another-response-type",
    "A responseType that is not id-pkix-ocsp-basic.",
    wrapped(BASIC_BYTES, kind="1.3.6.1.5.5.7.48.1.2"),
)
broken(
    "response-type-longer",
    "A responseType that begins with id-pkix-ocsp-basic.",
    wrapped(BASIC_BYTES, kind="1.3.6.1.5.5.7.48.1.1.1"),
)

# -- nothing, something else, cut short --------------------------------------------------------

broken("nothing", "No bytes at all.", b"")
broken("one-byte", "One byte.", b"\x30")
broken("empty-sequence", "An empty SEQUENCE.", b"\x30\x00")
broken("a-web-page", "A web page.", b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n")
broken("a-request", "An OCSP request.", Request.build(LEAF_ID).encode())
broken("a-certificate", "A certificate.", LEAF.certificate.der)
broken("only-the-basic-response", "The BasicOCSPResponse without what goes round it.", BASIC_BYTES)
broken("cut-in-half", "The first half.", OK[: len(OK) // 2])
broken("cut-by-one", "Without its last byte.", OK[:-1])

# -- trailing bytes, at every level ------------------------------------------------------------

ID, NOW, UNTIL = LEAF_ID.encode(), der.encode_time(THIS), der.tlv(0xA0, der.encode_time(NEXT))


def told(*singles: bytes, **parts: bytes) -> bytes:
    """A response, well signed, of singles in bytes."""
    tbs = data(*singles, **parts)
    return signed_response(CA.key, tbs)


def one(**parts: bytes) -> bytes:
    """A single with these parts changed."""
    return single_response(**{"certid": ID, "this_update": NOW, "next_update": UNTIL} | parts)


MORE = der.NULL_DER
broken("trailing-bytes", "A zero after the response.", OK + b"\x00")
broken("trailing-response", "A second whole response after it.", OK + OK)
broken("trailing-newline", "A line end after it.", OK + b"\n")
broken("trailing-in-response", "A NULL after responseBytes.", der.sequence(SUCCESSFUL, BYTES, MORE))
broken(
    "trailing-in-bytes",
    "A NULL after the octets.",
    der.sequence(SUCCESSFUL, der.tlv(0xA0, der.sequence(*children(children(BYTES)[0]), MORE))),
)
broken(
    "trailing-in-tag-0",
    "A NULL beside ResponseBytes.",
    der.sequence(SUCCESSFUL, der.tlv(0xA0, children(BYTES)[0], MORE)),
)
broken("trailing-in-octets", "A NULL after BasicOCSPResponse.", wrapped(BASIC_BYTES + MORE))
broken(
    "trailing-in-basic",
    "A NULL after the signature.",
    wrapped(basic_response(TBS, IDENTIFIER, BITS, after=MORE)),
)
broken(
    "trailing-after-certs",
    "A NULL after certs.",
    wrapped(basic_response(TBS, IDENTIFIER, BITS, (CA.certificate,), after=MORE)),
)
broken(
    "trailing-in-algorithm",
    "A NULL after the algorithm's parameters.",
    wrapped(basic_response(TBS, der.sequence(*children(IDENTIFIER), MORE, MORE), BITS)),
)
broken("trailing-in-response-data", "A NULL at the end of ResponseData.", told(one(), after=MORE))
broken("trailing-in-single", "A NULL at the end of the single.", told(one(after=MORE)))
broken(
    "trailing-in-certid",
    "A NULL at the end of the CertID.",
    told(one(certid=der.sequence(*children(ID), MORE))),
)
broken(
    "trailing-in-next-update",
    "A NULL within [0] nextUpdate.",
    told(one(next_update=der.tlv(0xA0, der.encode_time(NEXT), MORE))),
)
broken(
    "trailing-in-revoked",
    "A NULL within revoked.",
    told(one(certificate_status=der.tlv(0xA1, NOW, MORE))),
)
broken(
    "content-in-good",
    "good is NULL, and this one has content.",
    told(one(certificate_status=b"\x80\x01\x00")),
)
broken("content-in-unknown", "So is unknown.", told(one(certificate_status=b"\x82\x01\x00")))

# -- not DER -----------------------------------------------------------------------------------


def indefinite(element: bytes) -> bytes:
    """The element with its length indefinite."""
    _, start, stop = der.element(element, 0, len(element), "element")
    return element[:1] + b"\x80" + element[start:stop] + b"\x00\x00"


def long_length(element: bytes) -> bytes:
    """The element with its length in one octet more than needed."""
    _, start, stop = der.element(element, 0, len(element), "element")
    size = stop - start
    octets = size.to_bytes((max(size.bit_length(), 1) + 7) // 8 + (size >= 0x80), "big")
    return element[:1] + bytes((0x80 | len(octets),)) + octets + element[start:stop]


broken("indefinite-outside", "The outermost length is indefinite.", indefinite(OK))
broken(
    "indefinite-basic",
    "BasicOCSPResponse's length is indefinite.",
    wrapped(indefinite(BASIC_BYTES)),
)
TBS_INDEFINITE = indefinite(TBS)
broken(
    "indefinite-response-data",
    "ResponseData's length is indefinite, and it was signed so.",
    signed_response(CA.key, TBS_INDEFINITE),
)
broken("indefinite-single", "The single's length is indefinite.", told(indefinite(one())))
broken(
    "indefinite-name",
    "The responder's name has an indefinite length.",
    answer(named=der.tlv(0xA1, indefinite(CA.certificate.subject_der))),
)
broken(
    "octets-in-pieces",
    "The response octets are a constructed OCTET STRING.",
    der.sequence(
        SUCCESSFUL,
        der.tlv(
            0xA0,
            der.sequence(
                der.encode_oid("1.3.6.1.5.5.7.48.1.1"), der.tlv(0x24, der.octet_string(BASIC_BYTES))
            ),
        ),
    ),
)
broken(
    "length-in-more-octets-outside",
    "The outermost length takes one octet more than needed.",
    long_length(OK),
)
broken(
    "length-in-more-octets-inside",
    "So does ResponseData's, signed so.",
    signed_response(CA.key, long_length(TBS)),
)
broken(
    "length-of-five-octets",
    "A length in five octets.",
    OK[:1] + b"\x85\x00\x00\x00" + len(OK[4:]).to_bytes(2, "big") + OK[4:],
)
broken(
    "length-past-the-end",
    "The outermost length is one more than there is.",
    OK[:2] + (int.from_bytes(OK[2:4], "big") + 1).to_bytes(2, "big") + OK[4:],
)
broken(
    "length-past-its-container",
    "The single's length reaches past the list.",
    told(one()[:1] + bytes((one()[1] + 1,)) + one()[2:]),
)
SERIAL_OCTETS = LEAF_ID.serial.to_bytes(5, "big")
broken(
    "serial-in-more-octets",
    "The serial has a zero octet too many.",
    told(one(certid=der.sequence(*children(ID)[:3], der.tlv(2, b"\x00", SERIAL_OCTETS)))),
)
broken(
    "serial-empty",
    "The serial has no octets.",
    told(one(certid=der.sequence(*children(ID)[:3], b"\x02\x00"))),
)
broken(
    "serial-is-octets",
    "The serial is an OCTET STRING.",
    told(one(certid=der.sequence(*children(ID)[:3], der.octet_string(SERIAL_OCTETS)))),
)
broken(
    "serial-endless",
    "The serial has 70 octets.",
    told(one(certid=der.sequence(*children(ID)[:3], der.tlv(2, b"\x01" * 70)))),
)
broken(
    "certid-parameters-odd",
    "The hash's parameters are an INTEGER.",
    told(
        one(
            certid=der.sequence(
                der.sequence(der.encode_oid("1.3.14.3.2.26"), b"\x02\x01\x00"), *children(ID)[1:]
            )
        )
    ),
)
broken(
    "version-1-written-out",
    "The default version is written out.",
    signed_response(CA.key, data(version=der.tlv(0xA0, der.encode_integer(0)))),
)
broken(
    "version-2",
    "A version there is not.",
    signed_response(CA.key, data(version=der.tlv(0xA0, der.encode_integer(1)))),
)
broken(
    "critical-false-written-out",
    "critical FALSE is written out.",
    answer(
        extensions=der.tlv(
            0xA1,
            der.sequence(
                der.sequence(
                    der.encode_oid(STRANGE), b"\x01\x01\x00", der.octet_string(b"\x05\x00")
                )
            ),
        )
    ),
)
broken(
    "critical-true-as-1",
    "critical TRUE is 01 instead of ff.",
    answer(
        extensions=der.tlv(
            0xA1,
            der.sequence(
                der.sequence(
                    der.encode_oid(STRANGE), b"\x01\x01\x01", der.octet_string(b"\x05\x00")
                )
            ),
        )
    ),
)
broken(
    "extensions-empty",
    "responseExtensions is an empty list.",
    answer(extensions=der.tlv(0xA1, der.sequence())),
)
broken("extension-twice", "An extension stands twice.", answer(extensions=(HARMLESS, HARMLESS)))
broken(
    "single-extensions-empty",
    "singleExtensions is an empty list.",
    told(one(extensions=der.tlv(0xA1, der.sequence()))),
)
broken(
    "extension-tag-wrong",
    "responseExtensions under [2].",
    answer(extensions=encode_extensions(2, (HARMLESS,))),
)
case(
    "responses-empty",
    "V6",
    "The list of singles is empty.",
    signed_response(CA.key, response_data(by_key(CA.certificate), THIS, ())),
    "nothing",
    "wrong-certificate",
)
broken(
    "responder-key-of-19",
    "responderID byKey has 19 octets.",
    answer(named=der.tlv(0xA2, der.octet_string(b"k" * 19))),
)
broken(
    "responder-of-neither-kind",
    "responderID under [3].",
    answer(named=der.tlv(0xA3, der.octet_string(b"k" * 20))),
)
broken("responder-missing", "No responderID.", answer(named=b""))
broken("status-of-neither-kind", "certStatus under [3].", told(one(certificate_status=b"\x83\x00")))
broken(
    "good-constructed", "good as a constructed element.", told(one(certificate_status=b"\xa0\x00"))
)
broken("status-missing", "No certStatus.", told(one(certificate_status=b"")))
broken(
    "reason-7",
    "CRLReason 7, which is not used.",
    told(one(certificate_status=der.tlv(0xA1, NOW, der.tlv(0xA0, b"\x0a\x01\x07")))),
)
broken(
    "reason-11",
    "CRLReason 11.",
    told(one(certificate_status=der.tlv(0xA1, NOW, der.tlv(0xA0, b"\x0a\x01\x0b")))),
)
broken(
    "revoked-without-time", "revoked without its time.", told(one(certificate_status=b"\xa1\x00"))
)

# -- times --------------------------------------------------------------------------------------


def at_time(text: str, tag: int = der.GENERALIZED_TIME) -> bytes:
    return told(one(this_update=der.tlv(tag, text.encode())))


broken("time-utctime", "thisUpdate is a UTCTime.", at_time("260601000000Z", 0x17))
broken("time-with-fraction", "thisUpdate has a fraction.", at_time("20260601000000.5Z"))
broken("time-without-seconds", "thisUpdate has no seconds.", at_time("202606010000Z"))
broken("time-without-zone", "thisUpdate has no zone.", at_time("20260601000000"))
broken("time-with-offset", "thisUpdate has an offset.", at_time("20260601000000+0000"))
broken("time-of-february-30", "thisUpdate is no day.", at_time("20260230000000Z"))
broken("time-of-hour-24", "thisUpdate is at 24 o'clock.", at_time("20260601240000Z"))
broken("time-of-second-60", "thisUpdate is a leap second.", at_time("20260630235960Z"))
broken("time-of-year-0", "thisUpdate is in the year 0.", at_time("00000101000000Z"))
broken("time-with-spaces", "thisUpdate has a space for a digit.", at_time(" 2026060100000Z"))
broken("time-empty", "thisUpdate is empty.", at_time(""))
broken("produced-at-missing", "producedAt is missing.", answer(produced=b""))
broken(
    "next-update-bare", "nextUpdate without its [0].", told(one(next_update=der.encode_time(NEXT)))
)
broken(
    "next-update-empty", "[0] nextUpdate with nothing in it.", told(one(next_update=b"\xa0\x00"))
)

# -- size ---------------------------------------------------------------------------------------


def padded(size: int) -> bytes:
    """An answer of exactly `size` bytes, by way of a long extension (RSA: its signature's length
    is always the same)."""
    count = size - 700
    for _ in range(4):
        extension = Extension(STRANGE, False, der.octet_string(bytes(count)))
        whole = answer(says(of=RSA_ID), by=RSA_CA, extensions=(extension,))
        if len(whole) == size:
            return whole
        count += size - len(whole)
    raise AssertionError(size)


RSA_ID = CertID.of(0x2001, RSA_CA.certificate)
for id, told_of, count, codes in (
    ("as-large-as-the-first-flight", "14,600 bytes.", 14600, ()),
    ("larger-than-the-first-flight", "One byte more: a warning.", 14601, ("too-large",)),
    (
        "of-64-kilobytes",
        "64 KiB, the most that is read from a network (K15).",
        65536,
        ("too-large",),
    ),
):
    case(
        id,
        "RFC 6928",
        told_of,
        padded(count),
        "good",
        *codes,
        twin="rsa-sha256-damaged",
        leaf="rsa-leaf",
        issuer="rsa-ca",
    )
