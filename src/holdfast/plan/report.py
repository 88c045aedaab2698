"""A report: what a check of one target came to, and its JSON. Shapes only; `checking` decides.

The JSON is `holdfast.check/1`, a contract.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from holdfast.ocsp.findings import Finding, Severity, worst
from holdfast.ocsp.statuses import Revoked
from holdfast.ocsp.verdict import Verdict
from holdfast.ocsp.window import Window
from holdfast.pki.certificate import Certificate
from holdfast.pki.pem import encode_certificates
from holdfast.tls.observation import Observation

if TYPE_CHECKING:
    from holdfast.plan.cure import Cure, ServerSeen

SCHEMA = "holdfast.check/1"
SHOWN = 32  # bytes of a staple, for who wonders what the server sends there
JSON = dict[str, object]
Method = Literal["GET", "POST"]
ReportVerdict = Literal["good", "warning", "bad", "not-applicable", "unreachable"]


@dataclass(frozen=True, slots=True)
class LeafReport:
    """One leaf that the target showed, with what was sent beside it. `issuer` is the
    one to judge its staple by, wherever it was found.

    `proper`: the chain to send, leaf first and without the root; `missing`: what it lacks.
    """

    leaf: Certificate
    sent: tuple[Certificate, ...]
    issuer: Certificate | None
    complete: bool
    trusted: bool
    proper: tuple[Certificate, ...] = ()
    missing: tuple[Certificate, ...] = ()

    def as_json(self) -> JSON:
        leaf = self.leaf
        return {
            "sha256": leaf.sha256,
            "key_type": leaf.key_type,
            "subject": leaf.subject,
            "names": list(leaf.names),
            "serial": f"{leaf.serial:x}",
            "not_before": instant(leaf.not_before),
            "not_after": instant(leaf.not_after),
            "must_staple": leaf.must_staple,
            "responder_urls": list(leaf.responder_urls),
            "issuer_urls": list(leaf.issuer_urls),
            "crl_urls": list(leaf.crl_urls),
            "chain": {
                "complete": self.complete,
                "trusted": self.trusted,
                "certificates": [
                    {
                        "sha256": c.sha256,
                        "subject": c.subject,
                        "issuer": c.issuer,
                        "serial": f"{c.serial:x}",
                        "not_after": instant(c.not_after),
                        "key_type": c.key_type,
                    }
                    for c in self.sent
                ],
                "missing": [
                    {
                        "sha256": c.sha256,
                        "subject": c.subject,
                        "pem": encode_certificates([c]).decode("ascii"),
                    }
                    for c in self.missing
                ],
            },
        }


@dataclass(frozen=True, slots=True)
class StapleReport:
    """One staple that was sent for the certificate at `position`. `verdict` is None when there was
    no issuer to judge it by."""

    der: bytes
    certificate: Certificate
    leaf: Certificate
    position: int
    verdict: Verdict | None

    @property
    def sha256(self) -> str:
        return sha256_of(self.der)

    @property
    def certificate_status(self) -> str | None:
        return status_of(self.verdict)

    @property
    def valid(self) -> bool:
        """Authentic, for its certificate and current, whatever it says (interface: `valid`)."""
        return self.verdict is not None and self.verdict.valid

    @property
    def window(self) -> Window | None:
        single = self.verdict.single if self.verdict is not None else None
        if single is None or single.next_update is None:
            return None
        return Window(single.this_update, single.next_update)

    def age_percent(self, at: datetime) -> float | None:
        window = self.window
        return None if window is None else round(100 * window.passed(at), 1)

    def as_json(self, at: datetime) -> JSON:
        verdict = self.verdict
        single = verdict.single if verdict is not None else None
        response = verdict.response if verdict is not None else None
        basic = response.basic if response is not None else None
        return {
            "sha256": self.sha256,
            "leaf_sha256": self.leaf.sha256,
            "position": self.position,
            "certificate_status": self.certificate_status,
            "this_update": instant(single.this_update) if single else None,
            "next_update": instant(single.next_update) if single else None,
            "produced_at": instant(basic.produced_at) if basic else None,
            "age_percent": self.age_percent(at),
            "signer": verdict.signer_role if verdict is not None else None,
            "certid_hash": single.certid.hash_algorithm if single else None,
            "valid": self.valid,
            "revocation": _revocation(verdict),
            "bytes": len(self.der),
            "begins": self.der[:SHOWN].hex(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedReport:
    """One request to a responder. `stages`: (name, milliseconds since the beginning)."""

    method: Method
    certid_hash: str
    stages: tuple[tuple[str, float], ...]
    http_status: int | None
    failure: str
    problem: str
    verdict: Verdict | None

    @property
    def valid(self) -> bool:
        return self.verdict is not None and self.verdict.valid

    @property
    def certificate_status(self) -> str | None:
        """good, revoked or unknown, when the answer is valid."""
        return status_of(self.verdict) if self.valid else None

    def as_json(self) -> JSON:
        single = self.verdict.single if self.verdict is not None else None
        return {
            "method": self.method,
            "certid_hash": self.certid_hash,
            "http_status": self.http_status,
            "timeline": dict(self.stages),
            "milliseconds": self.stages[-1][1] if self.stages else None,
            "certificate_status": self.certificate_status,
            "this_update": instant(single.this_update) if single else None,
            "next_update": instant(single.next_update) if single else None,
            "valid": self.valid,
            "failure": self.failure or None,
            "problem": self.problem or None,
        }


@dataclass(frozen=True, slots=True)
class ResponderReport:
    """What one responder said now. `reachable`: it answered HTTP, whatever it said.

    `asked`: every request that was made, by GET and by POST.
    """

    url: str
    leaf: Certificate
    reachable: bool
    milliseconds: float | None
    verdict: Verdict | None
    findings: tuple[Finding, ...]
    asked: tuple[AskedReport, ...] = ()

    @property
    def certificate_status(self) -> str | None:
        """good, revoked or unknown, when the answer is valid."""
        return status_of(self.verdict) if self.verdict is not None and self.verdict.valid else None

    def as_json(self) -> JSON:
        return {
            "url": self.url,
            "leaf_sha256": self.leaf.sha256,
            "reachable": self.reachable,
            "milliseconds": self.milliseconds,
            "certificate_status": self.certificate_status,
            "asked": [one.as_json() for one in self.asked],
            "findings": [found.as_json() for found in self.findings],
        }


@dataclass(frozen=True, slots=True)
class CrlReport:
    """What the CRL said; `revoked` None when it could not be used."""

    url: str
    revoked: bool | None
    next_update: datetime | None
    findings: tuple[Finding, ...] = ()

    def as_json(self) -> JSON:
        return {"url": self.url, "revoked": self.revoked, "next_update": instant(self.next_update)}


@dataclass(frozen=True, slots=True)
class ClientReport:
    """Whether a client would go on, and if not why. `source`: where its rule is written."""

    client: str
    accepts: bool
    because: str | None
    rule: str = ""
    source: str = ""

    def as_json(self) -> JSON:
        return {
            "client": self.client,
            "accepts": self.accepts,
            "because": self.because,
            "rule": self.rule,
            "source": self.source,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything about one target. `findings`: gravest first, each once. `server`: None when it was
    not looked for; `cures`: by the code of the finding, a patch of that server, or of each that it
    may be."""

    target: str
    servername: str
    at: datetime
    verdict: ReportVerdict
    addresses: tuple[str, ...]
    handshakes: tuple[Observation, ...] = ()
    leaves: tuple[LeafReport, ...] = ()
    staples: tuple[StapleReport, ...] = ()
    responders: tuple[ResponderReport, ...] = ()
    crl: CrlReport | None = None
    clients: tuple[ClientReport, ...] = ()
    findings: tuple[Finding, ...] = ()
    server: ServerSeen | None = None
    cures: Mapping[str, tuple[Cure, ...]] = field(default_factory=dict)

    @property
    def worst(self) -> Severity | None:
        found = worst(self.findings)
        return None if found is None else found.severity

    def as_json(self) -> JSON:
        return {
            "target": self.target,
            "addresses": list(self.addresses),
            "servername": self.servername,
            "verdict": self.verdict,
            "handshakes": [_handshake(observation) for observation in self.handshakes],
            "leaves": [leaf.as_json() for leaf in self.leaves],
            "staples": [staple.as_json(self.at) for staple in self.staples],
            "responders": [responder.as_json() for responder in self.responders],
            "crl": None if self.crl is None else self.crl.as_json(),
            "clients": [client.as_json() for client in self.clients],
            "server": None if self.server is None else self.server.as_json(),
            "findings": [self._finding(found) for found in self.findings],
        }

    def _finding(self, found: Finding) -> JSON:
        cures = self.cures.get(found.code, ())
        return {**found.as_json(), "cures": [cure.as_json() for cure in cures]}


def document(reports: list[Report]) -> JSON:
    """The whole `holdfast check --json`."""
    return {"schema": SCHEMA, "reports": [report.as_json() for report in reports]}


def sha256_of(data: bytes) -> str:
    """In hexadecimal; "" of nothing."""
    return hashlib.sha256(data).hexdigest() if data else ""


def status_of(verdict: Verdict | None) -> str | None:
    """What the response says of the certificate, valid or not."""
    status = verdict.certificate_status if verdict is not None else None
    return None if status is None else status.text


def instant(at: datetime | None) -> str | None:
    """RFC 3339, UTC, whole seconds."""
    return None if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _handshake(observation: Observation) -> JSON:
    shown: JSON = {
        "address": observation.address,
        "sni": observation.sni is not None,
        "tls": observation.tls or None,
        "cipher": observation.cipher or None,
        "key_type": observation.key_type or None,
        "milliseconds": observation.milliseconds,
        "stapled": observation.staple is not None,
        "staple_sha256": observation.staple_sha256,
        "staples": [
            {"position": position, "bytes": len(staple), "sha256": sha256_of(staple) or None}
            for position, staple in enumerate(observation.staples)
            if staple is not None
        ],
        "error": None if observation.error is None else observation.error.problem,
    }
    return shown


def _revocation(verdict: Verdict | None) -> JSON | None:
    match verdict.certificate_status if verdict is not None else None:
        case Revoked(at=since, reason=reason):
            return {"time": instant(since), "reason": None if reason is None else reason.text}
        case _:
            return None
