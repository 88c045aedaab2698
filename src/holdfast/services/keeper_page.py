"""The keeper over HTTP: a page for people, `/status.json`, `/metrics`, `/healthz`, `/readyz`.

Laws: reading only; the page needs nothing from elsewhere, no script, and only the styles whose
hash its policy names; whatever a certificate or a responder says is escaped; what is asked about
many certificates is worked out in a thread, so that nobody's staple waits for it.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from hashlib import sha256
from html import escape
from typing import Any
from urllib.parse import parse_qs, urlencode

from holdfast.net.http_message import Reply, Request, plain
from holdfast.ocsp.window import duration_text
from holdfast.services.keeper import Keeper
from holdfast.services.keeper_metrics import inventory_samples, tally_samples, text_of
from holdfast.services.keeper_state import STATES, state, status_document
from holdfast.services.keeper_style import STYLE
from holdfast.services.keeper_timeline import timeline

PER_PAGE = 200
AT_ONCE = 500  # certificates that are told of without a thread

_STYLE_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = (
    (b"Cache-Control", b"no-store"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Content-Security-Policy", POLICY.encode()),
)
_DOING = {
    "fetch": "first fetch",
    "refresh": "refresh",
    "retry": "next try",
    "ask-again": "asked again",
    "deliver": "next delivery",
    "withdraw": "withdrawn",
    "alarm": "alarm",
}


class KeeperPage:
    """An HTTP handler over a keeper. `ready` says whether it may be relied upon (K1)."""

    def __init__(
        self,
        keeper: Keeper,
        *,
        now: Callable[[], datetime],
        ready: Callable[[], bool] | None = None,
    ) -> None:
        self._keeper = keeper
        self._now = now
        self._ready = ready or (lambda: keeper.started_at is not None)

    def __call__(self, request: Request) -> Reply | Awaitable[Reply]:
        if request.method not in ("GET", "HEAD"):
            return plain(405, "this page can only be read", headers=((b"Allow", b"GET, HEAD"),))
        match request.path:
            case b"/":
                return self._worked_out(lambda: self._page(request.query))
            case b"/status.json":
                return self._worked_out(self._document)
            case b"/metrics":
                return self._metrics()
            case b"/healthz":
                return plain(200, "ok") if self._keeper.started_at else plain(503, "starting")
            case b"/readyz":
                return plain(200, "ready") if self._ready() else plain(503, "not ready")
            case _:
                return plain(404, "there are /, /status.json, /metrics, /healthz and /readyz")

    def _worked_out(self, make: Callable[[], Reply]) -> Reply | Awaitable[Reply]:
        return make() if len(self._keeper.entries) <= AT_ONCE else asyncio.to_thread(make)

    def _document(self) -> Reply:
        document = status_document(self._keeper, self._now())
        return _reply(json.dumps(document, indent=2) + "\n", b"application/json")

    def _page(self, query: bytes) -> Reply:
        at, rules = self._now(), self._keeper.rules
        view = _View.of(query)
        states = [(STATES.index(state(e, at, rules)), e.name, e) for e in self._keeper.entries]
        chosen = [
            entry
            for rank, _, entry in sorted(states, key=lambda one: one[:2])
            if view.state in ("", STATES[rank])
        ]
        shown = chosen[(view.page - 1) * PER_PAGE : view.page * PER_PAGE]
        document = status_document(self._keeper, at, entries=shown)
        document["certificates"].sort(key=_rank)
        html = page_html(document, view=view, chosen=len(chosen))
        return _reply(html, b"text/html; charset=utf-8")

    def _metrics(self) -> Reply | Awaitable[Reply]:
        keeper, at = self._keeper, self._now()
        counted, entries = tally_samples(keeper), keeper.entries

        def make() -> Reply:
            text = text_of(inventory_samples(entries, at, keeper.rules) | counted)
            return _reply(text, b"text/plain; version=0.0.4; charset=utf-8")

        return self._worked_out(make)


class _View:
    """What of the inventory a page shows: one state or all, a page of it, renewed or not."""

    def __init__(self, *, state: str = "", page: int = 1, every: int = 0) -> None:
        self.state, self.page, self.every = state, page, every

    @classmethod
    def of(cls, query: bytes) -> _View:
        """From `state=missing&page=2&every=30`; what makes no sense is not there."""
        given = parse_qs(query.decode("ascii", "replace")[:200])

        def number(name: str, most: int) -> int:
            text = given.get(name, ["0"])[0]
            return min(int(text), most) if text.isascii() and text.isdigit() else 0

        wish = given.get("state", [""])[0]
        return cls(
            state=wish if wish in STATES else "",
            page=max(number("page", 10**6), 1),
            every=number("every", 3600),
        )

    def link(self, **changes: object) -> str:
        """The address of another view."""
        values = {"state": self.state, "page": self.page, "every": self.every, **changes}
        query = urlencode({k: v for k, v in values.items() if v and (k, v) != ("page", 1)})
        return escape(f"/?{query}" if query else "/")


def page_html(document: dict[str, Any], *, view: _View | None = None, chosen: int = 0) -> str:
    """The status document as a page."""
    view = view or _View()
    at = datetime.fromisoformat(document["at"])
    rows = "\n".join(_row(row, at) for row in document["certificates"])
    if not rows:
        rows = '<tr><td colspan="4" class="dim">none</td></tr>'
    following = document["next"]
    due = ""
    if following is not None:
        due = f" Next: {escape(following['name'])}, {_when(following['at'], at)}."
    renew = f'<meta http-equiv="refresh" content="{view.every}">' if view.every else ""
    toggle = (
        f'<a href="{view.link(every=0)}">stop updating</a>'
        if view.every
        else f'<a href="{view.link(every=30)}">update every 30 s</a>'
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{_title(document)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">{renew}
<style>{STYLE}</style></head><body>
<header><h1>holdfast keeper</h1>
<p class="dim">{_time(document["at"])}.{due} {toggle}</p></header>
<nav aria-label="certificates by state"><ul>{_counts(document, view)}</ul></nav>
<main><table><caption class="dim">Certificates, those in trouble first</caption>
<thead><tr><th scope="col">certificate</th><th scope="col">staple</th>
<th scope="col">what happens next</th><th scope="col">servers</th></tr></thead><tbody>
{rows}
</tbody></table>
{_pages(view, chosen)}</main>
<footer class="dim"><p>{_LEGEND}</p>
<p>All times are UTC. The same as data: <a href="/status.json">status.json</a>,
<a href="/metrics">metrics</a>.</p></footer>
</body></html>
"""


_LEGEND = (
    '<span class="key past"></span> passed '
    '<span class="key left"></span> left '
    '<span class="key after"></span> no longer sent '
    '<span class="key ask"></span> the responder is asked '
    '<span class="key rung"></span> 66, 80, 90 %: alarms, if it did not answer '
    '<span class="key now"></span> now'
)


def _title(document: dict[str, Any]) -> str:
    counts = document["counts"]
    bad = sum(counts[name] for name in ("missing", "expired", "revoked"))
    return f"{bad} in trouble - holdfast" if bad else "holdfast keeper"


def _counts(document: dict[str, Any], view: _View) -> str:
    counts = document["counts"]
    found = [("", "all", sum(counts.values()))]
    found += [(name, name, counts[name]) for name in STATES if counts[name]]
    items = []
    for name, text, count in found:
        current = ' aria-current="page"' if name == view.state else ""
        link = view.link(state=name, page=1)
        items.append(
            f'<li><a class="{name or "all"}" href="{link}"{current}><b>{count}</b> {text}</a></li>'
        )
    return "".join(items)


def _pages(view: _View, chosen: int) -> str:
    last = max(-(-chosen // PER_PAGE), 1)
    if last == 1:
        return ""
    links = [f"page {view.page} of {last}"]
    if view.page > 1:
        links.insert(0, f'<a rel="prev" href="{view.link(page=view.page - 1)}">before</a>')
    if view.page < last:
        links.append(f'<a rel="next" href="{view.link(page=view.page + 1)}">after</a>')
    return f'<nav class="pages" aria-label="pages">{" ".join(links)}</nav>'


def _rank(row: dict[str, Any]) -> tuple[int, str]:
    return STATES.index(row["state"]), row["name"]


def _row(row: dict[str, Any], at: datetime) -> str:
    must = ' <span class="tag">must-staple</span>' if row["must_staple"] else ""
    return (
        f'<tr class="{escape(row["state"])}"><th scope="row">{escape(row["name"])}{must}'
        f'<small class="dim">serial {escape(row["serial"])}</small></th>'
        f"<td>{_staple(row, at)}{_trouble(row['last_failure'])}</td>"
        f"<td>{_upcoming(row, at)}</td><td>{_servers(row)}</td></tr>"
    )


def _staple(row: dict[str, Any], at: datetime) -> str:
    staple = row["staple"]
    told = [code for code in row["alerts"] if code not in (row["state"], "no-staple")]
    alarms = "".join(f' <span class="alarm">{escape(code)}</span>' for code in told)
    named = f'<span class="state">{escape(row["state"])}</span>{alarms}'
    if staple is None:
        why = {"not-applicable": "names no OCSP responder", "missing": "no staple"}
        return f'{named} <span class="dim">{why.get(row["state"], "")}</span>'
    ended = at - datetime.fromisoformat(staple["ends_at"])
    ago = f", {duration_text(ended)} ago" if ended >= timedelta(0) else ""
    return (
        f"{named}{timeline(row, at)}"
        f'<div class="ends dim"><span>{_time(staple["this_update"])}</span>'
        f"<span>{_time(staple['ends_at'])}{ago}</span></div>"
    )


def _upcoming(row: dict[str, Any], at: datetime) -> str:
    items = ""
    for one in row["upcoming"]:
        about = f" <small>({escape(one['about'])})</small>" if one["about"] else ""
        items += f"<li>{_DOING[one['do']]} {_when(one['at'], at)}{about}</li>"
    if row["fetching"]:
        items = f"<li>asking the responder</li>{items}"
    return f"<ul>{items}</ul>" if items else '<span class="dim">nothing</span>'


def _servers(row: dict[str, Any]) -> str:
    items = "".join(
        f'<li class="{"has" if server["delivered"] else "lacks"}">{escape(server["name"])}: '
        f"{server_words(server)}{_trouble(server['last_failure'])}</li>"
        for server in row["servers"]
    )
    if items:
        return f"<ul>{items}</ul>"
    return '<span class="dim">the store only</span>' if row["stored"] else ""


def server_words(server: dict[str, Any]) -> str:
    """What is known of one server's staple."""
    if not server["delivered"]:
        return "has it not"
    return "has it, shown by a handshake" if server["proved"] else "has it"


def _trouble(failure: dict[str, str] | None) -> str:
    if failure is None:
        return ""
    hint = f"<small>{escape(failure['hint'])}</small>" if failure["hint"] else ""
    return (
        f'<div class="trouble"><b>{escape(failure["kind"])}</b>: {escape(failure["message"])}'
        f"{hint}</div>"
    )


def _when(text: str, at: datetime) -> str:
    ahead = datetime.fromisoformat(text) - at
    words = f"in {duration_text(ahead)}" if ahead.total_seconds() > 0 else "now"
    return f'<time datetime="{text}" title="{_plain(text)} UTC">{words}</time>'


def _time(text: str) -> str:
    return f'<time datetime="{text}">{_plain(text)}</time>'


def _plain(text: str) -> str:
    return text.replace("T", " ").removesuffix("Z")


def _reply(text: str, kind: bytes) -> Reply:
    return Reply(200, text.encode(), ((b"Content-Type", kind), *_HEADERS))
