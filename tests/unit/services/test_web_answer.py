"""Answers and pictures: what a report may bring is shown, whatever it is, and bounded."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest

from holdfast.plan.target import Target
from holdfast.services.web.answer import MAX_ITEMS, MAX_TEXT, Answer, tamed
from holdfast.services.web.checks import host_of, unfinished
from holdfast.services.web.history import Checked, Point
from holdfast.services.web.pages import Pages
from holdfast.services.web.pictures import (
    MAX_BARS,
    chain_picture,
    common_name,
    history_picture,
    responder_picture,
    staple_picture,
    staple_words,
)

AT = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


def instant(hours: float) -> str:
    return f"{AT + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"


def staple(begin: float = -24, end: float | None = 72, **more: Any) -> dict[str, Any]:
    return {
        "leaf_sha256": "aa",
        "position": 0,
        "certificate_status": "good",
        "valid": True,
        "this_update": instant(begin),
        "next_update": None if end is None else instant(end),
        "produced_at": instant(begin),
        **more,
    }


def answer(running: bool = False, cut: str = "", **report: Any) -> Answer:
    document = {**unfinished(Target.parse("a.test")), **report}
    one = Checked(id="A" * 16, host="a.test:443", at=AT, document=document, cut=cut)
    return Answer.of(one, running=running)


WORDS = [
    (staple(), "1 d old, 25 % of its time has passed, 3 d left"),
    (staple(end=-1), "it ended 1 h ago"),
    (staple(begin=2), "it begins to hold in 2 h"),
    (staple(end=None), "1 d old, and it does not say when it ends"),
    ({"this_update": None}, "it carries no times that can be read"),
    ({}, "it carries no times that can be read"),
]


@pytest.mark.parametrize(("one", "words"), WORDS)
def test_a_staples_time_in_words_and_as_a_picture(one: dict[str, Any], words: str) -> None:
    assert staple_words(one, AT) == words
    drawn = staple_picture(one, AT)
    if one.get("this_update"):
        assert ElementTree.fromstring(drawn).get("aria-label") == words
    else:
        assert drawn == ""


def places(svg: str, kind: str) -> list[float]:
    """Where the parts of that class stand, from left to right."""
    tree = ElementTree.fromstring(svg)
    found = [e for e in tree.iter() if kind in (e.get("class") or "").split()]
    xs = [e.get("x") or e.get("cx") or re.match(r"M([\d.]+)", e.get("d") or "")[1] for e in found]  # type: ignore[index]
    return sorted(float(x) for x in xs)


def test_now_stands_where_it_is_in_the_window() -> None:
    def part(hours: float) -> float:
        begin, end = places(svg := staple_picture(staple(-hours, 100 - hours), AT), "end")
        return (places(svg, "now")[0] - begin) / (end - begin)

    for hours in (0, 25, 50, 99):
        assert part(hours) == pytest.approx(hours / 100, abs=0.01)
    assert part(150) > 1
    assert part(-20) < 0
    assert "bad" in staple_picture(staple(end=-1), AT)
    assert "bad" in staple_picture(staple(certificate_status="revoked"), AT)
    assert "bad" not in staple_picture(staple(), AT)


def certificate(subject: str, issuer: str) -> dict[str, Any]:
    return {"subject": f"CN={subject}", "issuer": f"CN={issuer}", "key_type": "RSA 2048"}


def test_a_chain_shows_staples_gaps_and_where_trust_begins() -> None:
    sent = [certificate("a.test", "Inter"), certificate("Inter", "Root")]
    leaf = {"sha256": "aa", "chain": {"trusted": True, "certificates": sent}}
    svg = chain_picture(leaf, [staple()])
    label = ElementTree.fromstring(svg).get("aria-label")
    assert label == "Chain: a.test (staple: good), issued by Inter, issued by Root, trusted here"
    assert "broken" not in svg
    lost = chain_picture({**leaf, "chain": {"trusted": False, "certificates": sent[:1]}}, [])
    assert "leads to no root that is trusted here" in lost
    assert "broken" in lost
    gap = {"trusted": True, "certificates": [certificate("a.test", "Other"), sent[1]]}
    assert "broken" in chain_picture({**leaf, "chain": gap}, [])
    assert chain_picture({"chain": {"certificates": []}}, []) == ""
    assert common_name("O=X, CN=y") == "y"
    assert common_name("O=only") == "O=only"


def test_text_from_elsewhere_is_escaped_in_pictures() -> None:
    evil = '"><script>x</script>'
    leaf = {"sha256": "aa", "chain": {"certificates": [certificate(evil, evil)]}}
    for svg in (chain_picture(leaf, [staple(certificate_status=evil)]),):
        assert "<script" not in svg
        ElementTree.fromstring(svg)


def test_a_responders_stages_are_drawn_whatever_is_told_of_them() -> None:
    assert responder_picture({"milliseconds": None}) == ""
    whole = responder_picture({"milliseconds": 12.0})
    assert 'aria-label="answer after 12 ms"' in whole
    told = {"timeline": {"connect": 3, "dns": 1, "done": 1500.5}, "milliseconds": 1500.5}
    staged = responder_picture(told)
    label = ElementTree.fromstring(staged).get("aria-label")
    assert label == "dns after 1 ms, connect after 3 ms, done after 1500 ms"
    assert len(places(staged, "stage")) == 3
    assert places(staged, "slow") != []
    assert places(whole, "slow") == []


def point(number: int, **more: Any) -> Point:
    given: dict[str, Any] = {
        "id": f"{number}",
        "at": AT - timedelta(hours=number),
        "verdict": "good",
        "staple": f"{number}",
        "certificate_status": "good",
        "this_update": AT - timedelta(hours=number + 1),
        "next_update": AT + timedelta(hours=24 - number),
        "valid": True,
        "leaf": "aa",
    }
    return Point(**{**given, **more})


def test_a_history_is_a_bar_for_each_staple_and_a_dot_for_each_check() -> None:
    svg = history_picture(
        [point(0), point(1, staple="0"), point(2, verdict="bad", valid=False)], AT
    )
    assert len(places(svg, "check")) == 3
    assert len(places(svg, "left")) == 1
    assert len(places(svg, "bad")) == 2  # a bar, and the dot
    assert "3 checks saw 2 different staples" in svg
    many = history_picture([point(number) for number in range(100)], AT)
    assert len(places(many, "left")) == MAX_BARS
    assert history_picture([], AT) == ""
    bare = history_picture([point(0, staple=None, this_update=None, next_update=None)], AT)
    assert len(places(bare, "check")) == 1


def test_what_no_template_knows_is_shown_all_the_same() -> None:
    finding = {
        "severity": "fault",
        "code": "new-code",
        "message": "it is so",
        "hint": "run `do this`",
        "patch": "line 1\nline 2",
        "facts": {},
    }
    report = {
        "verdict": "bad",
        "server": {"software": "nginx/1.22", "guessed_by": ["header", "behaviour"], "sure": True},
        "findings": [finding],
        "clients": [{"client": "java", "accepts": None, "source": "JDK 21"}],
        "responders": [
            {
                "url": "http://r.test/",
                "reachable": True,
                "software": "a responder",
                "milliseconds": 5,
                "asked": [
                    {"method": "GET", "timeline": {"dns": 1.0, "done": 5.0}},
                    {"method": "POST", "timeline": {"dns": 1.0, "done": 500.0}},
                ],
            }
        ],
    }
    parts = {part.name: str(part.html) for part in Pages(keeper=False).parts(answer(**report))}
    assert "<dd>nginx/1.22</dd>" in parts["more"]
    assert "<li>behaviour</li>" in parts["more"]
    assert "guessed by" in parts["more"]
    assert "<code>do this</code>" in parts["findings"]
    assert "line 1\nline 2</code></pre><button" in parts["findings"]
    assert "JDK 21" in parts["clients"]
    assert "not known" in parts["clients"]
    assert "a responder" in parts["responders"]
    assert parts["responders"].count("<svg") == 2
    assert parts["responders"].count("</span>dns 1 ms") == 2
    assert parts["crl"] == parts["staples"] == ""


def test_a_report_of_older_or_newer_shape_makes_a_page() -> None:
    pages = Pages(keeper=False)
    short = Checked(id="A" * 16, host="a.test:443", at=AT, document={"target": "a.test"})
    assert "a.test" in pages.check(Answer.of(short))
    assert (
        pages.host("a.test:443", [point(0), point(1, leaf="bb")], AT).count("new certificate") == 1
    )


SENTENCES = [
    ({"running": True}, "Looking", "is under way."),
    ({"cut": "the log says why"}, "Not known", "could not be judged: the log says why."),
    (
        {"verdict": "unreachable", "findings": [{"message": "x: no."}]},
        "Not reached",
        "reached: x: no.",
    ),
    ({"verdict": "not-applicable"}, "Does not apply", "names no OCSP responder"),
    ({"verdict": "warning", "findings": [{"message": "m."}]}, "Works, with", "works, but m."),
    ({"verdict": "good", "staples": [staple()]}, "Good", "says good, 1 d old, 25 %"),
    ({"verdict": "of-tomorrow"}, "of-tomorrow", "not reached"),
]


@pytest.mark.parametrize(("given", "word", "sentence"), SENTENCES)
def test_the_verdict_in_one_sentence(given: dict[str, Any], word: str, sentence: str) -> None:
    one = answer(**given)
    assert one.word.startswith(word)
    assert sentence in one.sentence
    assert "a.test" in one.sentence


def test_what_comes_from_elsewhere_is_bounded_and_has_no_controls() -> None:
    assert tamed("a\x00b\x1b[31mc\u202ed\te") == "a\ufffdb\ufffd[31mc\ufffdd\ufffde"
    assert tamed("line\nline") == "line\nline"
    assert len(str(tamed("x" * 10_000))) == MAX_TEXT + 1
    assert len(tamed(["x"] * 1000)) == MAX_ITEMS + 1  # type: ignore[arg-type]
    assert len(tamed([{}] * 1000)) == MAX_ITEMS  # type: ignore[arg-type]
    assert len(tamed({str(n): n for n in range(1000)})) == MAX_ITEMS  # type: ignore[arg-type]
    deep: Any = "end"
    for _ in range(100):
        deep = [deep]
    assert "…" in repr(tamed(deep))
    assert "end" not in repr(tamed(deep))


def test_one_server_however_it_is_written() -> None:
    ways = ("A.test", "a.test:443", "https://a.test/x", "a.test")
    assert {host_of(Target.parse(text)) for text in ways} == {"a.test:443"}
    assert host_of(Target.parse("smtp://a.test")) == "smtp://a.test:25"
    assert host_of(Target.parse("[2001:db8::1]:8443")) == "[2001:db8::1]:8443"
