"""SARIF 2.1.0: the schema's rules, the references within the log, and what a review shows."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from holdfast.formats.sarif import Place, document, uri_of
from support import reports
from support.reports import a_good, a_hostile, a_missing, a_must_staple, a_revoked, an_unreachable
from support.sarif_schema import breaches


def log(*given: Any, **more: Any) -> Any:
    """The document as a reader gets it."""
    return json.loads(json.dumps(document(given, **more)))


def test_the_schema_is_kept_whatever_is_reported() -> None:
    everything = [make() for make in reports.ALL]
    assert breaches(log(*everything)) == []
    assert breaches(log()) == []
    assert breaches(log(a_good())) == []


Spoil = Callable[[Any], None]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda run: run.pop("tool"),
        lambda run: run["results"][0].pop("message"),
        lambda run: run["results"][0].update(level="fault"),
        lambda run: run["results"][0].update(ruleIndex="0"),
        lambda run: run["results"][0].update(severity="fault"),
        lambda run: run["invocations"][0].update(startTimeUtc="yesterday"),
        lambda run: run["invocations"][0].pop("executionSuccessful"),
        lambda run: run["tool"]["driver"]["rules"].append(run["tool"]["driver"]["rules"][0]),
        lambda run: run["results"][0]["locations"][0]["physicalLocation"].update(
            artifactLocation={"uri": "https://a b/"}
        ),
        lambda run: run["results"][0]["locations"][0]["physicalLocation"].update(
            region={"startLine": 0}
        ),
    ],
)
def test_the_judge_catches_each_breach(spoil: Spoil) -> None:
    """The red twins of the test above."""
    broken = copy.deepcopy(log(a_revoked()))
    spoil(broken["runs"][0])
    assert breaches(broken)


def test_results_point_at_their_rules_and_levels_at_severities() -> None:
    run = log(a_missing(), a_revoked(), a_must_staple())["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"])
    levels = {result["ruleId"]: result["level"] for result in run["results"]}
    assert levels["staple-missing"] == "warning"
    assert levels["staple-revoked"] == levels["must-staple-without-staple"] == "error"
    worst = next(r for r in run["results"] if r["ruleId"] == "must-staple-without-staple")
    assert worst["properties"]["severity"] == "fatal"
    assert "firefox" in worst["properties"]["refusedBy"]
    assert "Hint: turn stapling on" in worst["message"]["text"]


def test_a_finding_keeps_its_fingerprint_and_another_target_has_its_own() -> None:
    def prints(*given: Any) -> list[str]:
        results = log(*given)["runs"][0]["results"]
        return [result["partialFingerprints"]["targetAndCode/v1"] for result in results]

    assert prints(a_missing()) == prints(a_missing())
    assert set(prints(a_missing())).isdisjoint(prints(a_missing("other.example.com")))


def test_the_line_of_the_list_is_the_place_where_there_is_one() -> None:
    places = {"missing.example.com": Place("ops/my hosts.txt", 7)}
    absolute = log(a_missing(), places={"missing.example.com": Place("/etc/hosts.txt", 1)})
    assert breaches(absolute) == []
    assert '"file:///etc/hosts.txt"' in json.dumps(absolute)
    results = log(a_missing(), a_revoked(), places=places)["runs"][0]["results"]
    physical = {
        r["locations"][0]["logicalLocations"][0]["name"]: r["locations"][0]["physicalLocation"]
        for r in results
    }
    assert physical["missing.example.com"] == {
        "artifactLocation": {"uri": "ops/my%20hosts.txt"},
        "region": {"startLine": 7},
    }
    assert physical["revoked.example.com"] == {
        "artifactLocation": {"uri": "https://revoked.example.com"}
    }


@pytest.mark.parametrize(
    ("target", "uri"),
    [
        ("www.example.com:8443", "https://www.example.com:8443"),
        ("2001:db8::1", "https://[2001:db8::1]"),
        ("[2001:db8::1]:443", "https://[2001:db8::1]:443"),
        ("SMTP://mail.example.com", "smtp://mail.example.com"),
    ],
)
def test_targets_as_uris(target: str, uri: str) -> None:
    assert uri_of(target) == uri


def test_who_is_not_reached_is_told_of_the_run_too() -> None:
    invocation = log(an_unreachable())["runs"][0]["invocations"][0]
    assert [n["descriptor"]["id"] for n in invocation["toolExecutionNotifications"]] == [
        "unreachable"
    ]


def test_a_hostile_server_says_it_in_text_alone() -> None:
    text = json.dumps(document([a_hostile()]), ensure_ascii=False)
    assert text.isprintable()
    assert not a_hostile().target.isprintable()  # the red twin
