"""An answer: one report of holdfast.check/1 made ready to be shown.

Laws: what is in the report is shown, also what this module does not know by name; text that came
from elsewhere is bounded and without control characters before any template sees it; one sentence
says the verdict.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from holdfast.services.web.history import Checked, first_staple
from holdfast.services.web.pictures import staple_words

MAX_TEXT = 2_000  # characters of one string
MAX_ITEMS = 100  # of one list
MAX_DEPTH = 8

# C0 with tab but not newline, DEL, C1, line separators, and what reorders text.
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

WORDS = {
    "good": "Good",
    "warning": "Works, with warnings",
    "bad": "Bad",
    "not-applicable": "Does not apply",
    "unreachable": "Not reached",
}
KNOWN = frozenset(
    {"target", "addresses", "servername", "verdict", "handshakes", "leaves", "staples"}
    | {"responders", "crl", "clients", "findings"}
)
"""The keys of a report that have a section of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Handshakes with one address, version and kind of key; `named`: the name was sent."""

    address: str
    tls: str
    key_type: str
    named: bool
    ciphers: tuple[str, ...]
    stapled: int
    count: int
    fastest: float
    slowest: float
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`report` is tamed; `running` while more may come; `at` is when it was looked."""

    id: str
    host: str
    at: datetime
    running: bool
    cut: str
    report: dict[str, Any]

    @classmethod
    def of(cls, checked: Checked, *, running: bool = False) -> Answer:
        report = tamed(checked.document)
        assert isinstance(report, dict)
        return cls(
            id=checked.id,
            host=checked.host,
            at=checked.at,
            running=running,
            cut=checked.cut,
            report=report,
        )

    @property
    def verdict(self) -> str:
        if self.running:
            return "running"
        if self.cut and not self.report.get("handshakes"):
            return "unknown"
        return str(self.report.get("verdict", "unknown"))

    @property
    def word(self) -> str:
        return {"running": "Looking", "unknown": "Not known"}.get(
            self.verdict, WORDS.get(self.verdict, self.verdict)
        )

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        name, worst = self.report.get("target", self.host), self.worst
        gravest = "" if worst is None else str(worst.get("message", "")).rstrip(".")
        match self.verdict:
            case "running":
                seen = len(self.report.get("handshakes", ()))
                so_far = f"; {_count(seen, 'handshake')} so far" if seen else ""
                return f"The check of {name} is under way{so_far}."
            case "unknown":
                return f"{name} could not be judged: {self.cut}."
            case "good":
                return f"Stapling on {name} is right: {self._staple_in_words()}."
            case "warning":
                return f"{name} works, but {gravest}."
            case "bad":
                return f"Stapling on {name} is wrong: {gravest}."
            case "not-applicable":
                return (
                    f"Stapling does not apply to {name}: its certificate names no OCSP responder, "
                    "so there is nothing to staple."
                )
            case _:
                return f"{name} was not reached: {gravest}."

    @property
    def server(self) -> str:
        """What ends TLS, in words; "" where it is not known."""
        told = self.report.get("server")
        if not isinstance(told, Mapping):
            return ""
        name, version = _text(told, "name"), _text(told, "version")
        if not name or name == "unknown":
            return ""
        because = _text(told, "because")
        return " ".join(filter(None, (name, version, f"({because})" if because else "")))

    @property
    def worst(self) -> Mapping[str, Any] | None:
        return next(iter(self.report.get("findings", ())), None)

    @property
    def severities(self) -> list[tuple[str, int]]:
        """(severity, how many findings), gravest first."""
        found = [str(one.get("severity")) for one in self.report.get("findings", ())]
        return [(word, found.count(word)) for word in dict.fromkeys(found)]

    @property
    def rows(self) -> list[Row]:
        groups: dict[tuple[str, str, str, bool], list[Mapping[str, Any]]] = {}
        for one in self.report.get("handshakes", ()):
            words = (_text(one, "address"), _text(one, "tls"), _text(one, "key_type"))
            groups.setdefault((*words, one.get("sni") is not False), []).append(one)
        return [_row(key, shakes) for key, shakes in groups.items()]

    @property
    def more(self) -> dict[str, Any]:
        """What the report tells beyond the sections."""
        return {k: v for k, v in self.report.items() if k not in KNOWN and v not in (None, [], {})}

    def staples_of(self, leaf: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        return [
            one
            for one in self.report.get("staples", ())
            if one.get("leaf_sha256") == leaf.get("sha256")
        ]

    def _staple_in_words(self) -> str:
        staple = first_staple(self.report)
        if not staple:
            return "nothing is missing"
        told = f"its staple says {staple.get('certificate_status')}"
        return f"{told}, {staple_words(staple, self.at)}"


def _row(key: tuple[str, str, str, bool], shakes: Sequence[Mapping[str, Any]]) -> Row:
    times = [float(one["milliseconds"]) for one in shakes if one.get("milliseconds")]
    return Row(
        address=key[0],
        tls=key[1],
        key_type=key[2],
        named=key[3],
        ciphers=tuple(dict.fromkeys(str(one["cipher"]) for one in shakes if one.get("cipher"))),
        stapled=sum(bool(one.get("stapled")) for one in shakes),
        count=len(shakes),
        fastest=min(times, default=0.0),
        slowest=max(times, default=0.0),
        errors=tuple(dict.fromkeys(str(one["error"]) for one in shakes if one.get("error"))),
    )


def beyond(value: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """What `value` tells beyond the keys `known`, where it tells something."""
    hidden = {*known}
    return {k: v for k, v in value.items() if k not in hidden and v not in (None, "", [], {})}


def tamed(value: object, depth: int = 0) -> object:
    """`value` bounded in depth, items and text, with no control character in any string."""
    match value:
        case str():
            text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", value[: MAX_TEXT + 1])
            return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"
        case bool() | int() | float() | None:
            return value
        case _ if depth >= MAX_DEPTH:
            return "…"
        case Mapping():
            pairs = list(value.items())[:MAX_ITEMS]
            return {str(tamed(str(k))): tamed(v, depth + 1) for k, v in pairs}
        case list() | tuple():
            kept = [tamed(one, depth + 1) for one in value[:MAX_ITEMS]]
            return kept if len(value) <= MAX_ITEMS or not _words(kept) else [*kept, "…"]
        case _:
            return tamed(str(value))


def _words(values: Sequence[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _text(value: Mapping[str, Any], key: str) -> str:
    return str(value.get(key) or "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
