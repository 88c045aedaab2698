"""Mint verify.json anew: PYTHONPATH=src:tests python -m vectors.mint

Everything but ML-DSA's signatures (which are made with fresh randomness) comes out the same each
time; those are kept from the file while they still fit. `--oracles` asks the oracles again and
writes their words; without it the words in the file are kept. The reasons of differences are
written by hand, in reasons.py.
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from holdfast.errors import Malformed
from holdfast.ocsp.response import Response
from support import vectors as reading
from vectors import cases_algorithm, cases_certid, cases_form, cases_signer, cases_time
from vectors.cast import CASES, CERTIFICATES, Minted
from vectors.reasons import DIFFERS

MODULES = (cases_certid, cases_signer, cases_time, cases_algorithm, cases_form)
RANDOMISED = "2.16.840.1.101.3.4.3."  # ML-DSA


def text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def expected(case: Minted) -> dict[str, Any]:
    valid = case.expect in reading.ACCEPTED
    last = case.expect.removeprefix("not ")
    successful = valid or case.expect.startswith("not ") or case.expect == "nothing"
    response_status = "successful" if successful else case.expect
    if case.expect == "malformed":
        response_status = None
    found: dict[str, Any] = {
        "valid": valid,
        "response_status": response_status,
        "certificate_status": last if last in reading.ACCEPTED else None,
        "findings": list(case.codes),
    }
    return found | ({"severities": case.severities} if case.severities else {})


def minted(before: dict[str, Any]) -> dict[str, Any]:
    """The whole file; `before` is the one there is."""
    certificates = {name: text(one.der) for name, one in CERTIFICATES.items()}
    return {
        "schema": reading.SCHEMA,
        "about": "OCSP responses and how they are to be judged; see docs/reference/vectors.md",
        "certificates": _kept(certificates, before.get("certificates", {})),
        "cases": [_entry(case, before) for case in CASES],
    }


def _entry(case: Minted, before: dict[str, Any]) -> dict[str, Any]:
    old = {entry["id"]: entry for entry in before.get("cases", ())}.get(case.id, {})
    entry = {
        "id": case.id,
        "rule": case.rule,
        "says": case.says,
        "issuer": case.issuer,
        "leaf": case.leaf,
        "serial": f"{case.serial:x}",
        "at": case.at.isoformat().replace("+00:00", "Z"),
        "policy": case.policy,
        "response": _kept_response(text(case.response), old.get("response", "")),
        "expected": expected(case),
        "twin": case.twin,
        "oracles": old.get("oracles", {}),
    }
    reasons = {
        oracle: reason
        for oracle in reading.ORACLES
        if (reason := DIFFERS.get((oracle, case.id))) is not None
    }
    return entry | ({"differs_because": reasons} if reasons else {})


def _kept(new: dict[str, str], old: dict[str, str]) -> dict[str, str]:
    return new if not old else {name: new[name] for name in new}


def _kept_response(new: str, old: str) -> str:
    """`old` when the two differ in an ML-DSA signature only."""
    try:
        ours, theirs = (Response.parse(base64.b64decode(one)).basic for one in (new, old))
    except Malformed:
        return new
    same = (
        ours is not None
        and theirs is not None
        and ours.signature_algorithm.oid.startswith(RANDOMISED)
        and (ours.tbs, ours.signature_algorithm, ours.certificates)
        == (theirs.tbs, theirs.signature_algorithm, theirs.certificates)
    )
    return old if same else new


def ask_oracles(path: Path) -> dict[str, dict[str, str]]:
    cases = reading.load(path)
    with tempfile.TemporaryDirectory() as folder:
        openssl = reading.judge_by_openssl(cases.values(), Path(folder))
    return {
        id: {"openssl": openssl[id], "cryptography": reading.read_by_cryptography(case)}
        for id, case in cases.items()
    }


def write(file: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(file, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main(words: list[str]) -> None:
    path = reading.FILE
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    file = minted(before)
    write(file, path)
    if "--oracles" in words:
        said = ask_oracles(path)
        for entry in file["cases"]:
            entry["oracles"] = said[entry["id"]]
        write(file, path)
    print(f"{len(file['cases'])} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
