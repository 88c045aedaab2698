"""Status document, metrics, page: what is told of each state (K22)."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

from holdfast.errors import Unavailable
from holdfast.net.http_message import Request
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.response import Response
from holdfast.ocsp.statuses import Revoked
from holdfast.services.inventory import Kept
from holdfast.services.keeper import Keeper
from holdfast.services.keeper_metrics import metrics_text
from holdfast.services.keeper_page import KeeperPage, page_html
from holdfast.services.keeper_state import status_document
from holdfast.stores.memory import MemoryStore
from support.clock import FakeClock
from support.pki import AT
from support.staples import WEEK, Desk, a_desk

GOOD = a_desk("good.test", serial=1)
BAD = a_desk("revoked.test", serial=2)
GONE = a_desk("missing.test", serial=3, must_staple=True)
OLD = a_desk("old.test", serial=4)
QUIET = a_desk("quiet.test", serial=5, responder_urls=())


class Answers:
    """Good, revoked, nothing, and one that ends within the hour."""

    async def response(self, subject: Subject, /) -> Response:
        if subject.serial == 3:
            raise Unavailable("connection refused", failure="connect", hint="start it")
        desk: Desk = {1: GOOD, 2: BAD, 4: OLD}[subject.serial]
        status: Any = {2: {"status": Revoked(AT)}}.get(subject.serial, {})
        window = timedelta(hours=1) if subject.serial == 4 else WEEK
        return desk.response(AT, window, **status)


def a_keeper() -> Keeper:
    """After its first round."""
    clock = FakeClock(AT)
    keeper = Keeper(
        [
            *(Kept.of(desk.subject) for desk in (GOOD, BAD, GONE, OLD)),
            Kept.of(QUIET.subject, name="<b>quiet</b>.test"),
        ],
        source=Answers(),
        store=MemoryStore(),
        clock=clock,
    )

    async def story() -> None:
        task = asyncio.create_task(keeper.run())
        await clock.settle(turns=300)
        keeper.stop()
        await task

    asyncio.run(story())
    return keeper


KEEPER = a_keeper()
LATER = AT + timedelta(hours=2)


def test_states_in_one_word() -> None:
    document = status_document(KEEPER, LATER)
    assert {row["name"]: row["state"] for row in document["certificates"]} == {
        "good.test": "good",
        "revoked.test": "revoked",
        "missing.test": "missing",
        "old.test": "expired",
        "<b>quiet</b>.test": "not-applicable",
    }
    assert json.loads(json.dumps(document)) == document


def test_a_row_says_what_is_held_and_what_failed() -> None:
    rows = {row["name"]: row for row in status_document(KEEPER, LATER)["certificates"]}
    staple = rows["good.test"]["staple"]
    assert staple["certificate_status"] == "good"
    assert staple["this_update"] == "2026-06-01T12:00:00Z"
    assert staple["next_update"] == "2026-06-08T12:00:00Z"
    assert staple["withdraw_at"] == "2026-06-08T11:59:00Z"
    assert staple["age_percent"] == 1.2
    assert staple["sent"]
    assert not rows["old.test"]["staple"]["sent"]
    assert rows["old.test"]["staple"]["seconds_left"] == 0
    assert rows["missing.test"]["last_failure"] == {
        "kind": "connect",
        "message": "connection refused",
        "hint": "start it",
    }
    assert rows["missing.test"]["must_staple"]


def test_k22_no_staple_never_reads_as_good() -> None:
    text = metrics_text(KEEPER, LATER)
    assert 'holdfast_certificates{state="good"} 1' in text
    assert 'holdfast_certificates{state="expired"} 1' in text
    assert 'holdfast_staple_good{name="good.test",serial="1"} 1' in text
    for name, serial in (("missing.test", 3), ("old.test", 4), ("revoked.test", 2)):
        assert f'holdfast_staple_good{{name="{name}",serial="{serial}"}} 0' in text
    assert 'holdfast_staple_seconds_left{name="missing.test",serial="3"} 0' in text
    assert 'holdfast_fetches_total{outcome="connect"} 1' in text
    assert "quiet" not in [line for line in text.splitlines() if "staple_good" in line]


def test_the_metrics_are_well_formed() -> None:
    """Each sample follows the HELP and TYPE of its name; a peer's parser reads them all."""
    from prometheus_client.parser import text_string_to_metric_families

    families = {family.name for family in text_string_to_metric_families(metrics_text(KEEPER, AT))}
    assert {"holdfast_certificates", "holdfast_fetches", "holdfast_bugs"} <= families


def test_the_page_escapes_and_needs_nothing_from_elsewhere() -> None:
    page = page_html(status_document(KEEPER, LATER))
    assert "<b>quiet" not in page
    assert "&lt;b&gt;quiet" in page
    assert "http://" not in page.replace("http-equiv", "")
    assert "color-scheme: light dark" in page
    assert 'class="expired"' in page


def test_paths() -> None:
    handler = KeeperPage(KEEPER, now=lambda: LATER)

    def asked(path: bytes, method: str = "GET") -> tuple[int, bytes]:
        reply = handler(Request(method, path, [], b"", "1.1", "peer"))
        return reply.status, reply.body

    assert asked(b"/")[0] == 200
    assert json.loads(asked(b"/status.json?x=1")[1])["schema"] == "holdfast.status/1"
    assert asked(b"/metrics")[1].startswith(b"# HELP")
    assert asked(b"/healthz") == (200, b"ok\n")
    assert asked(b"/other")[0] == 404
    assert asked(b"/", "POST")[0] == 405
