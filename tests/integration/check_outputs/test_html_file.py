"""The HTML report in Debian's Chromium: opened from a file, on a phone, in the dark, printed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.formats.html import document
from support import reports
from support.browser import Blocking, a_browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Blocking]:
    with a_browser() as browser:
        yield browser


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_text(document([make() for make in reports.ALL]), encoding="utf-8")
    return path


def opened(browser: Blocking, path: Path, **how: Any) -> tuple[Any, list[str]]:
    """The page, and everything that a browser has to complain of or is made to do."""
    page = browser.new_page(**how)
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: trouble.append(f"error: {error}"))

    async def dismissed(dialog: Any) -> None:
        trouble.append("dialog")
        await dialog.dismiss()

    page.on("dialog", dismissed)
    page.on(
        "request",
        lambda asked: None if asked.url == path.as_uri() else trouble.append(f"asked: {asked.url}"),
    )
    page.goto(path.as_uri())
    return page, trouble


def test_it_opens_without_a_word_and_its_style_is_allowed(browser: Blocking, written: Path) -> None:
    page, trouble = opened(browser, written)
    assert trouble == []
    assert page.locator("article").count() == len(reports.ALL)
    assert page.locator("script, img, iframe, link").count() == 0
    # the policy's hash is that of the style: without it the body would have no such width
    assert page.evaluate("getComputedStyle(document.body).maxWidth") == "992px"
    assert page.get_by_text("<script>alert(1)</script>").count() > 0
    page.close()


def test_a_page_that_escapes_nothing_would_be_caught(browser: Blocking, written: Path) -> None:
    """The red twin: the same attack as part of the page, without the policy, runs."""
    attack = written.with_name("attack.html")
    attack.write_text(f"<!DOCTYPE html><title>x</title><p>{reports.a_hostile().target}", "utf-8")
    page, trouble = opened(browser, attack)
    assert "dialog" in trouble
    page.close()


def test_the_policy_holds_even_where_escaping_would_fail(browser: Blocking, written: Path) -> None:
    evil = "<main><script>alert(1)</script><img src=x onerror=alert(2)>"
    written.write_text(written.read_text("utf-8").replace("<main>", evil), "utf-8")
    page, trouble = opened(browser, written)
    assert "dialog" not in trouble
    assert any("Content Security Policy" in one for one in trouble)
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(
    browser: Blocking, written: Path, scheme: str
) -> None:
    size: Any = {"width": 390, "height": 844}
    page, trouble = opened(browser, written, viewport=size, color_scheme=scheme)
    assert trouble == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


def test_it_prints_each_server_on_a_page_of_its_own(browser: Blocking, written: Path) -> None:
    page, _ = opened(browser, written, color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    paper = page.pdf(format="A4", prefer_css_page_size=False)
    pages = len(re.findall(rb"/Type\s*/Page\b", paper))
    assert len(reports.ALL) + 1 <= pages <= 3 * len(reports.ALL)
    page.close()
