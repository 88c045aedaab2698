"""One staple's time as a picture: an SVG line from thisUpdate to its end, with a mark for now.

Laws: no style attribute and no script, so that a strict Content-Security-Policy holds; the colours
are classes of the page's; all that the picture shows is in its label as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from html import escape
from typing import Any

from holdfast.ocsp.freshness import ALARM_POINTS
from holdfast.ocsp.window import duration_text

WIDTH = 560.0
BEYOND = 0.06  # of the window
_LEFT, _TOP, _HIGH = 8.0, 11.0, 10.0  # of the line, within a picture of 32


def timeline(row: Mapping[str, Any], at: datetime) -> str:
    """The picture for one row of the status document, whose staple is not None."""
    staple = row["staple"]
    begin, end = _instant(staple["this_update"]), _instant(staple["ends_at"])
    withdrawn = _instant(staple["withdraw_at"])
    length = max(end - begin, timedelta(seconds=1))
    edge = length * BEYOND  # so much is shown of the time before and after, where now is there
    first, last = max(min(begin, at), begin - edge), min(max(end, at), end + edge)
    last = max(last, begin + timedelta(seconds=1))

    def x(instant: datetime) -> float:
        part = (instant - first) / (last - first)
        return round(_LEFT + (WIDTH - 2 * _LEFT) * min(max(part, 0.0), 1.0), 1)

    now = min(max(at, begin), end)
    drawn = [
        _bar("past", x(begin), x(now)),
        _bar("left", x(now), x(withdrawn)) if withdrawn > now else "",
        _bar("after", max(x(withdrawn), x(now)), x(end)),
        *(_tick("rung", x(begin + (end - begin) * point), 3) for point in ALARM_POINTS),
        _tick("withdraw", x(withdrawn), 6),
        *(_mark(x(due)) for due in _asks(row) if first <= due <= last),
        f'<path class="now" d="M{x(at)} 3v26"/><circle class="now" cx="{x(at)}" cy="5" r="4"/>',
    ]
    return (
        f'<svg class="line" viewBox="0 0 {WIDTH:g} 32" role="img" '
        f'aria-label="{escape(_words(row, at, begin, end))}">{"".join(drawn)}</svg>'
    )


def _asks(row: Mapping[str, Any]) -> list[datetime]:
    return [_instant(one["at"]) for one in row["upcoming"] if one["do"] in ASKING]


ASKING = ("fetch", "refresh", "retry", "ask-again")


def _words(row: Mapping[str, Any], at: datetime, begin: datetime, end: datetime) -> str:
    passed = f"{row['staple']['age_percent']:.0f} % of the window has passed"
    if at >= end:
        return f"{row['name']}: the staple ended {duration_text(at - end)} ago"
    due = _asks(row)
    refresh = f", asked again in {duration_text(due[0] - at)}" if due and due[0] > at else ""
    return f"{row['name']}: {passed}, {duration_text(end - at)} left{refresh}"


def _bar(kind: str, begin: float, end: float) -> str:
    width = round(end - begin, 1)
    if width <= 0:
        return ""
    return f'<rect class="{kind}" x="{begin}" y="{_TOP}" width="{width}" height="{_HIGH}"/>'


def _tick(kind: str, x: float, over: float) -> str:
    return f'<path class="{kind}" d="M{x} {_TOP - over:g}v{_HIGH + 2 * over:g}"/>'


def _mark(x: float) -> str:
    """A triangle under the line: when the responder is asked."""
    bottom = _TOP + _HIGH
    return f'<path class="ask" d="M{x} {bottom:g}l-5 9h10z"/>'


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
