"""docs/monitoring against what the keeper really tells: Prometheus' own promtool reads the metrics,
the alert rules and every query of the Grafana dashboard, and fires the alerts that it should (K22).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from holdfast.errors import DeliveryError, Unavailable
from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.response import Response
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import Revoked
from holdfast.services.inventory import Kept
from holdfast.services.keeper import Keeper
from holdfast.services.keeper_metrics import METRICS, metrics_text
from holdfast.stores.memory import MemoryStore
from support.clock import FakeClock
from support.pki import AT
from support.processes import ran
from support.staples import WEEK, a_desk

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "monitoring"
RULES = FOLDER / "alerts.yml"
DASHBOARD = FOLDER / "grafana-dashboard.json"
PAGE = ROOT / "docs" / "how-to" / "monitor-the-keeper.md"
NAME = re.compile(r"\bholdfast_[a-z_]+\b")

GOOD = a_desk("good.test", serial=1)
GONE = a_desk("gone.test", serial=2, must_staple=True)
LATE = a_desk("late.test", serial=3)
BAD = a_desk("revoked.test", serial=4)
DESKS = {1: GOOD, 3: LATE, 4: BAD}


class Answers:
    """Not for `gone`; after the first round for nobody."""

    up = True

    async def response(self, subject: Subject, /) -> Response:
        if subject.serial == 2 or not self.up:
            raise Unavailable("connection refused", failure="connect")
        if subject.serial == 4:
            return BAD.response(AT, WEEK, Revoked(AT))
        window = timedelta(hours=1) if subject.serial == 3 else WEEK
        return DESKS[subject.serial].response(AT, window)


class Server:
    """A stapled server; one that is `ill` takes nothing."""

    def __init__(self, name: str, *, ill: bool = False) -> None:
        self.name, self._ill = name, ill

    async def deliver(self, staple: Staple, /) -> None:
        if self._ill:
            raise DeliveryError("no socket")

    async def withdraw(self, certid: CertID, /) -> None:
        return


async def prove(server: str, staple: Staple) -> None:
    return


def told() -> tuple[Keeper, datetime]:
    """A keeper with something in every metric, and the instant at which it is asked."""
    clock, answers = FakeClock(AT), Answers()
    kept = [Kept.of(desk.subject, servers=("web",)) for desk in (GONE, LATE, BAD)]
    kept.append(Kept.of(GOOD.subject, servers=("web", "ill")))
    keeper = Keeper(
        kept,
        source=answers,
        store=MemoryStore(),
        clock=clock,
        servers={"web": Server("web"), "ill": Server("ill", ill=True)},
        prove=prove,
    )

    async def story() -> None:
        task = asyncio.create_task(keeper.run())
        await clock.settle(turns=500)
        answers.up = False
        for _ in range(70):
            clock.advance(timedelta(minutes=1))
            await clock.settle(turns=60)
        keeper.stop()
        await task

    asyncio.run(story())
    return keeper, clock.now()


KEEPER, NOW = told()
TEXT = metrics_text(KEEPER, NOW)


def names_in(path: Path) -> set[str]:
    """The metrics that a page names, those of a histogram by its name."""
    text = path.read_text(encoding="utf-8")
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in NAME.findall(text)}


def queries() -> Iterator[tuple[str, str]]:
    """(panel, expression with the dashboard's variables filled in)."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            text = target["expr"].replace("$job", ".*").replace("$instance", ".*")
            yield panel["title"], text.replace("$__rate_interval", "5m")


def test_promtool_finds_nothing_wrong_with_the_metrics() -> None:
    done = ran(["promtool", "check", "metrics"], stdin=TEXT.encode())
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_every_metric_has_a_sample() -> None:
    sampled = {line.partition("{")[0].partition(" ")[0] for line in TEXT.splitlines()}
    missing = {
        name
        for name, (kind, _) in METRICS.items()
        if (f"{name}_bucket" if kind == "histogram" else name) not in sampled
    }
    assert missing == set()


@pytest.mark.parametrize("path", [RULES, DASHBOARD, PAGE], ids=lambda path: path.name)
def test_what_is_named_exists(path: Path) -> None:
    assert names_in(path) - set(METRICS) == set()


def test_what_exists_is_shown_and_explained() -> None:
    """Every metric is in the page of metrics and in the dashboard or the rules."""
    assert set(METRICS) - names_in(PAGE) == set()
    assert set(METRICS) - names_in(DASHBOARD) - names_in(RULES) == set()


def test_promtool_accepts_the_rules() -> None:
    done = ran(["promtool", "check", "rules", RULES])
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()


def test_promtool_accepts_every_query_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{n}", "expr": expression} for n, (_, expression) in enumerate(queries())
    ]
    path = tmp_path / "queries.json"  # YAML as well
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = ran(["promtool", "check", "rules", path])
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    path.write_text(path.read_text().replace("sum by (outcome) (", "sum by (outcome) ((", 1))
    assert ran(["promtool", "check", "rules", path]).returncode != 0, "the red twin"


def test_labels_in_the_queries_exist() -> None:
    """A selector or a grouping by a label that no metric has would silently show nothing."""
    known = {*re.findall(r'([a-z_]+)="', TEXT), "job", "instance"}
    text = "\n".join([RULES.read_text(), *(expression for _, expression in queries())])
    used = set(re.findall(r'([a-z_]+)\s*=~?\s*"', text))
    for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", text):
        used |= {label.strip() for label in group.split(",")}
    used |= set(re.findall(r"\$labels\.([a-z_]+)", text))
    assert used - known == set()


def test_the_dashboard_is_whole() -> None:
    board = json.loads(DASHBOARD.read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, f"{panel['title']} lies over another"
        assert at["x"] + at["w"] <= 24
        taken |= cells


def fired(tmp_path: Path, series: list[dict[str, str]], expected: dict[str, list[str]]) -> str:
    """ "" when by the rules exactly these alerts fire (the alert, then the names it is about)."""
    samples = [
        {"labels": f'about{{alertname="{alert}",name="{name}"}}', "value": 1}
        for alert, names in expected.items()
        for name in names
    ]
    ask = "group by (alertname, name) (ALERTS{alertstate='firing'})"
    wish = [{**one, "labels": one["labels"].removeprefix("about")} for one in samples]
    test = {
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [{"expr": ask, "eval_time": "30m", "exp_samples": wish}],
    }
    document = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}
    path = tmp_path / "test.json"
    path.write_text(json.dumps(document))
    done = ran(["promtool", "test", "rules", path])
    return "" if done.returncode == 0 else (done.stderr + done.stdout).decode()


def as_series(text: str) -> list[dict[str, str]]:
    """Each sample as it is scraped for half an hour."""
    series = [{"series": 'up{job="holdfast",instance="i"}', "values": "1x40"}]
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        series_name, _, value = line.rpartition(" ")
        name, brace, labels = series_name.partition("{")
        inside = f"{labels.rstrip('}')}," if brace else ""
        full = f'{name}{{{inside}job="holdfast",instance="i"}}'
        if name != "holdfast_next_fetch_timestamp_seconds":  # promtool's time begins in 1970
            series.append({"series": full, "values": f"{value}x40"})
    return series


def test_k22_the_alerts_that_fire(tmp_path: Path) -> None:
    """By the keeper's own metrics: nothing that has no staple reads as good, and nothing else
    is told."""
    problem = fired(
        tmp_path,
        as_series(TEXT),
        {
            "HoldfastMustStapleWithoutStaple": ["gone.test"],
            "HoldfastStapleMissing": ["late.test", "revoked.test"],
            "HoldfastRevoked": ["revoked.test"],
            "HoldfastNotDelivered": ["good.test"],
        },
    )
    assert problem == ""


def test_an_alert_that_does_not_fire_is_missed(tmp_path: Path) -> None:
    """The red twin."""
    assert "HoldfastRevoked" in fired(tmp_path, as_series(TEXT), {"HoldfastRevoked": ["x.test"]})


def test_a_keeper_that_is_down_or_not_scraped(tmp_path: Path) -> None:
    down = [{"series": 'up{job="holdfast",instance="i"}', "values": "0x40"}]
    assert "HoldfastDown" in fired(tmp_path, down, {})
    assert "HoldfastAbsent" in fired(tmp_path, [], {})


def test_a_staple_that_nears_its_end(tmp_path: Path) -> None:
    who = '{name="a.test",serial="1",job="holdfast",instance="i"}'
    series = [
        {"series": 'up{job="holdfast",instance="i"}', "values": "1x40"},
        {"series": f"holdfast_staple_good{who}", "values": "1x40"},
        {"series": f"holdfast_must_staple{who}", "values": "1x40"},
        {"series": f"holdfast_staple_window_seconds{who}", "values": "100000x40"},
        {"series": f"holdfast_staple_seconds_left{who}", "values": "15000x40"},
    ]
    assert fired(tmp_path, series, {"HoldfastStapleEnding": ["a.test"]}) == ""
    series[-1]["values"] = "9000x40"
    both = {"HoldfastStapleEnding": ["a.test"], "HoldfastStapleEndingSoon": ["a.test"]}
    assert fired(tmp_path, series, both) == ""
    series[-1]["values"] = "50000x40"
    assert fired(tmp_path, series, {}) == "", "a healthy one is silent (K19)"
