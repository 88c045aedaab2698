"""What of the keeper's inventory a page shows: one state or all, a page of it, and its troubles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from holdfast.services.keeper_page import server_words
from holdfast.services.keeper_state import STATES
from holdfast.services.keeper_timeline import timeline
from holdfast.services.web.answer import tamed
from holdfast.services.web.pages import drawn

PER_PAGE = 100
MAX_FAILING = 20  # responders; the worst are told


class View:
    """`state` is empty for all; `page` counts from 1."""

    def __init__(self, *, state: str = "", page: int = 1) -> None:
        self.state, self.page = state, page

    @classmethod
    def of(cls, query: Mapping[str, str]) -> View:
        """From the query; what makes no sense is not there."""
        state, page = query.get("state", ""), query.get("page", "1")
        number = int(page) if page.isascii() and page.isdigit() and len(page) < 7 else 1
        return cls(state=state if state in STATES else "", page=max(number, 1))

    def link(self, **changes: object) -> str:
        values = {"state": self.state, "page": self.page, **changes}
        query = urlencode({k: v for k, v in values.items() if v and (k, v) != ("page", 1)})
        return f"/keeper?{query}" if query else "/keeper"


def shown(document: Mapping[str, Any], view: View, at: datetime) -> dict[str, Any]:
    """What the template asks for."""
    counts = document["counts"]
    chosen = [row for row in document["certificates"] if view.state in ("", row["state"])]
    chosen.sort(key=lambda row: (STATES.index(row["state"]), row["name"]))
    rows = chosen[(view.page - 1) * PER_PAGE : view.page * PER_PAGE]
    return {
        "document": {"at": document["at"], "next": tamed(document["next"])},
        "counts": [
            ("", sum(counts.values())),
            *((name, counts[name]) for name in STATES if counts[name]),
        ],
        "trouble": sum(counts[name] for name in ("missing", "expired", "revoked")),
        "failing": failing(document),
        "rows": [_row(row, at) for row in rows],
        "last": max(-(-len(chosen) // PER_PAGE), 1),
        "view": view,
        "at": at,
    }


def failing(document: Mapping[str, Any]) -> list[tuple[str, int, str]]:
    """(responder, how many certificates, the last message) of those that fail, most first."""
    counted: Counter[str] = Counter()
    said: dict[str, str] = {}
    for row in document["certificates"]:
        failure, urls = row["last_failure"], row["responder_urls"]
        if failure is not None and urls and row["failures"]:
            counted[urls[0]] += 1
            said[urls[0]] = failure["message"]
    return [
        (str(tamed(url)), count, str(tamed(said[url])))
        for url, count in counted.most_common(MAX_FAILING)
    ]


def _row(row: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    tame = tamed(row)
    assert isinstance(tame, dict)
    tame["picture"] = drawn(timeline(tame, at)) if tame["staple"] is not None else ""
    tame["alerts"] = [one for one in tame["alerts"] if one not in (tame["state"], "no-staple")]
    tame["servers"] = [{**server, "words": server_words(server)} for server in tame["servers"]]
    return tame
