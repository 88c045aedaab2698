"""The quick way through the responder says what the general one says, and what it keeps it forgets
in time (R21 to R25, R32)."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import Malformed
from holdfast.net.http_message import Reply, Request
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.http import decode_get_path
from holdfast.ocsp.response import SingleResponse
from holdfast.ocsp.statuses import GOOD, ResponseStatus
from holdfast.plan.answering import Answer, Held, Signed, refusal
from holdfast.services import responder_hot
from holdfast.services.responder import Responder
from holdfast.services.responder_hot import Due
from holdfast.services.responder_mounts import Mounts
from holdfast.services.responder_paths import MAX_CUTS, MAX_HEADS, PlainPaths, plain_request
from support.clock import START, FakeClock
from support.held import held_answer

NOW = int(START.timestamp())
ASKED = b"0\x03\x02\x01\x05"
LINE = b"GET /" + quote(b64encode(ASKED), safe="").encode()
SINGLES = (SingleResponse(CertID("sha1", b"", b"", 5), GOOD, START),)
LIVE = Answer(
    b"live", ResponseStatus.successful, START, START + timedelta(hours=5), singles=SINGLES
)


class Live:
    """Answers now."""

    def __init__(self, given: Answer | None = LIVE) -> None:
        self.given = given
        self.asked: list[bytes] = []

    def answer_now(self, data: bytes, /) -> Answer | None:
        self.asked.append(data)
        return self.given

    async def answer_bytes(self, data: bytes, /) -> Answer:
        assert self.given is not None
        return self.given


class InOctets(Live):
    """The same in octets, as far as there is one to a plain request."""

    def signed_now(self, several: Sequence[bytes], /) -> list[Signed | None]:
        given = self.given
        if given is None or given.this_update is None or given.next_update is None:
            return [None] * len(several)
        begins, ends = (int(time.timestamp()) for time in (given.this_update, given.next_update))
        digest = hashlib.sha256(given.der).hexdigest()
        return [(given.der, begins, ends, "good", given.nonced, digest)] * len(several)


class Shelf:
    """A `Shelved` whose answers are set by hand."""

    def __init__(self) -> None:
        self.generation = 1
        self.live = Live()
        self.held = {ASKED: held_answer(b"held", NOW - 60, NOW + 86400)}
        self.looked = 0

    def tick(self, at: int, /) -> None:
        self.at = at

    def held_together(self, several: Sequence[bytes | None], at: int, /) -> list[Held | None]:
        self.looked += len(several)
        found = [None if data is None else self.held.get(data) for data in several]
        return [
            None if one is None or at >= one.next_update else (*one[:3], "good", one.digest.hex())
            for one in found
        ]

    async def answer_bytes(self, data: bytes, /) -> Answer:
        return await self.live.answer_bytes(data)


def responder(answering: object, **how: object) -> Responder:
    made = Responder(answering, clock=FakeClock(), **how)  # type: ignore[arg-type]
    made.hot.tick(NOW)
    return made


def got(made: Responder, line: bytes, peer: str) -> bytes | None:
    return _paid(made, made.hot.get(line, peer))


def posted(made: Responder, line: bytes, body: bytes, peer: str) -> bytes | None:
    return _paid(made, made.hot.post(line, body, peer))


def _paid(made: Responder, found: bytes | Due | None) -> bytes | None:
    """What is due is asked at once."""
    return made.hot.answers([found])[0] if isinstance(found, tuple) else found


def as_reply(rest: bytes | None) -> tuple[dict[bytes, bytes], bytes]:
    assert rest is not None
    head, _, body = rest.partition(b"\r\n\r\n")
    pairs = (line.split(b": ", 1) for line in head.split(b"\r\n"))
    return {name.lower(): value for name, value in pairs}, body


def general(made: Responder, method: str, target: bytes, body: bytes = b"") -> Reply:
    return asyncio.run(made.handle(Request(method, target, [], body, "1.1", "::1")))


@pytest.mark.parametrize(
    "answering",
    [
        Shelf(),
        Live(),
        Live(LIVE._replace(nonced=True)),
        Live(refusal(ResponseStatus.tryLater, "busy")),
        Live(LIVE._replace(next_update=START + timedelta(seconds=90))),
        InOctets(),
        InOctets(LIVE._replace(nonced=True)),
        InOctets(refusal(ResponseStatus.tryLater, "busy")),
        InOctets(LIVE._replace(next_update=START + timedelta(seconds=90))),
    ],
)
def test_both_ways_say_the_same(answering: object) -> None:
    """R21, R22."""
    made = responder(answering)
    for quick, slow in (
        (got(made, LINE, "::1"), general(made, "GET", LINE[4:])),
        (posted(made, b"POST /", ASKED, "::1"), general(made, "POST", b"/", ASKED)),
    ):
        headers, body = as_reply(quick)
        length = headers.pop(b"content-length")
        assert body == slow.body
        assert length == str(len(body)).encode()
        assert headers == {name.lower(): value for name, value in slow.headers}
    assert sum(made.answered.values()) == 4
    assert made.tally.read()["live"] == (0 if isinstance(answering, Shelf) else 4)
    assert made.tally.read()["get"] == made.tally.read()["post"] == 2


def a_house() -> Responder:
    """A shelf, one that signs in octets and one that answers in general, each under its path."""
    shelf = Shelf()
    for number in range(4):
        text = b"held %d" % number
        shelf.held[b"0\x03\x02\x01%c" % number] = held_answer(text, NOW - number, NOW + 86400)
    return responder({"/shelf": shelf, "/octets": InOctets(), "/general": Live()})


_BODIES = st.integers(0, 8).map(lambda number: b"0\x03\x02\x01%c" % number)
_PATHS = st.sampled_from([b"/shelf", b"/octets", b"/general"])
_ASKED = st.tuples(_PATHS, _BODIES, st.sampled_from(["GET", "POST", "junk"]))


@given(st.lists(_ASKED, max_size=20))
def test_what_comes_together_is_answered_as_if_each_came_alone(
    several: list[tuple[bytes, bytes, str]],
) -> None:
    """In order, and counted alike, whatever is asked of whom beside it."""

    def asked(made: Responder, path: bytes, body: bytes, how: str) -> bytes | Due | None:
        if how == "POST":
            return made.hot.post(b"POST " + path, body, "::1")
        text = b"Mjunk" if how == "junk" else quote(b64encode(body), safe="").encode()
        return made.hot.get(b"GET " + path + b"/" + text, "::1")

    alone, together = a_house(), a_house()
    each = [_paid(alone, asked(alone, *one)) for one in several]
    found = [asked(together, *one) for one in several]
    due = [one for one in found if isinstance(one, tuple)]
    assert len(due) == len(found)  # nothing is kept yet
    assert together.hot.answers(due) == each
    assert together.tally.read() == alone.tally.read()


def test_a_kept_reply_costs_no_look_and_is_forgotten_at_a_commit() -> None:
    """R32: the very next request after a commit is answered by what was committed."""
    shelf = Shelf()
    made = responder(shelf)
    for _ in range(3):
        assert as_reply(got(made, LINE, "::1"))[1] == b"held"
        assert as_reply(posted(made, b"POST /", ASKED, "::1"))[1] == b"held"
    assert shelf.looked == 2  # once by each method
    shelf.held[ASKED] = held_answer(b"revoked now", NOW, NOW + 86400)
    shelf.generation += 1
    assert as_reply(got(made, LINE, "::1"))[1] == b"revoked now"
    assert as_reply(posted(made, b"POST /", ASKED, "::1"))[1] == b"revoked now"


def test_max_age_stays_true_to_the_second() -> None:
    """R21: a kept reply's max-age ends before nextUpdate, however old the reply is."""
    shelf = Shelf()
    made = responder(shelf, max_age=timedelta(seconds=100))
    shelf.held[ASKED] = held_answer(b"held", NOW - 60, NOW + 110)
    seen = []
    for at in range(NOW, NOW + 110):
        made.hot.tick(at)
        headers, _ = as_reply(got(made, LINE, "::1"))
        seen.append(int(headers[b"cache-control"].split(b"=")[1].split(b",")[0]))
    assert seen == [min(100, 109 - passed) for passed in range(110)]
    made.hot.tick(NOW + 110)
    assert as_reply(got(made, LINE, "::1"))[1] == b"live"  # it has ended


def test_what_is_live_is_never_kept() -> None:
    live = Live()
    octets = InOctets()
    assert got(responder(octets), LINE, "::1") is not None
    assert octets.asked == []  # it had no need of an `Answer`
    made = responder(live)
    for _ in range(3):
        got(made, LINE, "::1")
    assert live.asked == [ASKED] * 3


def test_who_has_to_wait_is_asked_the_general_way() -> None:
    made = responder(Live(None))
    assert got(made, LINE, "::1") is None
    assert posted(made, b"POST /", ASKED, "::1") is None
    assert not made.tally.read()


@pytest.mark.parametrize(
    "line",
    [
        b"GET /",
        b"GET //" + LINE[5:],
        LINE + b"?x=1",
        b"GET /metrics=",
        b"GET /MAMC@QU",
        b"GET /" + b64encode(ASKED + bytes(300)),
        b"GET /other/MAAA",
    ],
)
def test_unusual_paths_are_read_the_general_way(line: bytes) -> None:
    """R24, R25."""
    made = responder({"/ocsp": Shelf()}) if b"other" in line else responder(Shelf())
    assert got(made, line, "::1") is None


def test_each_prefix_has_its_own_answers_and_pages_stand_beside() -> None:
    """R15, R27: the longest prefix wins, and a kept reply is not another CA's."""
    root, one, inner = Shelf(), Shelf(), Shelf()
    for shelf, text in ((root, b"root"), (one, b"one"), (inner, b"inner")):
        shelf.held[ASKED] = held_answer(text, NOW, NOW + 86400)
    page = Reply(200, b"page")
    made = responder(
        {"": root, "/ca": one, "/ca/inner/": inner}, pages={"/MAMC/AQU": lambda _: page}
    )
    path = LINE[4:]
    for _ in range(2):
        for prefix, text in ((b"", b"root"), (b"/ca", b"one"), (b"/ca/inner", b"inner")):
            assert as_reply(got(made, b"GET " + prefix + path, ""))[1] == text
            assert general(made, "GET", prefix + path).body == text
            for end in (b"/",) if not prefix else (b"", b"/"):
                assert as_reply(posted(made, b"POST " + prefix + end, ASKED, ""))[1] == text
                assert general(made, "POST", prefix + end, ASKED).body == text
    one.held[ASKED] = held_answer(b"new", NOW, NOW + 86400)
    one.generation += 1  # of the second of three
    assert as_reply(got(made, b"GET /ca" + path, ""))[1] == b"new"
    assert got(made, b"GET /MAMC/AQU", "") is None
    assert general(made, "GET", b"/MAMC/AQU").body == b"page"
    assert general(made, "HEAD", b"/MAMC/AQU").body == b"page"
    assert general(made, "POST", b"/MAMC/AQU").status == 405
    with pytest.raises(ValueError, match="two of one prefix"):
        Mounts({"/a": root, "/a/": one})


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responder_hot, "KEPT_BYTES", 20_000)
    shelf = Shelf()
    made = responder(shelf)
    for number in range(500):
        body = b"%06d" % number
        shelf.held[body] = held_answer(bytes(500), NOW, NOW + 86400)
        made.hot.tick(NOW + number // 20)
        assert posted(made, b"POST /", body, "") is not None
        assert len(made.hot._kept) < 40
    assert min(made.hot._kept) == b"000400"  # begun anew each ten seconds: twenty a second


def test_what_is_asked_many_times_at_once_is_kept_and_counted_once() -> None:
    made = responder(Shelf())
    one = made.hot.get(LINE, "")
    assert isinstance(one, tuple)
    made.hot.answers([one])
    alone = made.hot._kept_bytes
    made.hot._forget()
    assert len(set(made.hot.answers([one] * 50))) == 1
    assert made.hot._kept_bytes == alone > 0


@pytest.mark.parametrize("shrinks", [False, True])
def test_what_is_full_sees_commits_and_keeps_what_is_true(
    monkeypatch: pytest.MonkeyPatch, shrinks: bool
) -> None:
    """R21, R32: the generation is asked for what is kept, the shelf itself for what is not."""
    monkeypatch.setattr(responder_hot, "KEPT_BYTES", 2_000)
    shelf = Shelf()
    made = responder(shelf)
    ends = NOW + (600 if shrinks else 86400)
    bodies = [b"%06d" % number for number in range(20)]
    for text in (b"old", b"new"):
        shelf.held = {body: held_answer(text, NOW, ends) for body in bodies}
        shelf.generation += 1
        for body in (*bodies, *reversed(bodies)):
            headers, found = as_reply(posted(made, b"POST /", body, ""))
            assert found == text
            assert headers[b"cache-control"].startswith(b"max-age=%d," % (599 if shrinks else 3600))
        looked = shelf.looked
        posted(made, b"POST /", bodies[0], "")
        assert shelf.looked == looked  # it was kept
        posted(made, b"POST /", bodies[-1], "")
        assert shelf.looked == looked + 1  # there was no room for it
    made.hot.tick(NOW + 1)
    headers, _ = as_reply(posted(made, b"POST /", bodies[0], ""))
    assert headers[b"cache-control"].startswith(b"max-age=%d," % (598 if shrinks else 3600))


def test_a_bug_is_internal_error_and_counted() -> None:
    class Broken(Live):
        def answer_now(self, data: bytes, /) -> Answer | None:
            raise RuntimeError("a bug")

    made = responder(Broken())
    reply = general(made, "POST", b"/", ASKED)
    assert reply.body == refusal(ResponseStatus.internalError, "").der
    assert made.tally.read()["bugs"] == 1


@given(
    data=st.binary(min_size=1, max_size=120), spelled=st.integers(0, 3), junk=st.binary(max_size=3)
)
def test_law_a_plain_path_is_what_the_general_reader_reads(
    data: bytes, spelled: int, junk: bytes
) -> None:
    """R24."""
    text = b64encode(data)
    path = (
        b"/"
        + [
            text,
            quote(text, safe="").encode(),
            text.replace(b"+", b"%2b").replace(b"=", b""),
            text[:-1] + junk,
        ][spelled]
    )
    found = plain_request(path)
    if found is None:
        return
    try:
        assert decode_get_path(path) == found
    except Malformed as error:
        raise AssertionError(path) from error
    if spelled < 2:
        assert found == data


@given(
    heads=st.lists(st.binary(min_size=40, max_size=80), min_size=1, max_size=12),
    ends=st.lists(st.binary(max_size=40), min_size=1, max_size=6),
    escaped=st.booleans(),
    junk=st.sampled_from([b"", b"=", b"==", b"%3D", b"A", b"%", b"%2", b"QUJD", b"/"]),
)
def test_law_a_path_whose_beginning_is_known_is_read_as_one_that_is_not(
    heads: list[bytes], ends: list[bytes], escaped: bool, junk: bytes
) -> None:
    """R24: whatever follows what was learned, and wherever it is cut."""
    paths = PlainPaths()
    for head in heads:
        for end in ends:
            text = b64encode(b"0" + head + end)
            path = b"/" + (quote(text, safe="").encode() if escaped else text)
            for one in (path, path + junk, path[:-1] + junk, path[: len(path) // 2] + junk):
                plain = plain_request(one)
                assert paths.read_all([one])[0] in (plain, None)
                if plain is not None:
                    paths.learn(one)
                    assert paths.read_all([one])[0] in (plain, None)
                if one is path:
                    known = len(b"0" + head + end) >= 66
                    assert paths.read_all([one]) == [plain if known else None]
    assert len(paths._heads) <= MAX_HEADS
    assert len(paths._cuts) <= MAX_CUTS


def test_only_what_was_answered_from_the_shelf_teaches_how_paths_begin() -> None:
    shelf = Shelf()
    made = responder(shelf)
    body = bytes(range(48, 148))
    line = b"GET /" + quote(b64encode(body), safe="").encode()
    assert as_reply(got(made, line, "::1"))[1] == b"live"
    assert not made.hot._paths._heads
    shelf.held[body] = held_answer(b"held", NOW, NOW + 86400)
    assert as_reply(got(made, line, "::1"))[1] == b"held"
    assert list(made.hot._paths._heads.values()) == [body[:66]]
