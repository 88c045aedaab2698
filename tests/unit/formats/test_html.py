"""The HTML file: what is in it, and that nobody's text becomes part of the page."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser

import pytest

from holdfast.formats.html import document
from support import reports
from support.reports import a_good, a_hostile, a_missing, a_revoked, an_expired, an_unreachable

TAGS = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "article", "footer"),
    *("h1", "h2", "h3", "p", "span", "b", "code", "pre", "ol", "li", "figure", "figcaption"),
    *("table", "thead", "tbody", "tr", "th", "td", "svg", "rect", "path", "circle"),
}
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "class", "id", "scope", "role"),
    *("aria-labelledby", "aria-label", "viewbox", "x", "y", "width", "height", "d", "cx", "cy"),
    "r",
}


class Page(HTMLParser):
    """What a browser would make of a page: elements, attributes, text."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.comments: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def foreign(source: str) -> set[str]:
    """Elements and attributes that are not ours, and attributes that could load or run."""
    page = Page(source)
    found = (set(page.tags) - TAGS) | ({name for name, _ in page.attributes} - ATTRIBUTES)
    return found | {f"comment {one}" for one in page.comments}


@pytest.mark.parametrize("make", reports.ALL, ids=lambda make: make.__name__)
def test_every_element_and_attribute_is_ours(make: object) -> None:
    assert callable(make)
    assert foreign(document([make()])) == set()


def test_a_hostile_server_is_shown_as_text_and_the_judge_would_see_it_otherwise() -> None:
    source = document([a_hostile(), a_good()])
    assert foreign(source) == set()
    assert "<script>alert(1)</script>" in Page(source).text
    assert "<img src=x onerror=alert(1)" in Page(source).text.replace("\\", "")  # RFC 4514 2.4
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", source)
    # the red twin: the same page as if nothing had been escaped
    assert "script" in foreign(unescape(source))


def test_the_file_holds_itself_together() -> None:
    """Nothing is loaded, and the policy allows its own style sheet alone."""
    source = document([a_revoked(), an_unreachable()])
    style = source.partition("<style>")[2].partition("</style>")[0]
    told = b64encode(sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{told}'" in source
    assert not re.search(r"<(?:link|script|img|iframe|object|form|a)\b", source)
    assert "url(" not in style
    assert "@import" not in style
    assert "@media print" in style


def test_what_a_person_looks_for_is_there() -> None:
    text = Page(document([an_expired()])).text
    for words in (
        "expired.example.com",
        "bad",
        "staple-expired",
        "ended 1 d 1 h ago",
        "refused by",
    ):
        assert words in text
    both = Page(document([a_good(), a_missing()]))
    assert "1 good, 1 warning" in both.text
    assert both.tags.count("article") == 2


def test_a_picture_is_in_words_too() -> None:
    page = Page(document([a_good()]))
    labels = [value for name, value in page.attributes if name == "aria-label"]
    assert labels == ["1 % of its time has passed, 3 d 23 h left"]
    assert page.text.count(labels[0]) >= 2  # below the picture, and in the sentence


def test_no_reports_are_a_page_too() -> None:
    assert foreign(document([])) == set()
