"""Is this OCSP response a good staple for this certificate at this instant?

The one question holdfast is built round, and the one place that answers it. RFC 6960 3.2 and
4.2.2.2, RFC 9919, and what clients do: section V of the behaviours. Every rule is applied and
every finding reported; the verdict is made at the end (V7).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from holdfast.errors import Malformed, Rejected
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.extension import KNOWN, Extension, nonce_of
from holdfast.ocsp.findings import ERROR_RESPONSE_ADVICE, Finding, Profile, finding
from holdfast.ocsp.policy import BROWSER_LIFETIME, MAX_WINDOW, STRICT, Policy
from holdfast.ocsp.response import BasicResponse, Response, SingleResponse
from holdfast.ocsp.signer import signed_by_issuer_or_delegate
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import Good, Revoked, Unknown
from holdfast.ocsp.verdict import Verdict
from holdfast.ocsp.window import duration_text
from holdfast.pki.certificate import Certificate

LARGE = 14600  # bytes; the initial congestion window, ten segments of 1460 (RFC 6928)
# A CertificateStatus of 16384 bytes, less its own four; ssl/statem/statem_clnt.c,
# ossl_statem_client_max_message_size
OPENSSL_MOST_IN_TLS12 = 16384 - 4
LAST_INSTANT = datetime.max.replace(tzinfo=UTC)
UNKEPT_LIFETIME = "12 h"  # K6: what a keeper allows a response without nextUpdate


def verify(
    response: Response, subject: Subject, *, at: datetime, policy: Policy = STRICT
) -> Staple:
    """`response` as a `Staple` for `subject` at the instant `at` (aware).

    Raises `Rejected`, with the whole verdict, unless the response is authentic, for this
    certificate, and current. A revoked or unknown certificate_status does not reject: the staple
    carries it, and policy decides whether it is sent.
    """
    verdict = examine(response, subject, at=at, policy=policy)
    if not verdict.valid:
        raise Rejected(verdict)
    assert verdict.single is not None
    assert verdict.signer is not None
    return Staple(response, subject, verdict.single, verdict.signer, at)


def examine(
    response: Response, subject: Subject, *, at: datetime, policy: Policy = STRICT
) -> Verdict:
    """Judge `response` as a staple for `subject` at the instant `at` (aware).

    Every rule is applied, so that a report can show all that is wrong; a rule that cannot be
    applied because an earlier one failed says so by its absence.
    """
    basic = response.basic
    if basic is None:
        found = finding(
            "response-error-response",
            response_status=response.response_status.name,
            advice=ERROR_RESPONSE_ADVICE[response.response_status.name],
        )
        return Verdict(response, subject, at, (found,))
    findings: list[Finding] = []
    single = names_the_certificate(basic, subject, findings)
    signer, role = signed_by_issuer_or_delegate(basic, subject, at=at, policy=policy, into=findings)
    if single is not None:
        is_current(single, at, policy, findings)
        if len(basic.singles) > 1:
            others = [
                other
                for other in basic.singles
                if other is not single and other.certid.names(subject.serial, subject.issuer)
            ]
            others_are_current(others, at, policy, findings)
        window_is_sane(single, signer, policy, findings)
        certificate_status_is_good(single, findings)
    was_produced_in_time(basic, single, subject, policy, findings)
    if basic.extensions or single is None or single.extensions or len(basic.singles) > 1:
        extensions_are_known(basic, findings)
    if policy.nonce is not None:
        nonce_matches(basic, policy.nonce, findings)
    if len(response.der) > LARGE:
        findings.append(_too_large(len(response.der)))
    return Verdict(response, subject, at, tuple(findings), single, signer, role)


def _too_large(size: int) -> Finding:
    ended = size > OPENSSL_MOST_IN_TLS12
    more = ", and in TLS 1.2 clients on OpenSSL end the connection at it" if ended else ""
    return finding("response-too-large", size=size, more=more)


def examine_bytes(
    data: bytes, subject: Subject, *, at: datetime, policy: Policy = STRICT
) -> Verdict:
    """`examine` for bytes that may not even be a response: then the finding is malformed (V6)."""
    try:
        response = Response.parse(data)
    except Malformed as error:
        found = finding("response-malformed", problem=error.message)
        return Verdict(None, subject, at, (found,))
    return examine(response, subject, at=at, policy=policy)


# -- the rules, in the order a reader of RFC 6960 3.2 expects ---------------------------------


def names_the_certificate(
    basic: BasicResponse, subject: Subject, into: list[Finding]
) -> SingleResponse | None:
    """V1: the single whose CertID matches in all four fields; of several, revoked wins, then
    unknown, then good; of equals the newest, and the one by SHA-1, which all clients know."""
    serial, issuer = subject.serial, subject.issuer
    if len(basic.singles) == 1 and basic.singles[0].certid.names(serial, issuer):
        matching: Sequence[SingleResponse] = basic.singles
    else:
        matching = [single for single in basic.singles if single.certid.names(serial, issuer)]
    if not matching:
        into.append(
            finding(
                "response-wrong-certificate",
                answered=_answered(basic, serial),
                serial=f"{serial:x}",
                issuer=issuer.subject,
            )
        )
        return None
    single = matching[0]
    if len(matching) > 1:
        single = max(
            matching,
            key=lambda one: (
                _GRAVITY[type(one.certificate_status)],
                one.this_update,
                one.certid.hash_algorithm == "sha1",
            ),
        )
        said = sorted({one.certificate_status.text for one in matching})
        if len(said) > 1:
            into.append(
                finding(
                    "response-conflicting-singles", count=len(matching), said=" and ".join(said)
                )
            )
    if single.certid.hash_algorithm != "sha1":
        into.append(finding("response-certid-sha256", hash_algorithm=single.certid.hash_algorithm))
    return single


_GRAVITY = {Good: 0, Unknown: 1, Revoked: 2}


def _answered(basic: BasicResponse, serial: int) -> str:
    if any(single.certid.serial == serial for single in basic.singles):
        return "that serial of another issuer (the issuer's name or key has another hash)"
    serials = [f"{single.certid.serial:x}" for single in basic.singles[:3]]
    if not serials:
        return "no certificate at all"
    more = len(basic.singles) - len(serials)
    return f"serial {', '.join(serials)}" + (f" and {more} more" if more else "")


def is_current(single: SingleResponse, at: datetime, policy: Policy, into: list[Finding]) -> None:
    """V3: thisUpdate <= at + skew, and at - skew < nextUpdate.

    Instants are subtracted, never moved: 99991231235959Z (RFC 5280 4.1.2.5) cannot be added to.
    """
    this_update, next_update = single.this_update, single.next_update
    if this_update - at > policy.skew:
        into.append(
            finding(
                "response-not-yet-valid",
                this_update=this_update,
                ahead=duration_text(this_update - at),
            )
        )
    end = next_update
    if policy.profile is Profile.BROWSER:
        window = BROWSER_LIFETIME if end is None else min(end - this_update, MAX_WINDOW)
        end = this_update + min(window, LAST_INSTANT - this_update)
    if end is not None and at - end >= policy.skew:
        into.append(finding("response-expired", ended=end, ago=duration_text(at - end)))
    if policy.max_age is not None and at - this_update > policy.max_age:
        into.append(
            finding(
                "response-too-old",
                age=duration_text(at - this_update),
                max_age=duration_text(policy.max_age),
            )
        )


def others_are_current(
    others: Sequence[SingleResponse], at: datetime, policy: Policy, into: list[Finding]
) -> None:
    """Every other single that speaks of the certificate must be current too: clients take the
    first they find, and refuse the response when that one has ended."""
    codes = {found.code for found in into}
    for other in others:
        found: list[Finding] = []
        is_current(other, at, policy, found)
        into.extend(one for one in found if one.code not in codes)
        codes.update(one.code for one in found)


def window_is_sane(
    single: SingleResponse, signer: Certificate | None, policy: Policy, into: list[Finding]
) -> None:
    """A window there is, it runs forwards, is no longer than 10 days and ends before the signer."""
    next_update = single.next_update
    if next_update is None:
        code = "response-no-next-update"
        into.append(finding(code, severity=policy.severity(code), lifetime=UNKEPT_LIFETIME))
        return
    window = next_update - single.this_update
    if window < timedelta(0):
        into.append(finding("response-malformed", problem="nextUpdate is before thisUpdate"))
    elif window > MAX_WINDOW:
        code = "response-window-too-long"
        into.append(finding(code, severity=policy.severity(code), window=duration_text(window)))
    if signer is not None and next_update > signer.not_after:
        into.append(
            finding(
                "response-outlives-signer",
                next_update=next_update,
                whose="the signer's",
                not_after=signer.not_after,
            )
        )


def certificate_status_is_good(single: SingleResponse, into: list[Finding]) -> None:
    match single.certificate_status:
        case Good():
            pass
        case Unknown():
            into.append(finding("response-unknown"))
        case Revoked(at, reason):
            into.append(
                finding(
                    "response-revoked",
                    at=at,
                    reason="no reason told" if reason is None else reason.text,
                )
            )


def was_produced_in_time(
    basic: BasicResponse,
    single: SingleResponse | None,
    subject: Subject,
    policy: Policy,
    into: list[Finding],
) -> None:
    """producedAt lies within the leaf's life, give or take the skew (Go truncates it to the
    minute); before thisUpdate is a note in every profile."""
    produced_at, leaf = basic.produced_at, subject.leaf
    if leaf is not None and (
        leaf.not_before - produced_at > policy.skew or produced_at - leaf.not_after > policy.skew
    ):
        into.append(
            finding(
                "response-produced-outside-certificate",
                produced_at=produced_at,
                not_before=leaf.not_before,
                not_after=leaf.not_after,
            )
        )
    if single is not None and produced_at < single.this_update:
        into.append(
            finding(
                "response-produced-before-this-update",
                produced_at=produced_at,
                this_update=single.this_update,
            )
        )


def extensions_are_known(basic: BasicResponse, into: list[Finding]) -> None:
    """V5: an unknown critical extension, of the response or of any single, refuses it."""
    groups: list[tuple[Extension, ...]] = [basic.extensions]
    groups += [single.extensions for single in basic.singles]
    unknown = {
        extension.oid
        for extensions in groups
        for extension in extensions
        if extension.critical and extension.oid not in KNOWN
    }
    into.extend(finding("response-critical-extension", oid=oid) for oid in sorted(unknown))


def nonce_matches(basic: BasicResponse, sent: bytes, into: list[Finding]) -> None:
    """A nonce that came back must be the one sent; none is a note (RFC 9654: responders may
    answer from a cache)."""
    try:
        echoed = nonce_of(basic.extensions, "ResponseData")
    except Malformed:
        echoed = b""
    if echoed is None:
        into.append(finding("response-nonce-absent"))
    elif echoed != sent:
        into.append(finding("response-nonce-mismatch"))
