"""The inventory of a keeper that runs beside the page, and a refresh from there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.keep_world import World, a_world, soon
from support.tls_world import Loop
from support.web_world import a_page

TOKEN = "0123456789abcdef0123456789abcdef"
KEPT = """
[keeper]
state = "state"
[[certificate]]
name = "web"
chain = "web.pem"
servers = ["files"]
[[certificate]]
name = "mail"
chain = "mail.pem"
[[server]]
name = "files"
kind = "files"
file = "{name}.ocsp"
"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A keeper with two certificates, whose responder runs."""
    world = a_world(tmp_path_factory.mktemp("kept"))
    settings = world.settings(KEPT)
    with world.responder(), world.keeper("-c", settings):
        soon(lambda: world.status()["counts"]["good"] == 2)
        yield world


def test_every_certificate_with_its_time_and_what_comes_next(loop: Loop, kept: World) -> None:
    with a_page(loop, keeper=str(kept.state)) as page:
        told = page.get("/keeper").text
        document = page.get("/keeper.json").json
        assert 'href="/keeper"' in page.get("/").text
        good = page.get("/keeper?state=good").text
        missing = page.get("/keeper?state=missing&page=7").text
    assert document["schema"] == "holdfast.status/1"
    for name in ("web", "mail"):
        assert f'aria-label="Refresh {name} now"' in told
    assert told.count('<svg class="line"') == 2
    assert "must-staple" in told
    assert "<b>2</b> good" in told
    assert "files: has it" in told
    assert "refresh <time" in told
    assert good.count('<svg class="line"') == 2
    assert missing.count('<svg class="line"') == 0


def test_refresh_from_this_machine(loop: Loop, kept: World) -> None:
    def answered() -> str:
        rows = kept.status()["certificates"]
        return str(next(row["answered_at"] for row in rows if row["name"] == "web"))

    before = answered()
    soon(lambda: kept.status()["at"] > before)  # instants are told by the second
    with a_page(loop, keeper=str(kept.state)) as page:
        reply = page.ask("POST", "/keeper/refresh", form={"name": "web"})
        assert (reply.status, reply.headers["Location"]) == (303, "/keeper?said=refreshing")
        assert "The responder is being asked" in page.get(reply.headers["Location"]).text
        soon(lambda: answered() > before)
        unknown = page.ask("POST", "/keeper/refresh", form={"name": "nobody"})
        assert (unknown.status, "nobody" in unknown.text) == (503, True)


REFUSED = {
    "another site": {"Sec-Fetch-Site": "cross-site"},
    "a rebound name": {"Host": "evil.test"},
    "through a proxy": {"X-Forwarded-For": "192.0.2.7"},
}


@pytest.mark.parametrize("case", REFUSED)
def test_refresh_from_elsewhere_is_refused(loop: Loop, kept: World, case: str) -> None:
    with a_page(loop, keeper=str(kept.state)) as page:
        form = {"name": "web"}
        reply = page.ask("POST", "/keeper/refresh", form=form, headers=REFUSED[case])
        assert reply.status == 403
        assert "Not refreshed" in reply.text
        assert page.get("/keeper/refresh").status == 405  # a link or an image is no wish


def test_refresh_with_the_token(loop: Loop, kept: World) -> None:
    with a_page(loop, keeper=str(kept.state), token=TOKEN) as page:
        assert 'type="password"' in page.get("/keeper").text
        form = {"name": "web", "token": TOKEN}
        assert page.ask("POST", "/keeper/refresh", form=form).status == 303
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert page.ask("POST", "/keeper/refresh", form={}, headers=bearer).status == 303
        for wrong in ({"name": "web"}, {"name": "web", "token": TOKEN[:-1]}):
            assert page.ask("POST", "/keeper/refresh", form=wrong).status == 403
        assert TOKEN not in page.get("/keeper").text


def test_a_keeper_that_is_not_there_is_told(loop: Loop, tmp_path: Path) -> None:
    with a_page(loop, keeper=str(tmp_path)) as page:
        reply = page.get("/keeper")
        assert reply.status == 503
        assert "no keeper is running on the state folder" in reply.text
        assert "holdfast keep" in reply.text
        assert page.get("/keeper.json").json["error"]["message"].startswith("no keeper")
        refused = page.ask("POST", "/keeper/refresh", form={"name": "web"})
        assert refused.status == 503


def test_without_a_keeper_there_is_no_such_page(loop: Loop) -> None:
    with a_page(loop) as page:
        assert page.get("/keeper").status == 404
        assert "/keeper" not in page.get("/").text
