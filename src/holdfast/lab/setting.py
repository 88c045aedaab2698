"""What the scripted responder is told to do: a fault, and the times it uses.

Law: everything that comes from outside (the control address, the command line) is checked here, and
what is wrong is an `OperatorError` that says what is right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from holdfast.errors import OperatorError
from holdfast.lab.faults import FAULTS, Stage

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)")
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
MAX_DURATION = timedelta(days=36_500)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How requests are answered. `window`: thisUpdate to nextUpdate; `age`: thisUpdate to now;
    `delay` before each answer, and up to `jitter` more; `times`: for so many requests, then good
    (None: until told otherwise)."""

    fault: str = "good"
    window: timedelta = timedelta(hours=1)
    delay: timedelta = timedelta(0)
    jitter: timedelta = timedelta(0)
    age: timedelta = timedelta(0)
    times: int | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "fault": self.fault,
            "window": duration_text(self.window),
            "delay": duration_text(self.delay),
            "jitter": duration_text(self.jitter),
            "age": duration_text(self.age),
            "times": self.times,
        }

    def changed(self, wishes: Mapping[str, Any]) -> Setting:
        """This setting with what `wishes` (a JSON object) names; `OperatorError` when wrong."""
        changes: dict[str, Any] = {"times": None}
        for name, value in wishes.items():
            match name:
                case "fault":
                    changes[name] = known_fault(value)
                case "window" | "delay" | "jitter" | "age":
                    changes[name] = duration(value, name)
                case "times":
                    changes[name] = _count(value)
                case _:
                    raise OperatorError(
                        f"{name!r} is not a setting of the lab responder{_near(name, _NAMES)}",
                        hint=f"there are {', '.join(_NAMES)} and serial",
                    )
        return replace(self, **changes)


_NAMES = ("fault", "window", "delay", "jitter", "age", "times")


def known_fault(value: Any, *, serial: bool = False) -> str:
    """`value` if it names a fault, one that can be had for one `serial` alone if so wished."""
    if not isinstance(value, str) or value not in FAULTS:
        raise OperatorError(
            f"{value!r} is not a fault{_near(str(value), FAULTS)}",
            hint="`holdfast lab responder --list-faults` shows all",
        )
    if serial and FAULTS[value].stage is Stage.LISTEN:
        raise OperatorError(
            f"{value!r} cannot be had for one serial: the port is closed to all",
            hint="set it without a serial",
        )
    return value


def duration(value: Any, name: str) -> timedelta:
    """ "90s", "10m", "1h30m", "250ms", or a number of seconds."""
    if isinstance(value, timedelta):
        found = value
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        found = timedelta(seconds=value) if 0 <= value < 1e9 else timedelta(days=-1)
    else:
        pieces = _DURATION.findall(value) if isinstance(value, str) else []
        if not pieces or "".join(map("".join, pieces)) != value:
            raise OperatorError(
                f"{name} {value!r} is not a duration", hint="write 250ms, 90s, 10m, 12h or 7d"
            )
        found = sum((timedelta(**{_UNITS[u]: float(n)}) for n, u in pieces), timedelta())
    if not timedelta(0) <= found <= MAX_DURATION:
        raise OperatorError(f"{name} {value!r} is out of range", hint="from 0s to 36500d")
    return found


def duration_text(span: timedelta) -> str:
    """In the largest unit that is whole: "90s", "10m", "7d"."""
    milliseconds = round(span / timedelta(milliseconds=1))
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


def serial_number(value: Any) -> int:
    """A serial as JSON gives it: hex digits in a string, or a number."""
    try:
        if isinstance(value, str):
            return int(value.replace(":", ""), 16)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    except ValueError:
        pass
    raise OperatorError(f"serial {value!r} is not a serial number", hint="give its hex digits")


def _count(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise OperatorError(f"times {value!r} is not a positive number", hint="leave it out for ever")


def _near(name: str, names: Any) -> str:
    near = get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
