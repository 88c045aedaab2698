"""The keeper's inventory in Chromium, with a keeper and openssl's responder beside the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import keep_world
from support.browser import Blocking, Tab, World, expect
from support.keep_world import soon
from support.tls_world import Loop, a_loop
from support.web_world import Waiting, a_page

KEPT = """
[keeper]
state = "state"
[[certificate]]
name = "web"
chain = "web.pem"
[[certificate]]
name = "mail"
chain = "mail.pem"
responder_urls = ["http://127.0.0.1:9/"]
"""


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[World]:
    """One certificate with a staple; the other's responder cannot be reached."""
    kept = keep_world.a_world(tmp_path)
    with (
        kept.responder(),
        kept.keeper("-c", kept.settings(KEPT)),
        a_loop() as loop,
        a_page(loop, keeper=str(kept.state)) as page,
    ):
        soon(lambda: kept.status()["counts"]["good"] == 1)
        soon(lambda: any(row["failures"] for row in kept.status()["certificates"]))
        yield World(page, 0, _nobody(loop))


def _nobody(loop: Loop) -> Waiting:
    waiting = Waiting(loop)
    waiting.close()
    return waiting


def test_the_inventory_and_a_refresh_by_keyboard(browser: Blocking, kept: World) -> None:
    with Tab(browser, kept) as tab:
        tab.page.goto(f"{tab.url}/")
        tab.page.get_by_role("link", name="Keeper").click()
        rows = tab.page.locator("table.kept tbody tr")
        expect(rows).to_have_count(2)
        expect(rows.nth(0)).to_contain_text("mail must-staple")  # in trouble: first
        expect(rows.nth(0)).to_contain_text("missing")
        expect(rows.nth(1).get_by_role("img")).to_have_attribute(
            "aria-label", re.compile("^web: .* % of the window has passed")
        )
        expect(tab.page.get_by_role("region", name="Responders that fail")).to_contain_text(
            "http://127.0.0.1:9/: 1 certificate"
        )
        expect(tab.page).to_have_title(re.compile("^1 in trouble"))
        tab.shot("keeper")
        tab.page.get_by_role("button", name="Refresh web now").press("Enter")
        expect(tab.page.get_by_role("status")).to_have_text("The responder is being asked.")
        tab.page.get_by_role("link", name="1 good").click()
        expect(tab.page.locator("table.kept tbody tr")).to_have_count(1)
        tab.page.set_viewport_size({"width": 360, "height": 740})
        assert tab.page.evaluate("document.scrollingElement.scrollWidth") <= 360
        tab.shot("keeper-phone")
