"""The keeper over HTTP: a page for people, `/status.json`, `/metrics`, `/healthz`.

Laws: reading only; the page needs nothing from elsewhere; whatever a certificate says is escaped.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from html import escape
from typing import Any

from holdfast.net.http_message import Reply, Request, plain
from holdfast.services.keeper import Keeper
from holdfast.services.keeper_state import metrics_text, status_document

_STYLE = """
:root { color-scheme: light dark; --ok: #1a7f4b; --bad: #c0392b; --wait: #b7791f; --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; } small, .dim { opacity: .7; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .45rem .6rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
.bar { height: .6rem; min-width: 10rem; border-radius: .3rem; background: var(--line);
  overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--ok); }
.revoked .bar i, .expired .bar i, .missing .bar i { background: var(--bad); }
.state { font-weight: 600; } .good .state { color: var(--ok); }
.revoked .state, .expired .state, .missing .state { color: var(--bad); }
.trouble { color: var(--wait); overflow-wrap: anywhere; }
"""
_HEADERS = (
    (b"Cache-Control", b"no-store"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Content-Security-Policy", b"default-src 'none'; style-src 'unsafe-inline'"),
)


class KeeperPage:
    """An HTTP handler over a keeper."""

    def __init__(self, keeper: Keeper, *, now: Callable[[], datetime]) -> None:
        self._keeper = keeper
        self._now = now

    def __call__(self, request: Request) -> Reply:
        if request.method not in ("GET", "HEAD"):
            return plain(405, "this page can only be read", headers=((b"Allow", b"GET, HEAD"),))
        match request.path:
            case b"/":
                page = page_html(status_document(self._keeper, self._now()))
                return _reply(page, b"text/html; charset=utf-8")
            case b"/status.json":
                document = status_document(self._keeper, self._now())
                return _reply(json.dumps(document, indent=2) + "\n", b"application/json")
            case b"/metrics":
                text = metrics_text(self._keeper, self._now())
                return _reply(text, b"text/plain; version=0.0.4; charset=utf-8")
            case b"/healthz":
                return plain(200, "ok") if self._keeper.started_at else plain(503, "starting")
            case _:
                return plain(404, "there are /, /status.json, /metrics and /healthz")


def page_html(document: dict[str, Any]) -> str:
    """The status document as a page."""
    rows = "\n".join(_row(row) for row in document["certificates"])
    following = document["next"]
    due = "" if following is None else f"; next: {escape(following['name'])} at {following['at']}"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>holdfast</title>
<meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="30">
<style>{_STYLE}</style></head><body>
<h1>holdfast keeper</h1>
<p class="dim">{len(document["certificates"])} certificates at {document["at"]}{due}</p>
<table><thead><tr><th>certificate</th><th>state</th><th>validity</th><th>refresh</th>
<th>servers</th></tr></thead><tbody>
{rows}
</tbody></table>
<p class="dim"><small>/status.json, /metrics, /healthz</small></p>
</body></html>
"""


def _row(row: dict[str, Any]) -> str:
    staple = row["staple"]
    percent = 0.0 if staple is None else min(100.0, staple["age_percent"])
    if staple is None:
        validity = '<span class="dim">no staple</span>'
    else:
        validity = (
            f'<div class="bar" title="{percent:g} %"><i style="width:{100 - percent:g}%"></i></div>'
            f"<small>until {staple['withdraw_at']}</small>"
        )
    trouble = row["last_failure"]
    told = "" if trouble is None else f'<div class="trouble">{escape(trouble["message"])}</div>'
    servers = "<br>".join(
        f"{escape(server['name'])}: {'has it' if server['delivered'] else 'has it not'}"
        for server in row["servers"]
    )
    must = " <small>must-staple</small>" if row["must_staple"] else ""
    return (
        f'<tr class="{escape(row["state"])}"><td>{escape(row["name"])}{must}<br>'
        f"<small>{escape(row['serial'])}</small></td>"
        f'<td class="state">{escape(row["state"])}</td><td>{validity}{told}</td>'
        f"<td><small>{row['refresh_at'] or ''}</small></td><td>{servers}</td></tr>"
    )


def _reply(text: str, kind: bytes) -> Reply:
    return Reply(200, text.encode(), ((b"Content-Type", kind), *_HEADERS))
