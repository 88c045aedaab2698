"""The pages' templates, filled.

Laws: everything is escaped unless a picture of `pictures` or a template made it; a name that a page
misses is a bug, one that a report lacks is blank; static files are known by their content, so that
they may be kept for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from holdfast.ocsp.window import duration_text
from holdfast.services.web import pictures
from holdfast.services.web.answer import WORDS, Answer, beyond
from holdfast.services.web.history import Point

HERE = Path(__file__).parent
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
PARTS = (
    *("verdict", "staples", "chains", "handshakes", "responders", "crl", "clients", "findings"),
    "more",
)
_NEEDS = {"staples": "leaves", "chains": "leaves"}
"""The section that has something to show when that list of the report has."""


@dataclass(frozen=True, slots=True)
class Part:
    """One section of an answer; `html` is empty while there is nothing to show."""

    name: str
    html: Markup


@dataclass(frozen=True, slots=True)
class Static:
    """One file of `static`, its type, and the name it is served by."""

    name: str
    type: str
    body: bytes


class Pages:
    """Every page. `keeper`: whether there is a page about one."""

    def __init__(self, *, keeper: bool) -> None:
        self.static = {file.name: file for file in map(_static, sorted(HERE.glob("static/*")))}
        named = {Path(name).suffix[1:]: name for name in self.static}
        self._env = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._env.filters |= {
            "time": _time,
            "when": _when,
            "label": lambda text: str(text).replace("_", " "),
            "told": _told,
            "beyond": beyond,
            "words": pictures.staple_words,
            "picture": lambda one, at: drawn(pictures.staple_picture(one, at)),
            "chain": lambda leaf, staples: drawn(pictures.chain_picture(leaf, staples)),
            "stages": lambda one: list(pictures.stages(one)),
            "coded": _coded,
            "answered": lambda one, beside=(): drawn(pictures.responder_picture(one, beside or ())),
        }
        self._env.globals |= {
            "style": named["css"],
            "script": named["js"],
            "icon": named["svg"],
            "keeper": keeper,
            "here": "",
            "target": "",
            "problem": "",
            "hint": "",
            "focus": False,
            "verdicts": WORDS,
        }
        # Reports of other versions are remembered too: what one lacks is blank
        lenient = self._env.overlay(undefined=ChainableUndefined)
        self._parts = {name: lenient.get_template(f"parts/{name}.html") for name in PARTS}

    def page(self, name: str, /, **values: Any) -> str:
        """The template `name` as a whole page."""
        return self._env.get_template(f"{name}.html").render(**values)

    def check(self, answer: Answer) -> str:
        return self.page("check", answer=answer, parts=self.parts(answer), here="check")

    def host(self, host: str, points: Sequence[Point], at: datetime) -> str:
        picture = drawn(pictures.history_picture(points, at))
        return self.page("host", host=host, points=list(_rows(points)), picture=picture)

    def parts(self, answer: Answer) -> list[Part]:
        """Every section, in the order of the page."""
        report: dict[str, Any] = {"leaves": [], "staples": [], "crl": None, **answer.report}
        return [
            Part(
                name,
                drawn(template.render(a=answer, r=report) if _has(name, answer, report) else ""),
            )
            for name, template in self._parts.items()
        ]


def drawn(html: str) -> Markup:
    """What our pictures and templates made, which escape all that came from elsewhere."""
    return Markup(html)  # noqa: S704


def _has(name: str, answer: Answer, report: Mapping[str, Any]) -> bool:
    match name:
        case "verdict":
            return True
        case "more":
            return bool(answer.more)
        case "clients" if answer.running:  # what they do with half an answer nobody knows
            return False
        case _:
            return bool(report.get(_NEEDS.get(name, name)))


def _rows(points: Sequence[Point]) -> Iterable[dict[str, Any]]:
    """Each check with what had changed since the one before it."""
    for number, point in enumerate(points):
        before = points[number + 1] if number + 1 < len(points) else None
        changed = before is not None and point.staple is not None and before.staple is not None
        same_leaf = before is None or None in (point.leaf, before.leaf) or point.leaf == before.leaf
        yield {
            **{key: getattr(point, key) for key in ("id", "at", "verdict", "staple", "valid")},
            "certificate_status": point.certificate_status,
            "next_update": point.next_update,
            "renewed": changed and before is not None and point.staple != before.staple,
            "new_leaf": not same_leaf,
        }


def _static(path: Path) -> Static:
    body = path.read_bytes()
    digest = hashlib.sha256(body).hexdigest()[:12]
    return Static(f"{path.stem}.{digest}{path.suffix}", TYPES[path.suffix], body)


def _at(value: datetime | str) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _time(value: datetime | str | None) -> Markup:
    if not value:
        return Markup("")
    at = _at(value).astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        at.strftime("%Y-%m-%dT%H:%M:%SZ"), at.strftime("%Y-%m-%d %H:%M:%S")
    )


def _when(value: datetime | str, at: datetime) -> Markup:
    ahead = _at(value) - at
    words = f"in {duration_text(ahead)}" if ahead.total_seconds() > 0 else "now"
    title = _at(value).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(value, title, words)


def _coded(text: str) -> Markup:
    """`text` with what stands between backticks as code."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:  # one backtick too many is no mark
        return escape(text)
    made = Markup("<code>{}</code>")
    return Markup("").join(made.format(p) if n % 2 else escape(p) for n, p in enumerate(pieces))


def _told(text: str) -> Markup:
    """`text`, where an instant is shown as one and a long word may be broken."""
    if len(text) == 20 and text.endswith("Z"):
        try:
            return _time(text)
        except ValueError:
            return escape(text)
    return escape(text)
