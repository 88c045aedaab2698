"""V2: signed by the issuer, or by whom the issuer's own key entitled, at any position in certs."""

from __future__ import annotations

from holdfast.ocsp import der
from holdfast.ocsp.algorithms import AlgorithmIdentifier
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.response import UNKNOWN, Revoked
from holdfast.pki.issue import raw
from support.builders import by_key, by_name, key_from, signature, signed_response
from vectors.cast import (
    AT,
    BEGIN,
    CA,
    DAY,
    IMPOSTOR,
    LEAF,
    LEAF_ID,
    NEXT,
    OLD_CA,
    OLD_TRUSTED,
    OTHER_ID,
    OTHER_LEAF,
    RENAMED,
    RENEWED,
    ROOT,
    SECOND,
    SIBLING,
    SIGNER,
    THIS,
    TRUSTED,
    answer,
    bad_point,
    case,
    data,
    delegate,
    flipped,
    says,
)  # fmt: skip

NO, BAD = "signer-unauthorised", "bad-signature"
ECDSA_SHA256 = AlgorithmIdentifier("1.2.840.10045.4.3.2")


def told_by(who: str, serial: int, /, **wishes: object) -> bytes:
    """An answer by a fresh delegate of the CA with these wishes."""
    return answer(by=delegate(CA, who, serial, **wishes))


# -- the issuer itself ------------------------------------------------------------------------

case(
    "by-issuer-by-name",
    "V2",
    "Signed by the issuer, responderID byName.",
    answer(named=by_name(CA.certificate)),
    "good",
    twin="by-impostor-by-name",
)
case(
    "by-issuer-sent-along",
    "V2",
    "Signed by the issuer, whose certificate is in certs.",
    answer(certs=(CA.certificate,)),
    "good",
    twin="by-impostor-sent-along",
)
case(
    "by-renewed-issuer",
    "V2",
    "The certificate in certs is the issuer's renewed one: same name and key.",
    answer(certs=(RENEWED.certificate,)),
    "good",
    twin="by-impostor-sent-along",
)
case(
    "by-impostor-by-name",
    "V2",
    "Signed by a CA of the issuer's name with another key.",
    answer(by=IMPOSTOR, named=by_name(IMPOSTOR.certificate)),
    "not good",
    BAD,
    twin="by-issuer-by-name",
)
case(
    "by-impostor-sent-along",
    "V2",
    "The same, its certificate in certs.",
    answer(by=IMPOSTOR, named=by_name(IMPOSTOR.certificate), certs=(IMPOSTOR.certificate,)),
    "not good",
    NO,
    twin="by-issuer-sent-along",
)
case(
    "by-impostor-by-key",
    "V2",
    "The same, responderID byKey.",
    answer(by=IMPOSTOR, certs=(IMPOSTOR.certificate,)),
    "not good",
    NO,
)
case(
    "by-root",
    "V2",
    "Signed by the issuer's issuer, which did not issue the leaf.",
    answer(by=ROOT, certs=(ROOT.certificate,)),
    "not good",
    NO,
)
case(
    "by-sibling",
    "V2",
    "Signed by another CA of the same root.",
    answer(by=SIBLING, certs=(SIBLING.certificate,)),
    "not good",
    NO,
)
case(
    "by-sibling-not-sent",
    "V2",
    "The same, without its certificate.",
    answer(by=SIBLING),
    "not good",
    NO,
)
case(
    "by-expired-issuer",
    "V2",
    "The issuer's own certificate has ended.",
    answer(says(of=CertID.of(77, OLD_CA.certificate)), by=OLD_CA),
    "not good",
    "signer-expired",
    "outlives-signer",
    serial=77,
    issuer="old-ca",
    twin="answers-a-serial",
)
case(
    "responder-name-of-another",
    "V2",
    "Signed by the issuer, responderID names another.",
    answer(named=by_name(SIBLING.certificate)),
    "not good",
    NO,
    twin="by-issuer-by-name",
)
case(
    "responder-key-of-another",
    "V2",
    "Signed by the issuer, responderID is another's key.",
    answer(named=by_key(SIBLING.certificate)),
    "not good",
    NO,
)
case(
    "responder-key-of-delegate",
    "V2",
    "Signed by the issuer, responderID and certs are a delegate's.",
    answer(named=by_key(SIGNER.certificate), certs=(SIGNER.certificate,)),
    "not good",
    BAD,
    twin="by-delegate",
)

# -- a delegate -------------------------------------------------------------------------------

case(
    "by-delegate",
    "V2",
    "Signed by a delegate, responderID byKey.",
    answer(by=SIGNER),
    "good",
    twin="delegate-not-issued",
)
case(
    "by-delegate-by-name",
    "V2",
    "Signed by a delegate, responderID byName.",
    answer(by=SIGNER, named=by_name(SIGNER.certificate)),
    "good",
    twin="delegate-not-issued-by-name",
)
case(
    "by-delegate-revoked",
    "V2",
    "A delegate's word counts for revoked as for good.",
    answer(says(Revoked(THIS)), by=SIGNER, certs=(SIGNER.certificate, CA.certificate)),
    "revoked",
    "revoked",
    twin="by-delegate",
)
case(
    "by-rsa-delegate",
    "V2",
    "An RSA delegate of an ECDSA issuer.",
    told_by("rsa-signer", 103, kind="rsa-2048"),
    "good",
    twin="delegate-not-issued",
)
case(
    "delegate-second",
    "Go x/crypto",
    "The delegate stands second in certs, after the leaf: certs[0] alone is not enough.",
    answer(by=SIGNER, certs=(LEAF.certificate, SIGNER.certificate)),
    "good",
    twin="delegate-second-decoy",
)
case(
    "delegate-second-decoy",
    "Go x/crypto",
    "A true delegate stands first as a decoy, the signer is the leaf behind it.",
    answer(by=OTHER_LEAF, certs=(SIGNER.certificate, OTHER_LEAF.certificate)),
    "not good",
    NO,
    twin="delegate-second",
)
case(
    "delegate-last-of-five",
    "V2",
    "The delegate stands last of five.",
    answer(
        by=SIGNER,
        certs=(
            LEAF.certificate,
            OTHER_LEAF.certificate,
            ROOT.certificate,
            CA.certificate,
            SIGNER.certificate,
        ),
    ),
    "good",
    twin="delegate-second-decoy",
)
case(
    "delegate-after-garbage",
    "V2",
    "Before the delegate stands a SEQUENCE that is no certificate.",
    answer(by=SIGNER, certs=(der.sequence(der.encode_integer(5)), SIGNER.certificate)),
    "good",
    twin="only-garbage",
)
case(
    "only-garbage",
    "V2",
    "In certs stands nothing but a SEQUENCE that is no certificate.",
    answer(by=SIGNER, certs=(der.sequence(der.encode_integer(5)),)),
    "not good",
    NO,
    twin="delegate-after-garbage",
)
case(
    "delegate-absent",
    "V2",
    "Signed by a delegate whose certificate is not sent.",
    answer(by=SIGNER, certs=()),
    "not good",
    NO,
    twin="by-delegate",
)
case(
    "delegate-twice",
    "V2",
    "The delegate's certificate is sent twice.",
    answer(by=SIGNER, certs=(SIGNER.certificate, SIGNER.certificate)),
    "good",
    twin="delegate-absent",
)

FORGED = delegate(CA, "signer", 104, forged_by=key_from("stranger"))
case(
    "delegate-not-issued",
    "CVE-2026-32144",
    "The delegate's certificate names the issuer but was "
    "signed by a stranger's key: unchecked, anybody may answer (Erlang).",
    answer(by=FORGED),
    "not good",
    NO,
    twin="by-delegate",
)
case(
    "delegate-not-issued-by-name",
    "CVE-2026-32144",
    "The same, responderID byName.",
    answer(by=FORGED, named=by_name(FORGED.certificate)),
    "not good",
    NO,
    twin="by-delegate-by-name",
)
SELF_MADE = delegate(IMPOSTOR, "self-made", 105)
case(
    "delegate-of-impostor",
    "CVE-2026-32144",
    "Issued by a CA of the issuer's name with another key.",
    answer(by=SELF_MADE, certs=(SELF_MADE.certificate, IMPOSTOR.certificate)),
    "not good",
    NO,
    twin="by-delegate",
)
case(
    "delegate-of-sibling",
    "V2",
    "Issued, properly, by another CA of the same root.",
    answer(by=TRUSTED),
    "not good",
    NO,
    twin="trusted-responder",
)
case(
    "delegate-of-root",
    "V2",
    "Issued by the issuer's issuer: RFC 6960 wants it directly.",
    answer(by=delegate(ROOT, "root-signer", 106)),
    "not good",
    NO,
    twin="by-delegate",
)
case(
    "delegate-of-delegate",
    "V2",
    "Issued by a delegate: authority is not passed on.",
    answer(
        by=(deep := delegate(SIGNER.authority, "deep", 107)),
        certs=(deep.certificate, SIGNER.certificate),
    ),
    "not good",
    NO,
    twin="by-delegate",
)
CROSS = delegate(RENAMED, "cross", 108)
case(
    "delegate-of-renamed-issuer",
    "V2",
    "Issued by the very same key under the CA's other name: curl, GnuTLS and OpenSSL refuse it.",
    answer(by=CROSS),
    "not good",
    NO,
    twin="delegate-of-renamed-issuer-rfc6960",
)
case(
    "delegate-of-renamed-issuer-rfc6960",
    "V2",
    "By the RFC's letter the key decides; the name is a note there.",
    answer(by=CROSS),
    "good",
    NO,
    twin="delegate-of-renamed-issuer",
    profile="rfc6960",
    severities={NO: "note"},
)
for number, (critical, expect) in enumerate(((True, "not good"), (False, "good"))):
    word = "critical" if critical else "ordinary"
    case(
        f"delegate-with-{word}-extension",
        "V2",
        f"The delegate's certificate has an unknown extension, {word}.",
        told_by(word, 180 + number, extensions=[raw("1.2.3.4.5", b"\x05\x00", critical=critical)]),
        expect,
        *([NO] if critical else []),
        twin="delegate-with-ordinary-extension" if critical else "delegate-with-critical-extension",
    )
OLD_DELEGATE = delegate(OLD_CA, "of-old", 182, not_after=AT + 300 * DAY)
case(
    "delegate-of-expired-issuer",
    "V2",
    "The delegate is in date, the issuer that entitles it has ended.",
    answer(says(of=CertID.of(78, OLD_CA.certificate)), by=OLD_DELEGATE),
    "not good",
    "signer-expired",
    serial=78,
    issuer="old-ca",
    twin="answers-a-serial",
)

# -- what entitles it -------------------------------------------------------------------------

case(
    "delegate-with-several-usages",
    "V2",
    "OCSPSigning among other usages.",
    told_by("many", 110, eku=("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.9", "1.3.6.1.5.5.7.3.2")),
    "good",
    twin="delegate-for-servers",
)
case(
    "delegate-for-servers",
    "Go x/crypto",
    "Its only usage is serverAuth.",
    told_by("servers", 111, eku=("1.3.6.1.5.5.7.3.1",)),
    "not good",
    NO,
    twin="delegate-with-several-usages",
)
case(
    "delegate-without-usage",
    "Go x/crypto",
    "It has no extended key usage at all.",
    told_by("plain", 112, eku=()),
    "not good",
    NO,
    twin="by-delegate",
)
case(
    "delegate-for-anything",
    "V2",
    "anyExtendedKeyUsage is not OCSPSigning.",
    told_by("any", 113, eku=("2.5.29.37.0",)),
    "not good",
    NO,
    twin="by-delegate",
)
case(
    "delegate-usage-longer",
    "GnuTLS 1810",
    "Its usage's OID begins with OCSPSigning's and goes on.",
    told_by("longer", 114, eku=("1.3.6.1.5.5.7.3.9.1",)),
    "not good",
    NO,
    twin="by-delegate",
)
case(
    "delegate-usage-shorter",
    "GnuTLS 1810",
    "Its usage's OID is the beginning of OCSPSigning's.",
    told_by("shorter", 115, eku=("1.3.6.1.5.5.7.3",)),
    "not good",
    NO,
    twin="by-delegate",
)
case(
    "delegate-usage-neighbour",
    "GnuTLS 1810",
    "timeStamping, one before OCSPSigning.",
    told_by("neighbour", 116, eku=("1.3.6.1.5.5.7.3.8",)),
    "not good",
    NO,
    twin="by-delegate",
)
case(
    "leaf-for-itself",
    "Go x/crypto",
    "The leaf's own key says that the leaf is good.",
    answer(by=LEAF),
    "not good",
    NO,
    twin="by-delegate",
)
case(
    "leaf-for-another",
    "Go x/crypto",
    "Another leaf of the CA says so.",
    answer(by=OTHER_LEAF),
    "not good",
    NO,
    twin="by-delegate",
)
case(
    "delegate-is-ca",
    "V2",
    "The delegate is a CA itself.",
    told_by("ca-signer", 117, ca=True),
    "not good",
    NO,
    twin="delegate-is-ca-rfc6960",
)
case(
    "delegate-is-ca-rfc6960",
    "V2",
    "Which the RFC does not forbid: a note there.",
    told_by("ca-signer", 117, ca=True),
    "good",
    NO,
    twin="delegate-is-ca",
    profile="rfc6960",
    severities={NO: "note"},
)
case(
    "delegate-is-ca-browser",
    "V2",
    "Nor do we accept it as a browser.",
    told_by("ca-signer", 117, ca=True),
    "not good",
    NO,
    twin="delegate-is-ca-rfc6960",
    profile="browser",
)
case(
    "delegate-without-nocheck",
    "V2",
    "Without id-pkix-ocsp-nocheck: accepted, and a note.",
    told_by("checked", 118, nocheck=False),
    "good",
    "signer-without-nocheck",
    twin="delegate-without-nocheck-or-usage",
)
case(
    "delegate-without-nocheck-or-usage",
    "V2",
    "Without id-pkix-ocsp-nocheck and without usage.",
    told_by("bare", 119, nocheck=False, eku=()),
    "not good",
    NO,
    twin="delegate-without-nocheck",
)

# -- when -------------------------------------------------------------------------------------

case(
    "delegate-expired",
    "Go x/crypto",
    "The delegate ended a month ago.",
    told_by("ended", 120, at=BEGIN, lifetime=120 * DAY),
    "not good",
    "signer-expired",
    "outlives-signer",
    twin="delegate-in-its-last-second",
)
case(
    "delegate-not-begun",
    "Go x/crypto",
    "The delegate begins tomorrow.",
    told_by("tomorrow", 121, at=AT + DAY),
    "not good",
    "signer-expired",
    twin="by-delegate",
)
LAST = delegate(CA, "last", 122, not_after=AT)
case(
    "delegate-in-its-last-second",
    "V2",
    "notAfter itself is within the validity.",
    answer(says(until=AT), by=LAST),
    "good",
    twin="delegate-a-second-late",
)
case(
    "delegate-a-second-late",
    "V2",
    "One second after notAfter.",
    answer(says(until=AT), by=LAST),
    "not good",
    "signer-expired",
    at=AT + SECOND,
    twin="delegate-in-its-last-second",
)
FIRST = delegate(CA, "first", 123, at=AT)
case(
    "delegate-in-its-first-second",
    "V2",
    "notBefore itself is within the validity.",
    answer(by=FIRST),
    "good",
    twin="delegate-a-second-early",
)
case(
    "delegate-a-second-early",
    "V2",
    "One second before notBefore.",
    answer(by=FIRST),
    "not good",
    "signer-expired",
    at=AT - SECOND,
    twin="delegate-in-its-first-second",
)
OLDER = delegate(CA, "renewed", 124, at=BEGIN, lifetime=120 * DAY, name="Signer renewed")
NEWER = delegate(CA, "renewed", 125, at=BEGIN, name="Signer renewed")
case(
    "delegate-renewed",
    "V2",
    "Both certificates of a renewed delegate are sent, the ended one "
    "first: any that entitles is enough.",
    answer(by=NEWER, certs=(OLDER.certificate, NEWER.certificate)),
    "good",
    twin="delegate-renewed-old-alone",
)
case(
    "delegate-renewed-old-alone",
    "V2",
    "Only the ended one is sent.",
    answer(by=NEWER, certs=(OLDER.certificate,)),
    "not good",
    "signer-expired",
    "outlives-signer",
    twin="delegate-renewed",
)
BOGUS = delegate(CA, "signer", 126, forged_by=key_from("stranger"))
case(
    "delegate-after-forged-twin",
    "V2",
    "A forged certificate of the delegate's own key stands before the true one.",
    answer(by=SIGNER, certs=(BOGUS.certificate, SIGNER.certificate)),
    "good",
    twin="delegate-not-issued",
)

# -- keys that cannot be read, trust from outside ----------------------------------------------

case(
    "delegate-with-unreadable-key",
    "CVE-2013-0166",
    "The delegate's key is no point of its curve: refused, without falling over (OpenSSL).",
    answer(by=SIGNER, named=by_name(SIGNER.certificate), certs=(bad_point(SIGNER),)),
    "not good",
    NO,
    twin="by-delegate-by-name",
)
case(
    "delegate-after-unreadable-key",
    "CVE-2013-0166",
    "Such a certificate first, the true one second.",
    answer(
        by=SIGNER, named=by_name(SIGNER.certificate), certs=(bad_point(SIGNER), SIGNER.certificate)
    ),
    "good",
    twin="delegate-with-unreadable-key",
)
case(
    "trusted-responder",
    "V2",
    "A responder trusted by configuration needs nothing of the issuer.",
    answer(by=TRUSTED),
    "good",
    twin="delegate-of-sibling",
    trusted=["trusted-responder"],
)
case(
    "trusted-responder-not-sent",
    "V2",
    "Nor need it send its certificate.",
    answer(by=TRUSTED, certs=()),
    "good",
    twin="trusted-responder-another",
    trusted=["trusted-responder"],
)
case(
    "trusted-responder-another",
    "V2",
    "Trusting one responder does not entitle another.",
    answer(by=delegate(SIBLING, "stray", 127)),
    "not good",
    NO,
    twin="trusted-responder",
    trusted=["trusted-responder"],
)
case(
    "trusted-responder-expired",
    "V2",
    "Trust does not outlive the certificate.",
    answer(by=OLD_TRUSTED),
    "not good",
    "signer-expired",
    "outlives-signer",
    twin="trusted-responder",
    trusted=["old-trusted-responder"],
)

# -- the signature over the bytes --------------------------------------------------------------

GOOD_BYTES = answer()
case(
    "signature-flipped",
    "V2",
    "The last bit of the signature is flipped.",
    GOOD_BYTES[:-1] + bytes((GOOD_BYTES[-1] ^ 1,)),
    "not good",
    BAD,
)
UNKNOWN_BYTES = answer(says(UNKNOWN))
LIED = flipped(UNKNOWN_BYTES, b"\x82\x00\x18\x0f", b"\x80\x00\x18\x0f")
case("unknown-made-good", "V2", "One bit: unknown made good after signing.", LIED, "not good", BAD)
case(
    "unknown-as-signed",
    "V2",
    "The same before it was changed.",
    UNKNOWN_BYTES,
    "unknown",
    "unknown",
)
case(
    "serial-changed",
    "V2",
    "Another certificate's answer with the serial changed after signing.",
    flipped(
        answer(says(of=OTHER_ID)),
        der.encode_integer(OTHER_ID.serial),
        der.encode_integer(LEAF_ID.serial),
    ),
    "not good",
    BAD,
)
case(
    "next-update-changed",
    "V3",
    "Last year's answer with its nextUpdate changed after signing.",
    flipped(answer(says(until=AT - DAY)), der.encode_time(AT - DAY), der.encode_time(NEXT)),
    "not good",
    BAD,
)
case(
    "signature-of-another-answer",
    "V2",
    "A true signature of the issuer, over another answer.",
    signed_response(CA.key, data(), made=signature(CA.key, data(says(this=THIS + SECOND)))),
    "not good",
    BAD,
)
case(
    "signature-empty",
    "V2",
    "A BIT STRING without a bit in it.",
    signed_response(CA.key, data(), made=(ECDSA_SHA256, b"")),
    "not good",
    BAD,
)
case(
    "signature-of-zeros",
    "V2",
    "r and s are zero (psychic signatures, CVE-2022-21449).",
    signed_response(CA.key, data(), made=(ECDSA_SHA256, bytes.fromhex("3006020100020100"))),
    "not good",
    BAD,
)
case(
    "signature-with-more-after",
    "V2",
    "A zero octet after the ECDSA signature.",
    signed_response(CA.key, data(), made=(ECDSA_SHA256, signature(CA.key, data())[1] + b"\0")),
    "not good",
    BAD,
)
