"""What is wrong with the stapling lines of nginx's configuration, as far as the text shows it.

Laws: pure; a fault names one line and the cure; `mend` says what takes it away, None where only a
person can. `refused`: `nginx -t` fails because of it. Sources: ngx_http_ssl_commands for contexts,
ngx_conf_set_flag_slot for values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from holdfast.conf.nginx import Problem
from holdfast.conf.nginx_reading import Block, Reading, Statement
from holdfast.conf.nginx_servers import STAPLING
from holdfast.conf.text import line_of

NEAR = 2  # letters wrong, missing or too many
KNOWN = (*STAPLING, "ssl_trusted_certificate", "resolver", "resolver_timeout")
FLAGS = ("ssl_stapling", "ssl_stapling_verify")
STREAM_SINCE = (1, 27, 2)  # nginx's CHANGES: "ocsp stapling" of the stream module

Mend = Literal["rename", "remove", "on", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`code` is kebab-case and stable; `to`: what the name becomes for "rename"."""

    code: str
    message: str
    hint: str
    file: str
    line: int
    statement: Statement | None = None
    mend: Mend | None = None
    to: str = ""
    refused: bool = True


def faults(reading: Reading, *, version: tuple[int, ...]) -> tuple[Fault, ...]:
    """All of them, each place once."""
    found = {
        (fault.file, fault.line, fault.code, fault.message): fault
        for fault in (*_unreadable(reading), *_stapling(reading, version))
    }
    return tuple(found.values())


def _unreadable(reading: Reading) -> Iterator[Fault]:
    for file, tree in reading.trees.items():
        for problem in tree.problems[:1]:  # the rest follows from the first
            yield _problem(file, tree.text, problem)
    for one in reading.missing:
        yield _fault(
            reading,
            one.statement,
            code="nginx-include-missing",
            message=f"the included file {one.file} {one.problem}",
            hint="take the include out, or put the file (or what a link leads to) back",
        )


def _problem(file: str, text: str, problem: Problem) -> Fault:
    return Fault(
        code="nginx-syntax",
        message=problem.message,
        hint='look at this line and the one before: a ";", a quote or a brace is missing or too '
        "many",
        file=file,
        line=line_of(text, problem.offset),
    )


def _stapling(reading: Reading, version: tuple[int, ...]) -> Iterator[Fault]:
    for block in reading.main.within():
        seen: Counter[str] = Counter()
        for one in block.statements:
            if one.name in STAPLING:
                seen[one.name] += 1
                yield from _of_known(reading, one, seen[one.name], version)
            elif _in_http(block) and (meant := _meant(one.name)):
                yield _fault(
                    reading,
                    one,
                    code="nginx-misspelled",
                    message=f'unknown directive "{one.name}": "{meant}" is meant',
                    hint=f"write {meant}",
                    mend="rename",
                    to=meant,
                )


def _of_known(
    reading: Reading, one: Statement, count: int, version: tuple[int, ...]
) -> Iterator[Fault]:
    if not _allowed(one.block, version):
        yield _fault(
            reading,
            one,
            code="nginx-wrong-context",
            message=f'"{one.name}" directive is not allowed in {_called(one.block)}',
            hint="it belongs into a server block, or into http for all of them",
            mend="remove",
        )
        return
    if count > 1:
        yield _fault(
            reading,
            one,
            code="nginx-duplicate",
            message=f'"{one.name}" directive is duplicate: this block has it already'
            + (f", and {one.file} is included into it" if one.via else ""),
            hint="keep one of them",
            mend="remove",
        )
        return
    if one.name in FLAGS and tuple(arg.lower() for arg in one.args) not in (("on",), ("off",)):
        meant: Mend | None = (
            "off" if "".join(one.args).lower() in ("no", "false", "0", "of") else "on"
        )
        hint = f"write {one.name} {meant};"
        if len(one.args) > 1 and "".join(one.args).lower() not in ("on", "off"):
            hint = 'is a ";" missing at its end? What follows was read as part of it'
            meant = None  # to take the rest away would take another directive away
        yield _fault(
            reading,
            one,
            code="nginx-bad-value",
            message=f'"{one.name}" must be "on" or "off", not "{" ".join(one.args)}"',
            hint=hint,
            mend=meant,
        )
    elif one.name == "ssl_stapling_responder" and not _http(one.args):
        yield _fault(
            reading,
            one,
            code="nginx-responder-prefix",
            message=f"nginx asks responders by http:// only, and ignores {' '.join(one.args)}",
            hint="give an http:// address, or take the line out: the certificate names one",
            mend="remove",
            refused=False,
        )


def _http(args: tuple[str, ...]) -> bool:
    """Or empty, which takes back what is said above."""
    return bool(args) and (not args[0] or args[0].lower().startswith("http://"))


def _allowed(block: Block, version: tuple[int, ...]) -> bool:
    path = block.path
    if path in (("main", "http"), ("main", "http", "server")):
        return True
    if path in (("main", "stream"), ("main", "stream", "server")):
        return version >= STREAM_SINCE
    return False


def _in_http(block: Block) -> bool:
    return block.path in (("main", "http"), ("main", "http", "server"))


def _called(block: Block) -> str:
    if block.name == "main":
        return "the main part of the configuration"
    assert block.directive is not None
    return (
        f"a {block.name} block"
        if not block.directive.args
        else (f"the block `{block.name} {' '.join(block.directive.args)}`")
    )


def _fault(
    reading: Reading,
    statement: Statement,
    *,
    code: str,
    message: str,
    hint: str,
    mend: Mend | None = None,
    to: str = "",
    refused: bool = True,
) -> Fault:
    text = reading.trees[statement.file].text
    return Fault(
        code=code,
        message=message,
        hint=hint,
        file=statement.file,
        line=line_of(text, statement.directive.start),
        statement=statement,
        mend=mend,
        to=to,
        refused=refused,
    )


def _meant(name: str) -> str:
    """The stapling directive that `name` misspells, else ""."""
    plain = name.lower().replace("-", "_")
    if name in KNOWN:
        return ""
    near = min(STAPLING, key=lambda known: distance(plain, known))
    return near if distance(plain, near) <= NEAR else ""


def distance(one: str, other: str) -> int:
    """Letters to change, insert, leave out or swap with their neighbour (Damerau, restricted)."""
    if abs(len(one) - len(other)) > NEAR:
        return NEAR + 1
    above: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        twice, above, row = above, row, [i]
        for j, wanted in enumerate(other, 1):
            cost = min(above[j] + 1, row[-1] + 1, above[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, twice[j - 2] + 1)
            row.append(cost)
    return row[-1]
