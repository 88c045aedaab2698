"""The pictures of an answer, as SVG: a staple's time, a chain, a responder's answer, a history.

Laws: no style attribute and no script, so that a strict Content-Security-Policy holds; colours are
classes of the page's style sheet; all that a picture shows is in its label as text; every text that
came from elsewhere is escaped here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import Any

from holdfast.ocsp.window import duration_text
from holdfast.services.web.history import Point

WIDE = 420.0
NARROW = 340.0  # of a phone, where the text in a chain keeps its size
SLOW = 1000.0  # milliseconds; plan.responder_rules
_EDGE = 8.0


class Scale:
    """From instants to places between the edges of a picture."""

    def __init__(self, first: datetime, last: datetime) -> None:
        self.first, self.last = first, max(last, first + timedelta(seconds=1))

    def x(self, at: datetime) -> float:
        part = (at - self.first) / (self.last - self.first)
        return round(_EDGE + (WIDE - 2 * _EDGE) * min(max(part, 0.0), 1.0), 1)


def staple_picture(staple: Mapping[str, Any], at: datetime) -> str:
    """The line from thisUpdate to nextUpdate with now on it; "" for a staple without times."""
    begin, end = _instant(staple.get("this_update")), _instant(staple.get("next_update"))
    if begin is None:
        return ""
    produced = _instant(staple.get("produced_at"))
    shown_end = end or max(at, begin) + timedelta(days=1)
    beyond = max(shown_end - begin, timedelta(seconds=1)) * 0.06
    scale = Scale(min(begin, at) - beyond, max(shown_end, at) + beyond)
    x, bad = scale.x, "" if _holds(staple, at) else " bad"
    now = min(max(at, begin), shown_end)
    parts = [
        _bar(f"past{bad}", x(begin), x(now), 13, 12),
        _bar("left" if end else "endless", x(now), x(shown_end), 13, 12),
        f'<path class="end" d="M{x(begin)} 9v20"/>',
        f'<path class="end" d="M{x(end)} 9v20"/>' if end else "",
        f'<path class="over" d="M{x(end)} 19H{x(at)}"/>' if end and at > end else "",
        f'<circle class="produced" cx="{x(produced)}" cy="19" r="3"/>' if produced else "",
        f'<path class="now" d="M{x(at)} 4v30"/><circle class="now" cx="{x(at)}" cy="5" r="4"/>',
    ]
    return _svg("line", WIDE, 36, staple_words(staple, at), parts)


def staple_words(staple: Mapping[str, Any], at: datetime) -> str:
    """The same in words."""
    begin, end = _instant(staple.get("this_update")), _instant(staple.get("next_update"))
    if begin is None:
        return "it carries no times that can be read"
    if at < begin:
        return f"it begins to hold in {duration_text(begin - at)}"
    age = duration_text(at - begin)
    if end is None:
        return f"{age} old, and it does not say when it ends"
    if at >= end:
        return f"it ended {duration_text(at - end)} ago"
    part = round(100 * ((at - begin) / (end - begin)))
    return f"{age} old, {part} % of its time has passed, {duration_text(end - at)} left"


def _holds(staple: Mapping[str, Any], at: datetime) -> bool:
    end = _instant(staple.get("next_update"))
    good = staple.get("valid") and staple.get("certificate_status") == "good"
    return bool(good) and (end is None or at < end)


# -- the chain --------------------------------------------------------------------------------


def chain_picture(leaf: Mapping[str, Any], staples: Sequence[Mapping[str, Any]]) -> str:
    """The certificates that were sent, from the server's to where trust begins, as boxes."""
    chain = leaf.get("chain") or {}
    sent: Sequence[Mapping[str, Any]] = chain.get("certificates") or ()
    if not sent:
        return ""
    stapled = {
        staple.get("position"): staple
        for staple in staples
        if staple.get("leaf_sha256") == leaf.get("sha256")
    }
    parts: list[str] = []
    said: list[str] = []
    y = 4.0
    for number, one in enumerate(sent):
        name = common_name(str(one.get("subject", "")))
        until = str(one.get("not_after") or "")[:10]
        more = f"{one.get('key_type', '')}, until {until}"
        staple = stapled.get(number)
        parts.append(_box("cert leaf" if number == 0 else "cert", y, name, more, _badge(staple)))
        said.append(name + ("" if staple is None else f" (staple: {_status(staple)})"))
        y += 58
        following = sent[number + 1] if number + 1 < len(sent) else None
        if following is not None:
            fits = following.get("subject") == one.get("issuer")
            parts.append(_arrow(y, "" if fits else "broken"))
            y += 26
    last = sent[-1]
    if last.get("subject") != last.get("issuer"):
        trusted = bool(chain.get("trusted"))
        parts.append(_arrow(y, "" if trusted else "broken"))
        y += 26
        name = common_name(str(last.get("issuer", "")))
        says = "trusted here" if trusted else "leads to no root that is trusted here"
        parts.append(_box("root" if trusted else "root lost", y, name, says, ""))
        said.append(f"{name}, {says}")
        y += 58
    return _svg("chain", NARROW, y + 2, "Chain: " + ", issued by ".join(said), parts)


def _box(kind: str, y: float, first: str, second: str, badge: str) -> str:
    width = NARROW - 8
    return (
        f'<g class="{kind}"><title>{escape(first)}</title>'
        f'<rect x="4" y="{y:g}" width="{width:g}" height="54" rx="7"/>'
        f'<text class="name" x="16" y="{y + 22:g}">{escape(_cut(first, 36))}</text>'
        f'<text class="more" x="16" y="{y + 42:g}">{escape(_cut(second, 40))}</text>'
        f"{badge.replace('{y}', f'{y + 42:g}')}</g>"
    )


def _badge(staple: Mapping[str, Any] | None) -> str:
    if staple is None:
        return ""
    word = _status(staple)
    kind = "good" if word == "good" else "bad"
    right = f'x="{NARROW - 16:g}" y="{{y}}"'
    return f'<text class="badge {kind}" {right}>{escape(f"staple: {word}")}</text>'


def _status(staple: Mapping[str, Any]) -> str:
    if not staple.get("valid"):
        return "not valid"
    return str(staple.get("certificate_status") or "not valid")


def _arrow(y: float, kind: str) -> str:
    middle = NARROW / 2
    return (
        f'<path class="arrow {kind}" d="M{middle:g} {y - 2:g}v19"/>'
        f'<path class="head {kind}" d="M{middle - 5:g} {y + 15:g}h10l-5 8z"/>'
    )


def common_name(subject: str) -> str:
    """The CN of a distinguished name in words, or all of it."""
    for part in subject.split(","):
        key, mark, value = part.strip().partition("=")
        if mark and key.upper() == "CN":
            return value
    return subject


# -- a responder ------------------------------------------------------------------------------


def responder_picture(
    responder: Mapping[str, Any], beside: Iterable[Mapping[str, Any]] = ()
) -> str:
    """How long each stage of the answer took, on a line of milliseconds; "" when none was timed.

    `beside`: others that are drawn to the same scale.
    """
    reached = list(stages(responder))
    if not reached:
        return ""
    ends = [at for other in (responder, *beside) for _, at in stages(other)]
    whole = max(*ends, 1.0)
    most = max(whole * 1.15, SLOW * 1.15 if whole > SLOW / 4 else 0.0)

    def x(milliseconds: float) -> float:
        return round(_EDGE + (WIDE - 2 * _EDGE) * min(milliseconds / most, 1.0), 1)

    parts, before = [f'<path class="axis" d="M{_EDGE} 26H{WIDE - _EDGE}"/>'], 0.0
    for number, (_, at) in enumerate(reached):
        parts.append(_bar(f"stage s{number % 5}", x(before), x(max(at, before)), 8, 14))
        before = max(at, before)
    if most >= SLOW:
        parts.append(f'<path class="slow" d="M{x(SLOW)} 2v28"/>')
    said = ", ".join(f"{name} after {at:.0f} ms" for name, at in reached)
    return _svg("line", WIDE, 32, said, parts)


def stages(responder: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """(name, milliseconds since the beginning) of what a report tells of, in order."""
    told = responder.get("timeline")
    if isinstance(told, Mapping):
        found = [(str(k), float(v)) for k, v in told.items() if isinstance(v, int | float)]
        if found:
            yield from sorted(found, key=lambda stage: stage[1])
            return
    whole = responder.get("milliseconds")
    if isinstance(whole, int | float):
        yield "answer", float(whole)


# -- the history ------------------------------------------------------------------------------


def history_picture(points: Sequence[Point], at: datetime) -> str:
    """Every staple that was seen as a bar of its time, and every check as a dot on the lowest line.

    `points`: the latest first.
    """
    staples: dict[str, Point] = {}
    for point in points:
        if point.staple is not None and point.this_update is not None:
            staples.setdefault(point.staple, point)
    if not points:
        return ""
    shown = sorted(staples.values(), key=lambda p: p.this_update or p.at)[-MAX_BARS:]
    begins = [point.this_update for point in shown if point.this_update is not None]
    ends = [point.next_update for point in shown if point.next_update is not None]
    scale = Scale(min([points[-1].at, *begins]), max([at, *ends]))
    x, parts = scale.x, list[str]()
    for row, point in enumerate(shown):
        begin = point.this_update or point.at
        kind = "left" if point.valid and point.certificate_status == "good" else "bad"
        end = x(point.next_update or at)
        parts.append(_bar(kind, x(begin), max(end, x(begin) + 2), 6 + 12 * row, 8))
    floor = 6.0 + 12 * len(shown) + 12
    parts.append(f'<path class="axis" d="M{_EDGE} {floor:g}H{WIDE - _EDGE}"/>')
    parts += [
        f'<circle class="check {escape(p.verdict)}" cx="{x(p.at)}" cy="{floor:g}" r="4"/>'
        for p in reversed(points)
    ]
    parts.append(f'<path class="now" d="M{x(at)} 0v{floor + 8:g}"/>')
    said = f"{len(points)} checks saw {len(staples)} different staples"
    return _svg("line", WIDE, floor + 10, said, parts)


MAX_BARS = 24

# -- shared -----------------------------------------------------------------------------------


def _svg(kind: str, width: float, height: float, label: str, parts: Sequence[str]) -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _bar(kind: str, begin: float, end: float, top: float, high: float) -> str:
    width = round(end - begin, 1)
    if width <= 0:
        return ""
    return f'<rect class="{kind}" x="{begin}" y="{top:g}" width="{width}" height="{high:g}"/>'


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _instant(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None
