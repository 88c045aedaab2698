"""Reports as a monitoring plugin says them: one line, perfdata, a state from 0 to 3.

Laws: always one line; after its only `|` stands perfdata and nothing else; a server that cannot be
reached is CRITICAL, as the guidelines have it: UNKNOWN is for what this program could not do.
Monitoring Plugins Development Guidelines (2, 2.5, 2.6); draft-kaestle-monitoring-plugins-interface.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import IntEnum

from holdfast.formats.controls import harmless
from holdfast.formats.summary import at_or_above, left_of, sentence, staple_of
from holdfast.ocsp.findings import WARNING, Severity
from holdfast.plan.report import Report

NAME = "STAPLING"
NEAR_END = 0.2  # of the window is left when `staple-near-expiry` is found
MOST = 600  # characters before the perfdata: NRPE of old carries 1024 bytes in all
MOST_NAMED = 8  # targets
# `|` begins perfdata; the others are what Nagios takes out of macros (illegal_macro_output_chars)
_TAKEN_OUT = re.compile(r"[|`$<>~]")


class State(IntEnum):
    """The exit code of a plugin, by its name in the output."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


def state(report: Report, fail_on: Severity) -> State:
    """CRITICAL for findings at `fail_on` and above, WARNING for other warnings and graver ones."""
    if report.verdict == "unreachable" or at_or_above(report, fail_on):
        return State.CRITICAL
    return State.WARNING if at_or_above(report, WARNING) else State.OK


def line(reports: Sequence[Report], fail_on: Severity) -> str:
    """All of `reports` on one line, without its end."""
    states = [state(report, fail_on) for report in reports]
    worst = max(states)
    if len(reports) == 1:
        said, perfdata = f"{reports[0].target}: {sentence(reports[0])}", _one(reports[0])
    else:
        said, perfdata = _told(reports, states), _several(reports, states)
    return f"{NAME} {worst.name}: {_text(said)} | {' '.join(perfdata)}"


def unknown(problem: str, hint: str = "") -> str:
    """The line for what this program could not do."""
    more = f" ({hint})" if hint else ""
    return f"{NAME} {State.UNKNOWN.name}: {_text(problem + more)}"


def _told(reports: Sequence[Report], states: Sequence[State]) -> str:
    worst = max(states)
    if worst is State.OK:
        return f"all {len(reports)} targets are right"
    named = [report.target for report, one in zip(reports, states, strict=True) if one is worst]
    first = next(report for report in reports if report.target == named[0])
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    names = ", ".join(named[:MOST_NAMED])
    return f"{len(named)} of {len(reports)} targets: {names}{more}; {named[0]}: {sentence(first)}"


def _one(report: Report) -> Iterator[str]:
    staple = staple_of(report)
    if staple is not None and staple.window is not None:
        window = max(staple.window.length.total_seconds(), 0)
        left = left_of(report, staple)
        assert left is not None
        seconds = max(int(left.total_seconds()), 0) if staple.valid else 0
        yield f"staple_left={seconds}s;{int(window * NEAR_END)}:;1:;0;{int(window)}"
    elif any(leaf.leaf.responder_urls for leaf in report.leaves):
        yield "staple_left=0s;;1:;0"
    ends = [leaf.leaf.not_after for leaf in report.leaves]
    if ends:
        seconds = max(int((min(ends) - report.at).total_seconds()), 0)
        yield f"certificate_left={seconds}s;;1:;0"
    taken = [o.milliseconds for o in report.handshakes if o.seen]
    if taken:
        yield f"handshake={min(taken) / 1000:.6f}s;;;0"
    asked = [one.milliseconds for one in report.responders if one.milliseconds is not None]
    if asked:
        yield f"responder={max(asked) / 1000:.6f}s;;;0"
    yield f"findings={len(at_or_above(report, WARNING))};;;0"


def _several(reports: Sequence[Report], states: Sequence[State]) -> Iterator[str]:
    count = len(reports)
    for one in (State.OK, State.WARNING, State.CRITICAL):
        yield f"{one.name.lower()}={states.count(one)};;;0;{count}"
    lefts = [
        left.total_seconds()
        for report in reports
        if (staple := staple_of(report)) is not None
        and staple.valid
        and (left := left_of(report, staple)) is not None
    ]
    if lefts:
        yield f"staple_left_least={max(int(min(lefts)), 0)}s;;;0"


def _text(text: str) -> str:
    return _TAKEN_OUT.sub("_", harmless(text, MOST))
