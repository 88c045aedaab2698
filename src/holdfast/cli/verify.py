"""`holdfast verify`: judge a stored OCSP response offline.

Laws: nothing is asked of the network; exit 0 only when the response is valid and the certificate
good; bytes that look like DER and do not parse are a finding, not an error of the operator.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from holdfast.cli.params import (
    DURATION,
    INPUT,
    Input,
    at_option,
    fail_on_option,
    json_option,
)

if TYPE_CHECKING:
    from holdfast.ocsp.certid import Subject
    from holdfast.ocsp.findings import Finding
    from holdfast.ocsp.policy import Policy
    from holdfast.ocsp.response import Response
    from holdfast.ocsp.verdict import Verdict
    from holdfast.pki.certificate import Certificate

SCHEMA = "holdfast.verify/1"


@click.command()
@click.argument("response", type=INPUT, metavar="RESPONSE")
@click.option(
    "--cert", "-C", "cert", type=INPUT, metavar="C",
    help="The certificate it is for; a full chain will do. Default: the serial that it names.",
)  # fmt: skip
@click.option(
    "--issuer", "-I", "issuer", type=INPUT, metavar="I",
    help="The certificate of its issuer, or a bundle that has it among others.",
)  # fmt: skip
@at_option
@click.option(
    "--profile",
    type=click.Choice(["strict", "rfc6960", "browser"]),
    default="strict",
    show_default=True,
    help="Whose rules: ours, the RFC's letter, or Firefox's.",
)
@click.option("--allow-sha1", is_flag=True, help="Accept signatures made with SHA-1.")
@click.option(
    "--max-age", type=DURATION, metavar="D", help="Refuse what was made longer ago than this."
)
@click.option(
    "--skew", type=DURATION, metavar="D", default="5m", show_default=True,
    help="How far clocks may differ.",
)  # fmt: skip
@click.option(
    "--trust", type=INPUT, metavar="FILE",
    help="Where the issuer's own chain must end. Default: the issuer itself is trusted.",
)  # fmt: skip
@fail_on_option
@json_option
def verify(
    *,
    response: Input,
    cert: Input | None,
    issuer: Input | None,
    at: datetime,
    profile: str,
    allow_sha1: bool,
    max_age: timedelta | None,
    skew: timedelta,
    trust: Input | None,
    fail_on: str,
    as_json: bool,
) -> int:
    """Judge a stored OCSP response (DER, PEM or base64), offline.

    Exit 0 when it is valid and says good; 1 when it is not, or says revoked or unknown.
    """
    import atexit
    import gc

    # One short process: there is nothing to collect, and looking takes 15 ms, half of it at exit.
    atexit.register(gc.freeze)
    gc.disable()
    try:
        policy = _policy(profile, allow_sha1=allow_sha1, max_age=max_age, skew=skew)
        return _verify(
            response, cert, issuer, trust=trust, policy=policy, at=at, fail_on=fail_on,
            as_json=as_json,
        )  # fmt: skip
    finally:
        gc.enable()


def _policy(
    profile: str, *, allow_sha1: bool, max_age: timedelta | None, skew: timedelta
) -> Policy:
    from holdfast.ocsp.findings import Profile
    from holdfast.ocsp.policy import Policy

    return Policy(profile=Profile(profile), skew=skew, max_age=max_age, allow_sha1=allow_sha1)


def _verify(
    response: Input,
    cert: Input | None,
    issuer: Input | None,
    *,
    trust: Input | None,
    policy: Policy,
    at: datetime,
    fail_on: str,
    as_json: bool,
) -> int:
    from holdfast.cli.output import exit_code, write_document

    der = _response_der(response)
    parsed = _parsed(der)
    subject, others = _subject(parsed, cert, issuer)
    judged = _judged(der, parsed, subject, at, policy)
    extra = [*_leaf_findings(subject), *_trust_findings(subject, others, trust, at)]
    findings = sorted([*extra, *judged.findings], key=lambda found: -found.severity)
    valid = judged.valid and not extra
    if as_json:
        write_document(document(judged, valid=valid, findings=findings))
    else:
        _tell(judged, valid=valid, findings=findings)
    return 1 if not (valid and judged.good) else exit_code(findings, fail_on)


def document(
    verdict: Verdict, *, valid: bool | None = None, findings: list[Finding] | None = None
) -> dict[str, object]:
    """The object of schema holdfast.verify/1; `fetch` shows the same."""
    from holdfast.ocsp.statuses import Revoked

    response, single = verdict.response, verdict.single
    status = verdict.certificate_status
    basic = None if response is None else response.basic
    role = verdict.signer_role
    revocation = None
    if isinstance(status, Revoked):
        revocation = {"time": status.at, "reason": status.reason and status.reason.text}
    return {
        "schema": SCHEMA,
        "valid": verdict.valid if valid is None else valid,
        "response_status": None if response is None else response.response_status.name,
        "certificate_status": None if status is None else status.text,
        "revocation": revocation,
        "this_update": None if single is None else single.this_update,
        "next_update": None if single is None else single.next_update,
        "produced_at": None if basic is None else basic.produced_at,
        "signer": role,
        "signer_subject": None if verdict.signer is None else verdict.signer.subject,
        "serial": f"{verdict.subject.serial:x}",
        "at": verdict.at,
        "findings": [
            found.as_json() for found in (verdict.findings if findings is None else findings)
        ],
    }


# -- what is judged ---------------------------------------------------------------------------


def _response_der(given: Input) -> bytes:
    """The DER in `given`: of a PEM file the one block that is an OCSP response; of DER and base64
    everything, whatever it seems to be."""
    from holdfast.pki import pem
    from holdfast.pki.kind import Kind

    blocks = pem.decode(given.data, name=given.name)
    if len(blocks) == 1 and not blocks[0].label:
        return blocks[0].der
    labelled = [block.der for block in blocks if block.label == "OCSP RESPONSE"]
    if len(labelled) == 1:
        return labelled[0]
    return pem.single(given.data, Kind.OCSP_RESPONSE, name=given.name)


def _parsed(der: bytes) -> Response | None:
    from holdfast.errors import Malformed
    from holdfast.ocsp.response import Response

    try:
        return Response.parse(der)
    except Malformed:
        return None


def _judged(
    der: bytes, parsed: Response | None, subject: Subject, at: datetime, policy: Policy
) -> Verdict:
    from holdfast.ocsp.verify import examine, examine_bytes

    if parsed is None:
        return examine_bytes(der, subject, at=at, policy=policy)
    return examine(parsed, subject, at=at, policy=policy)


def _subject(
    response: Response | None, cert: Input | None, issuer: Input | None
) -> tuple[Subject, list[Certificate]]:
    """Whom the question is about, and every certificate that was given along the way."""
    from holdfast.errors import OperatorError
    from holdfast.ocsp.certid import Subject
    from holdfast.pki import pem
    from holdfast.pki.chain import find_issuer, order

    issuers = list(pem.certificates(issuer.data, name=issuer.name)) if issuer else []
    if cert is None:
        if not issuers:
            raise OperatorError(
                "no issuer given", hint="add --issuer FILE, the CA certificate that issued it"
            )
        return _named_subject(response, issuers), issuers
    held = list(pem.certificates(cert.data, name=cert.name))
    leaf = order(held).leaf
    found = find_issuer(leaf, issuers) or find_issuer(leaf, held)
    if found is None and len(issuers) == 1:
        found = issuers[0]  # judged all the same; that it is not the issuer is a finding
    if found is None:
        where = f"none of the {len(issuers)} certificates in {issuer.name}" if issuer else "no"
        what = "is" if issuer else "certificate given is"
        raise OperatorError(
            f"{cert.name}: {where} {what} the issuer of {leaf.subject}",
            hint=f"give the certificate of {leaf.issuer} with --issuer; "
            "`holdfast bundle --aia` finds it",
        )
    return Subject.of(leaf, found), [*issuers, *held]


def _named_subject(response: Response | None, issuers: list[Certificate]) -> Subject:
    """The certificate that the response itself names, for whichever of `issuers` it does."""
    from holdfast.errors import OperatorError
    from holdfast.ocsp.certid import Subject

    singles = () if response is None or response.basic is None else response.basic.singles
    for issuer in issuers:
        serials = {s.certid.serial for s in singles if s.certid.names(s.certid.serial, issuer)}
        if len(serials) > 1:
            raise OperatorError(
                f"the response speaks of {len(serials)} certificates of {issuer.subject}",
                hint="say which one is meant with --cert",
            )
        if serials:
            return Subject(serials.pop(), issuer)
    return Subject(singles[0].certid.serial if singles else 0, issuers[0])


def _leaf_findings(subject: Subject) -> list[Finding]:
    """A response for another issuer's certificate of the same serial must not pass."""
    from holdfast.ocsp.findings import finding

    leaf, issuer = subject.leaf, subject.issuer
    if leaf is None or leaf.signed_by(issuer):
        return []
    return [finding("chain-untrusted", reason=f"{leaf.subject} was not issued by {issuer.subject}")]


def _trust_findings(
    subject: Subject, others: list[Certificate], trust: Input | None, at: datetime
) -> list[Finding]:
    if trust is None:
        return []
    from holdfast.ocsp.findings import finding
    from holdfast.pki import pem
    from holdfast.pki.trust import Untrusted, path_to

    anchors = pem.certificates(trust.data, name=trust.name)
    try:
        path_to(subject.issuer, anchors, intermediates=others, at=at)
    except Untrusted as error:
        return [finding("chain-untrusted", reason=error.reason)]
    return []


# -- telling ----------------------------------------------------------------------------------


def _tell(verdict: Verdict, *, valid: bool, findings: list[Finding]) -> None:
    from holdfast.cli.output import Printer

    printer = Printer.on()
    printer.line(headline(printer.paint, verdict, valid=valid))
    tell_window(verdict)
    for found in findings:
        printer.finding(found)


def headline(paint: object, verdict: Verdict, *, valid: bool) -> str:
    """The verdict in one line."""
    from holdfast.cli.output import rfc3339
    from holdfast.ocsp.statuses import Good, Revoked, Unknown

    assert callable(paint)
    who = verdict.subject.name
    status = verdict.certificate_status
    if not valid:
        response = verdict.response
        if response is None:
            return f"{paint('invalid', 'fatal')}: not an OCSP response"
        if response.basic is None:
            told = response.response_status.name
            return f"{paint('invalid', 'fatal')}: the error response {told}, for {who}"
        said = "" if status is None else f" (it says {status.text})"
        return f"{paint('invalid', 'fatal')}: not a valid response for {who}{said}"
    match status:
        case Good():
            return f"{paint('good', 'good')}: the response for {who} is valid and says good"
        case Revoked(at, reason):
            why = f" ({reason.text})" if reason is not None else ""
            return f"{paint('revoked', 'revoked')}: {who} was revoked at {rfc3339(at)}{why}"
        case Unknown() | None:
            return f"{paint('unknown', 'unknown')}: the responder does not know {who}"


def tell_window(verdict: Verdict) -> None:
    """The window as a bar, and who signed."""
    from holdfast.cli.output import Printer, rfc3339, validity_bar

    printer, single = Printer.on(), verdict.single
    if single is None:
        return
    bar = validity_bar(
        single.this_update, single.next_update, at=verdict.at, unicode=printer.unicode
    )
    end = "no nextUpdate" if single.next_update is None else rfc3339(single.next_update)
    printer.field("window", [f"{rfc3339(single.this_update)} to {end}", bar])
    response = verdict.response
    if response is not None and response.basic is not None:
        printer.field("produced", rfc3339(response.basic.produced_at))
    if verdict.signer is not None:
        role = {"issuer": "the issuer itself", "delegate": "delegated signer"}
        told = role.get(verdict.signer_role or "", verdict.signer_role or "not authorised")
        printer.field("signed by", f"{verdict.signer.subject} ({told})")
