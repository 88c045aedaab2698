"""The page a proxy without an upstream serves: what it staples, in words a person can check.

`GET /` is HTML, `GET /staples.json` the same as data. The answers are made when asked: a page that
tells the age of a staple is never cached.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import assert_never

from holdfast.net.http_message import Reply, Request, plain
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import Good, Revoked, Unknown
from holdfast.ocsp.window import Window, duration_text
from holdfast.pki.certificate import Certificate
from holdfast.seams import Clock
from holdfast.tls.server import ServerTLS

HeldFor = Callable[[bytes], Staple | None]


def page_handler(tls: ServerTLS, *, held: HeldFor, clock: Clock) -> Callable[[Request], Reply]:
    """What answers the requests to a proxy that has no upstream."""

    def answer(request: Request) -> Reply:
        if request.method not in ("GET", "HEAD"):
            return plain(405, "GET and HEAD only", headers=((b"Allow", b"GET, HEAD"),))
        at = clock.now()
        rows = [_row(i.leaf, held(i.leaf.der), at, tls.staple_for) for i in tls.identities]
        match request.path:
            case b"/":
                return _reply(_html(rows, at), b"text/html; charset=utf-8")
            case b"/staples.json":
                document = {"staples": [row.as_json() for row in rows]}
                return _reply(json.dumps(document, indent=2) + "\n", b"application/json")
            case _:
                return plain(404, "there is / and /staples.json")

    return answer


@dataclass(frozen=True, slots=True)
class _Row:
    """One certificate and what is stapled to it."""

    leaf: Certificate
    staple: Staple | None
    sent: bool
    at: datetime

    @property
    def certificate_status(self) -> str:
        """good, revoked or unknown; "" without a staple."""
        return "" if self.staple is None else self.staple.certificate_status.text

    def as_json(self) -> dict[str, object]:
        staple = self.staple
        shown: dict[str, object] = {
            "names": list(self.leaf.names),
            "serial": f"{self.leaf.serial:x}",
            "key_type": self.leaf.key_type,
            "must_staple": self.leaf.must_staple,
            "responder_urls": list(self.leaf.responder_urls),
            "stapled": self.sent,
            "staple": None,
        }
        if staple is not None:
            shown["staple"] = {
                "sha256": hashlib.sha256(staple.der).hexdigest(),
                "certificate_status": self.certificate_status,
                "this_update": _instant(staple.this_update),
                "next_update": _instant(staple.next_update),
                "produced_at": _instant(staple.produced_at),
                "signer": staple.signer.subject,
            }
        return shown


def _row(
    leaf: Certificate, staple: Staple | None, at: datetime, staple_for: Callable[[bytes], bytes]
) -> _Row:
    return _Row(leaf, staple, bool(staple_for(leaf.der)), at)


def _reply(text: str, content_type: bytes) -> Reply:
    return Reply(
        200,
        text.encode(),
        (
            (b"Content-Type", content_type),
            (b"Cache-Control", b"no-store"),
            (b"Content-Security-Policy", b"default-src 'none'; style-src 'unsafe-inline'"),
            (b"X-Content-Type-Options", b"nosniff"),
        ),
    )


def _instant(at: datetime | None) -> str | None:
    return None if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}"


_STYLE = """
:root{color-scheme:light dark;--line:#8884;--good:#18794e;--bad:#c62a2f;--dull:#8a6100}
body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0}h2{font-size:1.1rem;margin:0 0 .6rem;overflow-wrap:anywhere}
article{border:1px solid var(--line);border-radius:.6rem;padding:1rem 1.2rem;margin:1.2rem 0}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.2rem;margin:0}
dt{opacity:.7}dd{margin:0;overflow-wrap:anywhere}
b{padding:.1rem .5rem;border-radius:.4rem;color:#fff}
.good{background:var(--good)}.bad{background:var(--bad)}.dull{background:var(--dull)}
meter{width:100%;height:1rem}code{font-size:.9em}footer{opacity:.7;font-size:.9rem}
"""


def _html(rows: list[_Row], at: datetime) -> str:
    articles = "\n".join(_article(row) for row in rows)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>holdfast proxy</title><style>{_STYLE}</style></head><body>\n"
        "<h1>holdfast proxy</h1>\n"
        f"<p>What this server staples to its TLS handshakes, at {_instant(at)}.</p>\n"
        f"{articles}\n"
        '<footer>The same as data: <a href="/staples.json">staples.json</a>. '
        "Look from outside: <code>openssl s_client -status -connect HOST:PORT</code> or "
        "<code>holdfast check HOST:PORT</code>.</footer>\n</body></html>\n"
    )


def _article(row: _Row) -> str:
    leaf, staple = row.leaf, row.staple
    facts = [
        ("key", leaf.key_type),
        ("serial", f"{leaf.serial:x}"),
        ("certificate until", _instant(leaf.not_after) or ""),
        ("must-staple", "yes" if leaf.must_staple else "no"),
        ("responder", ", ".join(leaf.responder_urls) or "none: stapling does not apply"),
    ]
    if staple is not None:
        facts += _staple_facts(staple, row.at)
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts)
    name = ", ".join(leaf.names) or leaf.subject
    return f"<article><h2>{escape(name)} {_badge(row)}</h2>{_meter(row)}<dl>{listed}</dl></article>"


def _badge(row: _Row) -> str:
    if row.staple is None:
        return '<b class="dull">no staple</b>'
    if not row.sent:
        return '<b class="dull">staple held, not sent</b>'
    match row.staple.certificate_status:
        case Good():
            return '<b class="good">good</b>'
        case Revoked():
            return '<b class="bad">revoked</b>'
        case Unknown():
            return '<b class="dull">unknown</b>'
        case other:
            assert_never(other)


def _staple_facts(staple: Staple, at: datetime) -> list[tuple[str, str]]:
    facts = []
    match staple.certificate_status:
        case Revoked(at=since, reason=reason):
            told = reason.text if reason is not None else "no reason given"
            facts.append(("revoked", f"{_instant(since)}, {told}"))
        case Good() | Unknown():
            pass
    facts.append(("thisUpdate", f"{_instant(staple.this_update)}, {_ago(staple.this_update, at)}"))
    if staple.next_update is not None:
        facts.append(("nextUpdate", f"{_instant(staple.next_update)}, {_ahead(staple, at)}"))
    facts.append(("signed by", staple.signer.subject))
    return facts


def _meter(row: _Row) -> str:
    staple = row.staple
    if staple is None or staple.next_update is None:
        return ""
    passed = Window(staple.this_update, staple.next_update).passed(row.at)
    percent = round(100 * min(max(passed, 0.0), 1.0))
    label = f"{percent} % of the window has passed"
    return (
        f'<meter min="0" max="100" low="66" high="90" optimum="0" value="{percent}"'
        f' title="{label}">{label}</meter>'
    )


def _ago(instant: datetime, at: datetime) -> str:
    gone = at - instant
    return f"{duration_text(gone)} {'ago' if gone.total_seconds() >= 0 else 'from now'}"


def _ahead(staple: Staple, at: datetime) -> str:
    assert staple.next_update is not None
    left = staple.next_update - at
    return f"{duration_text(left)} {'from now' if left.total_seconds() >= 0 else 'ago'}"
