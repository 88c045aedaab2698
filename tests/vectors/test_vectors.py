"""The vector file against our verdict, and against those of `openssl ocsp` and `cryptography`.

V1 to V7, and the bugs that others have shipped, each with its twin of the other colour: cases
as data, which other programs may run too (docs/reference/vectors.md).
"""

from __future__ import annotations

import json
import re
import string
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from holdfast.errors import Rejected
from holdfast.ocsp.findings import RULES, rule_of
from holdfast.ocsp.response import Response
from holdfast.ocsp.verdict import Verdict
from holdfast.ocsp.verify import examine_bytes, verify
from support.vectors import (
    FILE,
    ORACLES,
    Case,
    differs,
    judge_by_openssl,
    load,
    our_word,
    read_by_cryptography,
)
from vectors.reasons import DIFFERS

CASES = load()
SHIPPED = {  # bugs others have shipped: behaviours, section V
    "CVE-2026-32144", "CVE-2026-3832", "CVE-2016-7444", "CVE-2026-10098", "GnuTLS 1810",
    "CVE-2020-8286", "CVE-2024-8096", "OpenSSL 32376", "CVE-2013-0166", "Go x/crypto",
}  # fmt: skip
# What is said of handshakes and of a server over time; one response alone never shows it.
ABOUT_HANDSHAKES = {
    "staple-missing", "staple-intermittent", "staple-differs", "staple-near-expiry",
    "staple-absent-intermediate",
}  # fmt: skip


def judged(case: Case) -> Verdict:
    return examine_bytes(case.response, case.subject, at=case.at, policy=case.policy)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_our_verdict(case: Case) -> None:
    """V1 to V7: the verdict, and every finding, no more and no fewer."""
    verdict = judged(case)
    response, certificate_status = verdict.response, verdict.certificate_status
    wanted = case.expected
    assert {
        "valid": verdict.valid,
        "response_status": response and response.response_status.name,
        "certificate_status": certificate_status and certificate_status.text,
        "findings": sorted(verdict.codes),
    } == {name: wanted[name] for name in wanted if name != "severities"}, case.says
    severities = {found.code: found.severity.text for found in verdict.findings}
    usual = {code: rule_of(code).severity.text for code in verdict.codes}
    assert severities == usual | wanted.get("severities", {})


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_only_what_is_valid_becomes_a_staple(case: Case) -> None:
    """V7: `verify` agrees with `examine`."""
    if case.expected["response_status"] is None:
        return
    response = Response.parse(case.response)
    if case.expected["valid"]:
        staple = verify(response, case.subject, at=case.at, policy=case.policy)
        assert staple.certificate_status.text == case.expected["certificate_status"]
        assert staple.der == case.response
    else:
        with pytest.raises(Rejected) as caught:
            verify(response, case.subject, at=case.at, policy=case.policy)
        assert sorted(caught.value.verdict.codes) == case.expected["findings"]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_finding_reads_well(case: Case) -> None:
    """Every hole of the templates is filled by a fact."""
    for found in judged(case).findings:
        holes = {
            name
            for template in (found.rule.message, found.rule.hint)
            for _, name, _, _ in string.Formatter().parse(template)
            if name
        }
        assert holes - {"it"} <= found.facts.keys()
        assert found.message
        assert found.hint
        assert found.spec


# -- the file ---------------------------------------------------------------------------------


def test_there_are_enough_cases_and_none_twice() -> None:
    entries = json.loads(FILE.read_text(encoding="utf-8"))["cases"]
    assert len(entries) >= 120
    assert len({entry["id"] for entry in entries}) == len(entries)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", entry["id"]) for entry in entries)


def test_every_case_has_a_twin_of_the_other_colour() -> None:
    """A green test proves little without a red one beside it, and the other way round."""
    wrong = [
        f"{case.id} and {case.twin}"
        for case in CASES.values()
        if case.twin not in CASES or CASES[case.twin].good == case.good
    ]
    assert wrong == []


def test_every_rule_and_every_shipped_bug_has_cases() -> None:
    rules = {part for case in CASES.values() for part in case.rule.split(", ")}
    assert {f"V{number}" for number in range(1, 8)} <= rules
    assert rules >= SHIPPED
    red = {case.rule for case in CASES.values() if not case.good}
    assert red >= SHIPPED


def test_every_finding_about_a_response_is_exercised() -> None:
    known = {code for code in RULES if code.startswith("staple-")} - ABOUT_HANDSHAKES
    seen = Counter(code for case in CASES.values() for code in case.expected["findings"])
    assert {code.replace("response-", "staple-") for code in seen} == known


def test_minting_again_gives_the_same_file() -> None:
    """ML-DSA's signatures excepted, which are kept while the rest fits."""
    from vectors.mint import minted  # reading it makes keys and all cases: two seconds

    before = json.loads(FILE.read_text(encoding="utf-8"))
    assert minted(before) == before


# -- the oracles ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def openssl_words(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return judge_by_openssl(CASES.values(), tmp_path_factory.mktemp("openssl"))


def test_openssl_says_what_is_recorded(openssl_words: dict[str, str]) -> None:
    """The words are those of OpenSSL 3.0; one that knows ML-DSA may say of it what it likes."""
    told = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True)
    version = tuple(int(part) for part in told.stdout.split()[1].split(".")[:2])
    recorded = {
        case.id: case.oracles["openssl"]
        for case in CASES.values()
        if version < (3, 5) or not case.id.startswith("ml-dsa-")
    }
    assert {id: openssl_words[id] for id in recorded} == recorded


def test_cryptography_says_what_is_recorded() -> None:
    said = {case.id: read_by_cryptography(case) for case in CASES.values()}
    assert said == {case.id: case.oracles["cryptography"] for case in CASES.values()}


@pytest.mark.parametrize("oracle", ORACLES)
def test_every_difference_has_its_reason_and_every_reason_a_difference(oracle: str) -> None:
    """A difference that vanishes fails too: somebody mended something."""
    different = {
        case.id for case in CASES.values() if differs(oracle, case.oracles[oracle], judged(case))
    }
    assert different == {case.id for case in CASES.values() if oracle in case.differs_because}
    assert different == {id for name, id in DIFFERS if name == oracle}


def test_where_openssl_and_we_disagree_we_are_nearly_always_the_stricter() -> None:
    """The cases in which we accept what openssl refuses are few and known."""
    lenient = {
        case.id
        for case in CASES.values()
        if "openssl" in case.differs_because and our_word(judged(case)) in ("good", "revoked")
    }
    assert lenient == {
        "delegate-after-forged-twin", "delegate-after-garbage", "delegate-after-unreadable-key",
        "delegate-in-its-last-second", "delegate-of-renamed-issuer-rfc6960",
        "delegate-renewed", "max-age-reached", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87",
    }  # fmt: skip


def test_no_private_key_is_kept() -> None:
    folder = Path(__file__).parent
    for path in folder.iterdir():
        if path.is_file():
            assert b"PRIVATE KEY" not in path.read_bytes() or path.name == Path(__file__).name
