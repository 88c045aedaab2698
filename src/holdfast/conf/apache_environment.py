"""The variables that a distribution gives Apache: Debian's envvars, Red Hat's sysconfig file.

Laws: pure; no shell is run. Assignments, `unset`, and `if` with one `test` are followed, as those
files have them; other commands are passed over.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping

_ASSIGNED = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)=(.*)", re.DOTALL)
_WORD = re.compile(r"""'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\;]+""", re.DOTALL)
_VARIABLE = re.compile(
    r"\$(?:(?P<bare>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)"
    r"(?:(?P<operator>:-|-|##|#|%%|%)(?P<argument>[^}]*))?\})"
)
_IF = re.compile(r"if\s+(?:\[\s+(.*?)\s+\]|test\s+(.*?))\s*;?\s*(then)?")


def environment(text: str, given: Mapping[str, str]) -> dict[str, str]:
    """The variables after a shell had read `text`, `given` among them."""
    known = dict(given)
    live: list[bool] = []  # of each `if` around
    for line in text.splitlines():
        words = line.strip()
        if not words or words.startswith("#") or words == "then":
            continue
        if found := _IF.fullmatch(words):
            live.append(_holds(found[1] or found[2] or "", known))
        elif words.startswith("if"):
            live.append(False)
        elif words == "else" and live:
            live[-1] = not live[-1]
        elif words == "fi" and live:
            live.pop()
        elif all(live):
            _command(words, known)
    return known


def _command(words: str, known: dict[str, str]) -> None:
    if words.startswith("unset "):
        for name in words.split()[1:]:
            known.pop(name, None)
    elif found := _ASSIGNED.match(words):
        known[found[1]] = _value(found[2], known)


def _value(text: str, known: Mapping[str, str]) -> str:
    """The word that `text` begins with, quotes gone and variables filled in."""
    parts, position = [], 0
    while (piece := _WORD.match(text, position)) is not None:
        word, position = piece.group(), piece.end()
        if word.startswith("'"):
            parts.append(word[1:-1])
        elif word.startswith('"'):
            parts.append(_filled(re.sub(r'\\(["\\$`])', r"\1", word[1:-1]), known))
        elif word.startswith("\\"):
            parts.append(word[1:])
        else:
            parts.append(_filled(word, known))
    return "".join(parts)


def _filled(text: str, known: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        now = known.get(found["bare"] or found["name"])
        argument = found["argument"] or ""
        match found["operator"]:
            case ":-":
                return now or _filled(argument, known)
            case "-":
                return _filled(argument, known) if now is None else now
            case "#" | "##":
                return _without(now or "", argument, at_start=True)
            case "%" | "%%":
                return _without(now or "", argument, at_start=False)
            case _:
                return now or ""

    return _VARIABLE.sub(value, text)


def _without(text: str, pattern: str, *, at_start: bool) -> str:
    for length in range(len(text), -1, -1):
        piece = text[:length] if at_start else text[len(text) - length :]
        if fnmatch.fnmatchcase(piece, pattern):
            return text[length:] if at_start else text[: len(text) - length]
    return text


def _holds(test: str, known: Mapping[str, str]) -> bool:
    words = [_value(word, known) for word in re.findall(r'(?:"[^"]*"|\'[^\']*\'|\S)+', test)]
    match words:
        case [left, "=" | "==", right]:
            return left == right
        case [left, "!=", right]:
            return left != right
        case ["-n", word]:
            return bool(word)
        case ["-z", word]:
            return not word
        case _:
            return False
