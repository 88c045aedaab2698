"""The status page: a timeline that needs no script, no inline style and no eyes (K22)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Awaitable
from datetime import datetime, timedelta
from html.parser import HTMLParser

import pytest

from holdfast.errors import Unavailable
from holdfast.net.http_message import Reply, Request
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.response import Response
from holdfast.services.inventory import Kept
from holdfast.services.keeper import Keeper
from holdfast.services.keeper_page import AT_ONCE, PER_PAGE, KeeperPage
from holdfast.services.keeper_timeline import WIDTH
from holdfast.stores.memory import MemoryStore
from support.clock import FakeClock
from support.pki import AT
from support.staples import WEEK, a_desk

GOOD = a_desk("good.test", serial=1)
GONE = a_desk("gone.test", serial=2, must_staple=True)
OLD = a_desk("old.test", serial=3)
EVIL = "<script>alert(1)</script>"


class Answers:
    async def response(self, subject: Subject, /) -> Response:
        match subject.serial:
            case 1:
                return GOOD.response(AT, WEEK)
            case 3:
                return OLD.response(AT, timedelta(hours=1))
            case _:
                raise Unavailable(f"no route {EVIL}", failure="connect", hint=EVIL)


def a_keeper(kept: list[Kept]) -> Keeper:
    """After its first round."""
    clock = FakeClock(AT)
    keeper = Keeper(kept, source=Answers(), store=MemoryStore(), clock=clock)

    async def story() -> None:
        task = asyncio.create_task(keeper.run())
        await clock.settle(turns=300)
        keeper.stop()
        await task

    asyncio.run(story())
    return keeper


KEEPER = a_keeper(
    [Kept.of(GOOD.subject), Kept.of(GONE.subject, name=f"{EVIL}.test"), Kept.of(OLD.subject)]
)


def asked(
    target: bytes = b"/", *, keeper: Keeper = KEEPER, at: datetime = AT + timedelta(days=1)
) -> Reply:
    handler = KeeperPage(keeper, now=lambda: at)
    reply = handler(Request("GET", target, [], b"", "1.1", "peer"))
    if isinstance(reply, Reply):
        return reply

    async def result() -> Reply:
        assert isinstance(reply, Awaitable)
        return await reply

    return asyncio.run(result())


class Elements(HTMLParser):
    """Every element with its attributes; fails on an end that has no beginning."""

    VOID = ("meta", "br")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.found if name == tag]


def test_the_policy_lets_in_the_pages_own_style_and_nothing_else() -> None:
    reply = asked()
    page = reply.body.decode()
    policy = dict(reply.headers)[b"Content-Security-Policy"].decode()
    (style,) = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    elements = Elements(page)
    assert [attrs for _, attrs in elements.found if "style" in attrs] == []
    assert [a for _, attrs in elements.found for a in attrs if a.startswith("on")] == []
    assert {tag for tag, _ in elements.found} & {"script", "img", "link", "iframe"} == set()


def test_what_others_say_is_escaped() -> None:
    page = asked().body.decode()
    assert EVIL not in page
    assert page.count("&lt;script&gt;") >= 3


def test_it_can_be_read_without_seeing_it() -> None:
    elements = Elements(asked().body.decode())
    assert elements.all("html") == [{"lang": "en"}]
    assert [head["scope"] for head in elements.all("th")] == ["col"] * 4 + ["row"] * 3
    labels = [picture["aria-label"] for picture in elements.all("svg")]
    assert all(picture["role"] == "img" for picture in elements.all("svg"))
    assert "old.test: the staple ended 23 h ago" in labels
    good = next(label for label in labels if label and label.startswith("good.test"))
    said = r"good.test: 14 % of the window has passed, 6 d left, asked again in \d d"
    assert re.match(said, good)
    assert len(elements.all("caption")) == len(elements.all("main")) == 1
    assert {nav["aria-label"] for nav in elements.all("nav")} == {"certificates by state"}


def pictures(at: datetime) -> list[str]:
    return re.findall(r"<svg.*?</svg>", asked(at=at).body.decode())


@pytest.mark.parametrize("days", [0, 1, 3.5, 6.9])
def test_the_mark_of_now_is_where_it_should_be(days: float) -> None:
    good = pictures(AT + timedelta(days=days))[-1]
    now = float(re.search(r'<circle class="now" cx="([\d.]+)"', good)[1])  # type: ignore[index]
    assert now == pytest.approx(8 + (WIDTH - 16) * days / 7, abs=0.2)


def test_nothing_is_drawn_outside() -> None:
    for hours in (-30, -1, 0, 1, 24, 24 * 7, 24 * 400):
        for picture in pictures(AT + timedelta(hours=hours)):
            xs = [float(x) for x in re.findall(r'(?:M|cx="|\bx=")(-?[\d.]+)', picture)]
            assert all(0 <= x <= WIDTH for x in xs), picture


def test_trouble_comes_first_and_can_be_asked_for_alone() -> None:
    everything = asked().body.decode()
    order = re.findall(r'<tr class="([a-z-]+)">', everything)
    assert order == ["missing", "expired", "good"]
    assert "<title>2 in trouble - holdfast</title>" in everything
    missing = asked(b"/?state=missing").body.decode()
    assert re.findall(r'<tr class="([a-z-]+)">', missing) == ["missing"]
    assert 'aria-current="page"' in missing
    for nonsense in (b"/?state=%3Cb%3E", b"/?page=-1", b"/?page=x&every=99999999", b"/?\xff"):
        assert asked(nonsense).status == 200
    assert b"http-equiv" not in asked().body
    assert b'http-equiv="refresh" content="30"' in asked(b"/?every=30").body


def test_many_are_told_of_in_pages_and_off_the_loop() -> None:
    """K26: the handler gives an awaitable, so that nothing waits for the page."""
    kept = [
        Kept.of(Subject(serial=n, issuer=GOOD.subject.issuer), name=f"n{n:04}.test")
        for n in range(10, 10 + AT_ONCE + 1)
    ]
    keeper = a_keeper(kept)
    handler = KeeperPage(keeper, now=lambda: AT)
    for path in (b"/", b"/metrics", b"/status.json"):
        awaited = handler(Request("GET", path, [], b"", "1.1", "peer"))
        assert isinstance(awaited, Awaitable)
        awaited.close()  # type: ignore[attr-defined]
    first = asked(keeper=keeper).body.decode()
    assert first.count("<tr class=") == PER_PAGE
    assert "page 1 of 3" in first
    last = asked(b"/?page=3", keeper=keeper).body.decode()
    assert last.count("<tr class=") == AT_ONCE + 1 - 2 * PER_PAGE
    assert "n0510.test" in last
    assert len(json.loads(asked(b"/status.json", keeper=keeper).body)["certificates"]) == 501
    assert b'state="not-applicable"} 501' in asked(b"/metrics", keeper=keeper).body


def test_ready_is_its_own_question() -> None:
    handler = KeeperPage(KEEPER, now=lambda: AT, ready=lambda: False)
    reply = handler(Request("GET", b"/readyz", [], b"", "1.1", "peer"))
    assert isinstance(reply, Reply)
    assert (reply.status, reply.body) == (503, b"not ready\n")
    assert asked(b"/readyz").status == 200
