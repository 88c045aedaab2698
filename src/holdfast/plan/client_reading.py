"""What well-known clients read out of a staple, where they read less than `ocsp.verify` does.

Laws: pure; a reading is the set of `staple-...` codes that the client can know of. Clients look at
the leaf's staple alone. OpenSSL's d2i_OCSP_RESPONSE (ssl/statem/statem_clnt.c, apps/s_client.c;
curl's lib/vtls/openssl.c) stops at the end of the element and does not look inside responseBytes;
OCSP_resp_find_status takes the first single of the CertID; GnuTLS (lib/x509/ocsp.c,
gnutls_ocsp_resp_check_crt) compares the serial and the issuer's name, not its key. All of it was
seen in runs of openssl 3.0, curl 7.88 and GnuTLS 3.7.
"""

from __future__ import annotations

from holdfast.ocsp.certid import issuer_hashes
from holdfast.ocsp.findings import Finding
from holdfast.ocsp.policy import STRICT
from holdfast.ocsp.response import SingleResponse
from holdfast.ocsp.verdict import Verdict
from holdfast.ocsp.verify import certificate_status_is_good, examine_bytes, is_current
from holdfast.pki.tlv import CONTEXT_0, SEQUENCE, element, elements
from holdfast.plan.report import StapleReport

ENUMERATED, OCTET_STRING, OID = 0x0A, 0x04, 0x06
_OF_THE_SINGLE = frozenset(
    {"staple-expired", "staple-not-yet-valid", "staple-revoked", "staple-unknown"}
)


def codes_of(staple: StapleReport) -> frozenset[str]:
    """All that there is to find in it."""
    return _codes(staple.verdict)


def as_openssl_does(staple: StapleReport) -> frozenset[str]:
    """s_client judges nothing: it must have the form of an OCSPResponse."""
    codes = codes_of(staple)
    return codes - {"staple-malformed"} if has_the_form(staple.der) else codes


def as_curl_does(staple: StapleReport) -> frozenset[str]:
    """What stands behind it is passed over, and the first single by SHA-1 is the one."""
    verdict = staple.verdict
    if verdict is not None and verdict.response is None:
        outer = element(staple.der, 0, len(staple.der))
        if outer is not None and outer.end < len(staple.der):
            verdict = examine_bytes(staple.der[: outer.end], verdict.subject, at=verdict.at)
    codes = _codes(verdict)
    matching = _matching(verdict)
    if verdict is None or len(matching) < 2:
        return codes
    first = next((one for one in matching if one.certid.hash_algorithm == "sha1"), matching[0])
    found: list[Finding] = []
    is_current(first, verdict.at, STRICT, found)
    certificate_status_is_good(first, found)
    return (codes - _OF_THE_SINGLE) | {one.prefixed("staple").code for one in found}


def as_gnutls_does(staple: StapleReport) -> frozenset[str]:
    """Another CA of the same name is the same to it."""
    codes = codes_of(staple)
    verdict = staple.verdict
    if verdict is None or verdict.response is None or verdict.response.basic is None:
        return codes
    for single in verdict.response.basic.singles[:1]:
        certid = single.certid
        try:
            name_hash, _ = issuer_hashes(verdict.subject.issuer, certid.hash_algorithm)
        except ValueError:  # a hash that nobody knows
            continue
        if (certid.serial, certid.issuer_name_hash) == (verdict.subject.serial, name_hash):
            codes -= {"staple-wrong-certificate"}
    return codes


def has_the_form(der: bytes) -> bool:
    """Whether it begins with an OCSPResponse (RFC 6960 4.2.1), whatever is in its responseBytes."""
    outer = element(der, 0, len(der))
    if outer is None or outer.tag != SEQUENCE:
        return False
    inner = elements(der, outer.start, outer.end)
    if not inner or inner[0].tag != ENUMERATED or len(inner) > 2:
        return False
    if len(inner) == 1:
        return True
    wrapped = elements(der, inner[1].start, inner[1].end)
    if inner[1].tag != CONTEXT_0 or not wrapped or len(wrapped) != 1:
        return False
    parts = elements(der, wrapped[0].start, wrapped[0].end)
    return parts is not None and [part.tag for part in parts] == [OID, OCTET_STRING]


def _codes(verdict: Verdict | None) -> frozenset[str]:
    if verdict is None:
        return frozenset()
    return frozenset(one.prefixed("staple").code for one in verdict.findings)


def _matching(verdict: Verdict | None) -> list[SingleResponse]:
    if verdict is None or verdict.response is None or verdict.response.basic is None:
        return []
    subject = verdict.subject
    singles = verdict.response.basic.singles
    return [one for one in singles if one.certid.names(subject.serial, subject.issuer)]
