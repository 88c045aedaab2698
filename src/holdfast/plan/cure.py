"""A cure: what to run, and which lines to change, so that a finding goes away on one server.

Laws: shapes only, `plan.cures` decides; a step is complete, so that a person (or a test) who does
it word for word has done it; what cannot be known from outside is a blank in capitals, explained.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from holdfast.plan.software import Kind, Software

JSON = dict[str, object]


@dataclass(frozen=True, slots=True)
class Run:
    """A command to run, as root where the server's files are root's."""

    words: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        yield f"$ {shlex.join(self.words)}"

    def as_json(self) -> JSON:
        return {"run": list(self.words)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A change of a server's configuration.

    `line`: of `file`, where the block (or the directive) begins; 0 when it is not known, and then
    `where` says it in words. `out`: lines of that block that begin so are taken out; `cut`: words
    that are taken out of `file` wherever they stand; `put`: lines that follow line `line`, or with
    `instead` take its place.
    """

    where: str
    file: str = ""
    line: int = 0
    out: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    put: tuple[str, ...] = ()
    instead: bool = False

    def lines(self) -> Iterator[str]:
        if not self.line:
            yield f"in {self.file or self.where}:"
        elif self.instead:
            yield f"in {self.file}:"
        else:
            yield f"in {self.file}, in {self.where} that begins in line {self.line}:"
        if self.out:
            yield f"  take out the lines that begin with {' or '.join(self.out)}"
        if self.cut:
            yield f"  take out these words: {', '.join(self.cut)}"
        if self.put:
            at = "put" if not self.line else f"put after line {self.line}"
            at = f"put instead of line {self.line}" if self.instead else at
            yield f"  {at}:"
            yield from (f"      {line}" for line in self.put)

    def as_json(self) -> JSON:
        return {
            "edit": {
                "file": self.file or None,
                "line": self.line or None,
                "where": self.where,
                "take_out_lines": list(self.out),
                "take_out_words": list(self.cut),
                "put": list(self.put),
                "instead": self.instead,
            }
        }


@dataclass(frozen=True, slots=True)
class Say:
    """What is to be known or done where no program or line can say it."""

    text: str

    def lines(self) -> Iterator[str]:
        yield self.text

    def as_json(self) -> JSON:
        return {"say": self.text}


Step = Run | Edit | Say


@dataclass(frozen=True, slots=True, kw_only=True)
class Cure:
    """What mends a finding on `server`, all of `steps` in their order; `by_hand` does the same
    without holdfast. `where`: who the steps are for; `blanks`: what the words in capitals mean."""

    server: Kind
    where: str
    steps: tuple[Step, ...] = ()
    by_hand: tuple[Step, ...] = ()
    blanks: tuple[tuple[str, str], ...] = ()

    def lines(self) -> list[str]:
        """As a person reads it; commands begin with "$"."""
        told = [f"{self.where}:"]
        told += [f"  {line}" for step in self.steps for line in step.lines()]
        if self.by_hand:
            told.append("or by hand:" if self.steps else "by hand:")
            told += [f"  {line}" for step in self.by_hand for line in step.lines()]
        shown = "\n".join(told)
        blanks = [f"{name} is {means}" for name, means in self.blanks if name in shown]
        if blanks:
            told.append(f"where {'; '.join(blanks)}")
        return told

    def as_json(self) -> JSON:
        return {
            "server": self.server,
            "steps": [step.as_json() for step in self.steps],
            "by_hand": [step.as_json() for step in self.by_hand],
            "blanks": dict(self.blanks),
            "text": "\n".join(self.lines()),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFile:
    """A file that the server sends a certificate from, named in line `at` of a file; `more`: files
    with issuers that are sent as well. `key_inside`: it holds the private key too. `renewed`: it
    holds another certificate, in date, than the server shows."""

    path: str
    at: tuple[str, int]
    more: tuple[str, ...] = ()
    key_inside: bool = False
    renewed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """A server that runs on this machine, and the site that was looked at, as far as it is found.

    `program`, `config` and `pid_file`: where they are not the usual ones. `site`: its name for
    setup. `stapling`: how it staples, in setup's words. `block`: (file, line) where it begins.
    `test`: the command that tries its configuration, () where there is none that is so short;
    `reload`: the one that takes it up.
    """

    kind: Kind
    pid: int
    reload: tuple[str, ...]
    test: tuple[str, ...] = ()
    program: str = ""
    config: str = ""
    pid_file: str = ""
    site: str = ""
    stapling: str = ""
    block: tuple[str, int] | None = None
    files: tuple[CertificateFile, ...] = ()

    def as_json(self) -> JSON:
        return {
            "pid": self.pid,
            "config": self.config or None,
            "site": self.site or None,
            "stapling": self.stapling or None,
            "certificate_files": [file.path for file in self.files],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSeen:
    """What is known of the program that ends TLS. `given`: the operator named it. `issuers`: the
    file with roots that the operator gave."""

    software: Software = field(default_factory=lambda: Software(name="unknown"))
    here: Here | None = None
    given: bool = False
    issuers: str = ""

    def as_json(self) -> JSON:
        here = self.here
        return {
            **self.software.as_json(),
            "here": None if here is None else here.as_json(),
        }
