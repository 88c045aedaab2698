"""The vector file tests/vectors/verify.json as values, and the oracles that judge it beside us.

An oracle's word for a case is one of: malformed; the name of an error response; refused, stale,
wrong-certificate (not valid, and why); good, revoked, unknown (accepted).
`cryptography` only reads: it says what the file means, not whether it is signed.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import DuplicateExtension, ocsp

from holdfast.errors import Malformed
from holdfast.ocsp.certid import HASH_OIDS, CertID, Subject
from holdfast.ocsp.findings import Profile
from holdfast.ocsp.policy import Policy
from holdfast.ocsp.response import Response
from holdfast.ocsp.verdict import Verdict
from holdfast.pki import pem
from holdfast.pki.certificate import Certificate
from support.faketime import environment

FILE = Path(__file__).parents[1] / "vectors" / "verify.json"
SCHEMA = "holdfast.vectors/1"
ACCEPTED = frozenset({"good", "revoked", "unknown"})
ORACLES = ("openssl", "cryptography")


@dataclass(frozen=True, slots=True)
class Case:
    """One case. `expected`, `oracles` and `differs_because` are as in the file."""

    id: str
    rule: str
    says: str
    response: bytes
    subject: Subject
    anchor: Certificate
    at: datetime
    policy: Policy
    expected: dict[str, Any]
    twin: str
    oracles: dict[str, str]
    differs_because: dict[str, str]

    @property
    def good(self) -> bool:
        return bool(self.expected["valid"]) and self.expected["certificate_status"] == "good"


def load(path: Path = FILE) -> dict[str, Case]:
    """Every case of the file by its id, in order."""
    file = json.loads(path.read_text(encoding="utf-8"))
    assert file["schema"] == SCHEMA
    table = {
        name: Certificate(base64.b64decode(text)) for name, text in file["certificates"].items()
    }
    return {entry["id"]: _case(entry, table) for entry in file["cases"]}


def _case(entry: dict[str, Any], table: dict[str, Certificate]) -> Case:
    issuer = table[entry["issuer"]]
    leaf = table[entry["leaf"]] if entry["leaf"] else None
    policy = entry["policy"]
    return Case(
        id=entry["id"],
        rule=entry["rule"],
        says=entry["says"],
        response=base64.b64decode(entry["response"]),
        subject=Subject(int(entry["serial"], 16), issuer, leaf),
        anchor=table["root"],
        at=datetime.fromisoformat(entry["at"]),
        policy=Policy(
            profile=Profile(policy.get("profile", "strict")),
            skew=timedelta(seconds=policy.get("skew", 300)),
            max_age=timedelta(seconds=policy["max_age"]) if "max_age" in policy else None,
            allow_sha1=policy.get("allow_sha1", False),
            nonce=bytes.fromhex(policy["nonce"]) if "nonce" in policy else None,
            trusted_responders=tuple(table[name] for name in policy.get("trusted", ())),
        ),
        expected=entry["expected"],
        twin=entry["twin"],
        oracles=entry["oracles"],
        differs_because=entry.get("differs_because", {}),
    )


# -- our own word -----------------------------------------------------------------------------


def our_word(verdict: Verdict) -> str:
    """What we say, in an oracle's words: accepted with the certificate_status, or refused."""
    if verdict.response is None:
        return "malformed"
    if verdict.response.basic is None:
        return verdict.response.response_status.name
    if not verdict.valid or verdict.certificate_status is None:
        return "refused"
    return verdict.certificate_status.text


def what_we_read(verdict: Verdict) -> str:
    """What we read, whether or not it is valid."""
    if verdict.response is None:
        return "malformed"
    if verdict.response.basic is None:
        return verdict.response.response_status.name
    found = verdict.certificate_status
    return "wrong-certificate" if found is None else found.text


def differs(oracle: str, word: str, verdict: Verdict) -> bool:
    """True when the oracle's word is another judgement than ours: two ways of refusing are one."""
    if oracle == "cryptography":
        return word != what_we_read(verdict)
    ours = our_word(verdict)
    return (word in ACCEPTED or ours in ACCEPTED) and word != ours


# -- cryptography -----------------------------------------------------------------------------


def read_by_cryptography(case: Case) -> str:
    """The status in the first single that has the subject's CertID."""
    try:
        response = ocsp.load_der_ocsp_response(case.response)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            return _ERRORS[response.response_status]
        _ = response.produced_at_utc, response.signature, response.certificates
        for extensions in (response.extensions, response.single_extensions):
            list(extensions)
    except ValueError as error:
        if "SINGLERESP" not in str(error):
            return "malformed"
    except (UnsupportedAlgorithm, DuplicateExtension):
        return "malformed"
    try:
        return _first_match(ocsp.load_der_ocsp_response(case.response), case.subject)
    except (ValueError, UnsupportedAlgorithm):
        return "malformed"


_ERRORS = {
    ocsp.OCSPResponseStatus.MALFORMED_REQUEST: "malformedRequest",
    ocsp.OCSPResponseStatus.INTERNAL_ERROR: "internalError",
    ocsp.OCSPResponseStatus.TRY_LATER: "tryLater",
    ocsp.OCSPResponseStatus.SIG_REQUIRED: "sigRequired",
    ocsp.OCSPResponseStatus.UNAUTHORIZED: "unauthorized",
}


def _first_match(response: ocsp.OCSPResponse, subject: Subject) -> str:
    for single in response.responses:
        _ = single.this_update_utc, single.next_update_utc, single.revocation_reason
        name = single.hash_algorithm.name
        if name not in HASH_OIDS:
            continue
        found = CertID(name, single.issuer_name_hash, single.issuer_key_hash, single.serial_number)
        if found == subject.certid_by(name):
            return single.certificate_status.name.lower()
    return "wrong-certificate"


# -- openssl ----------------------------------------------------------------------------------


def judge_by_openssl(cases: Iterable[Case], folder: Path) -> dict[str, str]:
    """`openssl ocsp` on each case, at its instant (libfaketime stops the clock there)."""
    with ThreadPoolExecutor(2) as pool:
        chosen = list(cases)
        words = pool.map(lambda case: _openssl(case, folder / case.id), chosen)
        return {case.id: word for case, word in zip(chosen, words, strict=True)}


def _openssl(case: Case, folder: Path) -> str:
    folder.mkdir(parents=True)
    subject, policy = case.subject, case.policy

    def file(name: str, content: bytes) -> str:
        path = folder / name
        path.write_bytes(content)
        return str(path)

    words = ["openssl", "ocsp", "-respin", file("response.der", case.response)]
    words += [f"-{_certid_hash(case)}"]
    words += ["-issuer", file("issuer.pem", pem.encode_certificates([subject.issuer]))]
    if subject.leaf is not None:
        words += ["-cert", file("leaf.pem", pem.encode_certificates([subject.leaf]))]
    else:
        words += ["-serial", hex(subject.serial)]
    words += ["-no_nonce"]
    words += ["-CAfile", file("root.pem", pem.encode_certificates([case.anchor]))]
    words += ["-verify_other", str(folder / "issuer.pem")]
    words += ["-validity_period", str(int(policy.skew.total_seconds()))]
    if policy.max_age is not None:
        words += ["-status_age", str(int(policy.max_age.total_seconds()))]
    if policy.trusted_responders:
        trusted = pem.encode_certificates(policy.trusted_responders)
        words += ["-VAfile", file("trusted.pem", trusted)]
    done = subprocess.run(
        words, capture_output=True, timeout=20, env=environment(case.at), check=False
    )
    return _openssl_word((done.stdout + done.stderr).decode("utf-8", "replace"))


def _certid_hash(case: Case) -> str:
    """The hash that openssl is to look for: the first single's, as a client knows what it asked."""
    try:
        basic = Response.parse(case.response).basic
    except Malformed:
        return "sha1"
    name = basic.singles[0].certid.hash_algorithm if basic and basic.singles else ""
    return name if name in HASH_OIDS else "sha1"


def _openssl_word(said: str) -> str:
    if "Responder Error" in said:
        code = said.split("Responder Error: ", 1)[1].split(maxsplit=1)[0]
        for name in _ERRORS.values():
            if name.lower() == code.lower():
                return name
        return f"error {code}"
    if "Error reading OCSP response" in said or "Error parsing response" in said:
        return "malformed"
    if "Response verify OK" not in said:
        return "refused" if "Response Verify Failure" in said else f"? {said.strip()[-200:]}"
    if "No Status found" in said:
        return "wrong-certificate"
    if "Status times invalid" in said:
        return "stale"
    for line in said.splitlines():
        if line.endswith((": good", ": revoked", ": unknown")):
            return line.rsplit(": ", 1)[1]
    return f"? {said.strip()[-200:]}"
