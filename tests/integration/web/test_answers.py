"""`holdfast web` on real servers: the answer as a page, as it grows, as JSON, and as a history."""

from __future__ import annotations

import json
import re
import socket
import threading
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from support.answers import an_answer
from support.check_world import CA, Web
from support.tls_world import NOW, Loop, a_proxy, a_site
from support.web_world import CASES, Page, Waiting, a_case, a_page

SAYS = {
    "good": ("Good.", "is right: its staple says good"),
    "expired": ("Bad.", "the staple has expired|the staple expired|ended"),
    "revoked": ("Bad.", "the certificate was revoked"),
    "missing": ("Works, with warnings.", "works, but no staple was sent"),
    "must-staple": ("Bad.", "is wrong: "),
}


class Sight(HTMLParser):
    """What a strict policy or a screen reader would stumble over."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.elsewhere: list[str] = []
        self.ids: list[str] = []
        self.unnamed: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if "style" in given or tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(tag)
        self.inline += [f"{tag} {name}" for name in given if name.startswith("on")]
        for name in ("src", "href", "action"):
            if re.match(r"[a-z]+:|//", given.get(name) or ""):
                self.elsewhere.append(f"{tag} {given[name]}")
        self.ids += [given["id"] or ""] if "id" in given else []
        if tag == "svg" and not given.get("aria-label"):
            self.unnamed.append(tag)


@pytest.mark.parametrize("case", CASES)
def test_the_verdict_comes_first_and_is_told_in_a_sentence(
    loop: Loop, roots: Path, web: Web, case: str
) -> None:
    with (
        a_page(loop, ca_file=roots, allow_private_targets=True) as page,
        a_case(case, loop, web) as stand,
    ):
        answer = page.checked(f"localhost:{stand.port}")
    word, sentence = SAYS[case]
    assert answer.status == 200
    told = " ".join(re.sub(r"<[^>]+>", "", answer.text.split('id="answer"')[1]).split())
    assert told.startswith(f"> {word} ")
    assert f" localhost:{stand.port} " in told[:80]
    assert re.search(sentence, told)
    sight = Sight(answer.text)
    assert (sight.inline, sight.elsewhere, sight.unnamed) == ([], [], [])
    assert len(sight.ids) == len(set(sight.ids))
    assert 'lang="en"' in answer.text


def test_every_answer_carries_the_policy(loop: Loop) -> None:
    with a_page(loop) as page:
        static = re.findall(r"/static/[\w.-]+", page.get("/").text)
        assert len(static) == 3
        for path in ("/", "/nowhere", "/r/AAAAAAAAAAAAAAAA", "/host?target=a.test", *static):
            headers = page.get(path).headers
            policy = headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; ")
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert page.get("/nowhere").status == 404
        wrong = page.ask("PUT", "/check")
        assert (wrong.status, wrong.headers["Allow"]) == (405, "POST")


def test_the_json_is_the_contract_and_the_link_opens_for_others(
    loop: Loop, roots: Path, web: Web
) -> None:
    with (
        a_page(loop, ca_file=roots, allow_private_targets=True) as page,
        a_case("good", loop, web) as stand,
    ):
        target = f"localhost:{stand.port}"
        direct = page.get(f"/api/check?target={target}")
        document = direct.json
        assert (direct.status, document["schema"]) == (200, "holdfast.check/1")
        assert (document["running"], document["cut"]) == (False, None)
        assert document["reports"][0]["target"] == target
        assert document["reports"][0]["staples"][0]["certificate_status"] == "good"
        again = page.get(f"/r/{document['id']}.json")
        assert again.json == document
        history = page.get(f"/host.json?target={target}").json
    assert history["schema"] == "holdfast.history/1"
    assert [check["id"] for check in history["checks"]] == [document["id"]]
    assert history["checks"][0]["staple_sha256"] == document["reports"][0]["staples"][0]["sha256"]


def test_what_is_no_target_is_told_beside_the_field(loop: Loop) -> None:
    with a_page(loop) as page:
        for wrong in ("", "http://exa mple", "gopher://x", "a" * 301, "x:99999"):
            reply = page.ask("POST", "/check", form={"target": wrong})
            assert reply.status == 400
            assert 'role="alert"' in reply.text
            assert 'aria-invalid="true"' in reply.text
        assert page.get("/api/check?target=gopher://x").json["error"]["hint"].startswith("one of")


def events(page: Page, path: str) -> Any:
    """(event, data) of a stream, as they come."""
    with socket.create_connection(("127.0.0.1", page.port), 20) as sock:
        sock.sendall(f"GET {path}/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        name = ""
        for line in sock.makefile("r", encoding="utf-8", newline="\n"):
            if line.startswith("event: "):
                name = line[7:].strip()
            elif line.startswith("data: "):
                yield name, json.loads(line[6:])


def test_the_answer_grows_while_a_responder_is_waited_for(loop: Loop, roots: Path) -> None:
    waiting = Waiting(loop)
    site = a_site(CA, responder_urls=[waiting.url + "/"])
    waiting.answer = an_answer(CA, site, at=NOW)
    staple = an_answer(CA, site, at=NOW)
    with (
        a_page(loop, ca_file=roots, allow_private_targets=True) as page,
        a_proxy(site, loop=loop, staple_for=lambda _leaf: staple) as stand,
    ):
        path = page.begin(f"localhost:{stand.port}")
        seen: list[str] = []
        html: dict[str, str] = {}
        for name, data in events(page, path):
            seen.append(name)
            if name == "end":
                break
            html[data["name"]] = data["html"]
            if html.get("staples") and "TLSv1.3" in html.get("handshakes", ""):
                if not seen.count("let"):
                    assert "Looking." in html["verdict"]
                    assert html["responders"] == ""
                    halfway = page.get(path)  # the same for who has no JavaScript
                    assert '<noscript><meta http-equiv="refresh"' in halfway.text
                    assert "TLSv1.3" in halfway.text
                    assert page.get(f"{path}.json").json["running"] is True
                    seen.append("let")
                waiting.let()
        assert seen[-1] == "end"
        assert "Looking." not in html["verdict"]
        assert re.search(r"Good\.|took \d+ ms to answer", html["verdict"])
        assert "says" in html["responders"]
        after = page.get(path).text
        assert "http-equiv" not in after
        assert [name for name, _ in events(page, path)][-1] == "end"  # who comes late gets it too
    waiting.close()


def test_what_a_server_says_is_text_and_nothing_else(loop: Loop) -> None:
    """A greeting that would be script in a page, and text that would turn around what follows."""
    greeting = "554 <script>alert(1)</script><img src=x onerror=alert(1)>\u202e\r\n"

    def greet(listening: socket.socket) -> None:
        for _ in range(2):
            connection, _ = listening.accept()
            with connection:
                connection.sendall(greeting.encode())
                connection.recv(100)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=greet, args=[listening], daemon=True).start()
        with a_page(loop, allow_private_targets=True) as page:
            answer = page.checked(f"smtp://127.0.0.1:{listening.getsockname()[1]}")
    assert "&lt;script&gt;alert(1)" in answer.text
    assert "<script>alert" not in answer.text
    assert "<img" not in answer.text
    assert "\u202e" not in answer.text
    assert Sight(answer.text).inline == []


def test_a_history_tells_renewals_and_outlives_a_restart(
    loop: Loop, roots: Path, web: Web, tmp_path: Path
) -> None:
    site = a_site(CA, responder_urls=[web.url + "/x"])
    staples = [an_answer(CA, site, at=NOW), an_answer(CA, site, at=NOW, hash_algorithm="sha256")]
    state = tmp_path / "state"
    with a_proxy(site, loop=loop, staple_for=lambda _leaf: staples[0]) as stand:
        target = f"localhost:{stand.port}"
        for _ in range(2):
            with a_page(loop, ca_file=roots, allow_private_targets=True, state=str(state)) as page:
                page.report(target)
                told = page.get(f"/host?target={target}")
            staples.reverse()
    assert told.text.count("/r/") == 2
    assert told.text.count("renewed") == 1
    assert "2 checks saw 2 different staples" in told.text
    assert (state / "web.sqlite").stat().st_mode & 0o077 == 0
