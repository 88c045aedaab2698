"""Is there a staple, in every handshake, the same one, and does the certificate demand it?

Laws: pure; handshakes that were made without SNI on purpose speak of the name only where they
showed one of its certificates. RFC 6066 8, RFC 7633.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from holdfast.errors import Malformed
from holdfast.ocsp.findings import FAULT, WARNING, Finding, finding
from holdfast.pki.certificate import Certificate
from holdfast.tls.observation import Observation
from holdfast.tls.starttls import DIALOGUES


def of_the_name(observations: Sequence[Observation]) -> list[Observation]:
    """Those that show what clients of the name get."""
    leaves = {o.leaf for o in observations if o.seen and not o.without_sni}
    return [o for o in observations if not o.without_sni or (o.seen and o.leaf in leaves)]


def by_leaf(observations: Sequence[Observation]) -> dict[bytes, list[Observation]]:
    """The handshakes that showed each leaf certificate of the name."""
    grouped: dict[bytes, list[Observation]] = {}
    for observation in of_the_name(observations):
        if observation.seen:
            grouped.setdefault(observation.leaf, []).append(observation)
    return grouped


def judge_presence(
    leaf: Certificate,
    observations: Sequence[Observation],
    *,
    require_staple: bool,
    protocol: str = "",
    into: list[Finding],
) -> None:
    """Add what the handshakes that showed `leaf` tell by carrying a staple or none. `protocol`: a
    row of the STARTTLS table, where that is spoken there."""
    stapled = [o for o in observations if o.staple]
    empty = [o for o in observations if b"" in o.staples]
    if empty:
        many = f"an empty one was sent in {len(empty)} of {len(observations)} handshakes"
        problem = f"{many}, and OpenSSL, Go and Java end the connection at it"
        into.append(finding("staple-malformed", problem=problem, empty=len(empty)))
    if not stapled:
        if leaf.responder_urls or require_staple:
            severity = FAULT if require_staple else WARNING
            responder = ", ".join(leaf.responder_urls) or "none, but a staple is required"
            row = DIALOGUES.get(protocol)
            # Few such servers can staple: nobody is told to turn on what is not there
            advice = {} if row is None else {"advice": row.stapling}
            into.append(finding("staple-missing", severity=severity, responder=responder, **advice))
    elif len(stapled) < len(observations):
        into.append(
            finding(
                "staple-intermittent",
                severity=FAULT if leaf.must_staple else WARNING,
                stapled=len(stapled),
                handshakes=len(observations),
                pattern=_pattern(observations),
            )
        )
    different = {o.staple for o in stapled}
    if len(different) > 1:
        into.append(finding("staple-differs", count=len(different)))


def judge_demand(
    leaf: Certificate, observations: Sequence[Observation], *, into: list[Finding]
) -> None:
    """Add what the certificate itself says: must-staple, and where its responder is."""
    if leaf.must_staple:
        if not any(o.staple for o in observations):
            into.append(finding("must-staple-without-staple"))
        if not leaf.responder_urls:
            into.append(finding("must-staple-without-responder"))
        if leaf.must_staple_critical:
            into.append(finding("must-staple-critical"))
    if not leaf.responder_urls:
        into.append(finding("no-responder-url", reason=why_no_responder(leaf)))
    for url in leaf.responder_urls:
        if not url.lower().startswith("http://"):
            into.append(finding("responder-url-not-http", url=url))


def judge_without_sni(observations: Sequence[Observation], *, into: list[Finding]) -> None:
    """Add what a client gets that sends no name, where it is something else."""
    named = {o.leaf for o in observations if o.seen and not o.without_sni}
    if not named:
        return
    for o in observations:
        if not o.without_sni:
            continue
        difference = ""
        if o.seen and o.leaf not in named:
            difference = f"is shown another certificate, for {_names(o.leaf)}"
        elif not o.seen and o.error is not None and o.error.kind == "tls-handshake-failed":
            difference = f"is refused ({o.error.problem})"
        if difference:
            into.append(finding("without-sni-differs", difference=difference))
            return


_KINDS: tuple[tuple[str, Callable[[Observation], str]], ...] = (
    ("from", lambda o: o.address),
    ("over", lambda o: o.tls),
    ("", lambda o: "without SNI" if o.without_sni else "with SNI"),
)


def _pattern(observations: Sequence[Observation]) -> str:
    """Which handshakes lack it, where that can be told in a word."""
    for word, kind in _KINDS:
        having = {kind(o) for o in observations if o.staple}
        lacking = {kind(o) for o in observations if not o.staple}
        if having.isdisjoint(lacking):
            return f", and none {word} {', '.join(sorted(lacking))}".replace("  ", " ")
    by_address: dict[str, list[bool]] = {}
    for o in observations:
        by_address.setdefault(o.address, []).append(bool(o.staple))
    cold = [seen for seen in by_address.values() if seen == sorted(seen)]
    if len(cold) == len(by_address):
        return ", after one without: it is fetched when a client asks for it"
    return ""


def _names(der: bytes) -> str:
    try:
        return ", ".join(Certificate(der).names[:4]) or "no name at all"
    except Malformed:
        return "nobody knows whom"


ENDED = {
    "Let's Encrypt": "Let's Encrypt turned its responders off on 2025-08-06",
}
"""Organisation of the issuer -> what is known of its OCSP; letsencrypt.org, "Ending OCSP Support in
2025"."""
SHORT_LIVED_DAYS = 10  # CA/Browser Forum 1.6.1: a short-lived certificate needs no revocation data


def why_no_responder(leaf: Certificate) -> str:
    """Why a certificate names no responder, as far as it can be told from it."""
    for organisation, told in ENDED.items():
        if f"O={organisation}" in leaf.issuer:
            return told
    days = (leaf.not_after - leaf.not_before).days
    if days < SHORT_LIVED_DAYS:
        return f"it lives {max(days, 1)} days, too short to be worth revoking"
    if leaf.crl_urls:
        return "its CA tells of revocations by CRL alone"
    return "its CA offers none"
