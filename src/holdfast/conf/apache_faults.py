"""What is wrong with the stapling lines of an Apache configuration, and the edits that mend it.

Laws: pure; a fault is one that was met in the field (a published guide has `SSLStaplingCahe`); its
edits change nothing but the line at fault. Faults hide others: mend, read again, and ask again.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from holdfast.conf.apache import Section
from holdfast.conf.apache_reading import Reading, Said
from holdfast.conf.apache_sites import TlsHost
from holdfast.conf.apache_stapling import (
    STAPLING,
    FileEdit,
    enclosing,
    indent_of,
    provider,
    removal,
)
from holdfast.conf.text import Edit, line_end_of

_SWITCHES = ("sslusestapling", "sslstaplingreturnrespondererrors", "sslstaplingfaketrylater")
_NEARLY = 0.85  # difflib's ratio: one or two letters wrong in twenty
_CACHE = re.compile(r"[A-Za-z]+:\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`edits` mend it; `follows`: it goes away by itself once stapling is set up."""

    code: str
    message: str
    hint: str
    file: str
    offset: int
    fatal: bool = True
    edits: tuple[FileEdit, ...] = ()
    follows: bool = False


def faults(reading: Reading, hosts: tuple[TlsHost, ...]) -> tuple[Fault, ...]:
    """In the order of the configuration; the same place once."""
    found: list[Fault] = [*_gaps(reading)]
    moved = bool(reading.of("sslstaplingcache", None))
    for said in reading.said:
        fault = _misspelled(said)
        if fault is None and said.name in STAPLING:
            fault = _value(reading, said) or _place(reading, said, moved=moved)
            moved = moved or (fault is not None and said.name == "sslstaplingcache")
        if fault is not None:
            found.append(fault)
    if not any(fault.code == "apache-cache-in-virtual-host" for fault in found):
        found += _no_cache(reading, hosts)
    unique = {(one.code, one.file, one.offset): one for one in reversed(found)}
    return tuple(reversed(unique.values()))


def _gaps(reading: Reading) -> Iterator[Fault]:
    for gap in reading.gaps:
        form = gap.what == "form"
        yield Fault(
            code="apache-section-not-ended" if form else "apache-include-missing",
            message=f"Apache cannot read its configuration: {gap.message}",
            hint="end every <Section> with its </Section>, in the same file"
            if form
            else "mend or take out this Include; IncludeOptional may find nothing",
            file=gap.file,
            offset=gap.offset,
        )


def _misspelled(said: Said) -> Fault | None:
    if said.name in STAPLING or "stap" not in said.name or said.name.startswith("md"):
        return None
    near = difflib.get_close_matches(said.name, STAPLING, n=1, cutoff=_NEARLY)
    if not near:
        return None
    word, right = said.node.name, STAPLING[near[0]]
    return Fault(
        code="apache-directive-misspelled",
        message=f"Apache has no directive {word.text}; {right} is meant",
        hint=f"write {right}",
        file=said.file,
        offset=said.node.start,
        edits=(FileEdit(said.file, Edit(word.start, word.end, right)),),
    )


# -- values ------------------------------------------------------------------------------------


def _value(reading: Reading, said: Said) -> Fault | None:
    if said.name == "sslstaplingcache":
        return _cache(reading, said)
    if said.name in _SWITCHES:
        return _switch(said)
    if said.name == "sslstaplingforceurl" and said.first.lower().startswith("https:"):
        word = said.node.arguments[0]
        raw = word.text
        if not raw.lower().startswith("https:"):  # from a variable
            edits: tuple[FileEdit, ...] = ()
        else:
            edits = (FileEdit(said.file, Edit(word.start, word.end, "http" + raw[5:])),)
        return Fault(
            code="apache-https-responder",
            message=f"SSLStaplingForceURL {said.first}: mod_ssl asks by http only; with https "
            "every handshake that asks for a staple breaks, though the configuration test passes",
            hint="write http://, at the responder's port for http",
            file=said.file,
            offset=said.node.start,
            edits=edits,
        )
    return None


def _cache(reading: Reading, said: Said) -> Fault | None:
    words = said.node.arguments
    if len(words) > 1 and not words[1].text.startswith("#"):
        joined = "".join(word.text for word in words)
        if _CACHE.fullmatch(joined):
            edit = Edit(words[0].start, words[-1].end, joined)
            return Fault(
                code="apache-cache-stray-space",
                message=f"SSLStaplingCache {' '.join(said.arguments)}: a stray space, it takes one "
                "argument",
                hint=f"write SSLStaplingCache {joined}",
                file=said.file,
                offset=said.node.start,
                edits=(FileEdit(said.file, edit),),
            )
    kind = said.first.partition(":")[0].lower()
    if len(words) == 1 and kind in ("shmcb", "dbm") and not reading.loaded(f"socache_{kind}"):
        other = provider(reading)
        edits: tuple[FileEdit, ...] = ()
        if other and words[0].text.lower().startswith(f"{kind}:"):
            place = (
                words[0].text.partition(":")[2].rpartition("(")[0] or words[0].text[len(kind) + 1 :]
            )
            size = "(128000)" if other == "shmcb" else ""
            new = f"{other}:{place}{size}"
            edits = (FileEdit(said.file, Edit(words[0].start, words[0].end, new)),)
        return Fault(
            code="apache-cache-module-missing",
            message=f"SSLStaplingCache {said.first}: mod_socache_{kind} is not loaded",
            hint=f"load it (Debian: a2enmod socache_{kind})"
            + (f", or use {other}:" if other else ""),
            file=said.file,
            offset=said.node.start,
            edits=edits,
        )
    return _comment(reading, said)


def _switch(said: Said) -> Fault | None:
    words = said.node.arguments
    if said.first.lower() in ("on", "off"):
        return None  # what follows is passed over, comments too
    plain = [text for word in said.arguments if (text := word.strip("=;:,").lower())]
    edits: tuple[FileEdit, ...] = ()
    if len(plain) == 1 and plain[0] in ("on", "off"):
        edits = (FileEdit(said.file, Edit(words[0].start, words[-1].end, plain[0])),)
    name = STAPLING[said.name]
    return Fault(
        code="apache-value-wrong",
        message=f"{' '.join((name, *said.arguments))}: it takes on or off",
        hint=f"write {name} {plain[0] if edits else 'on'}",
        file=said.file,
        offset=said.node.start,
        edits=edits,
    )


def _comment(reading: Reading, said: Said) -> Fault | None:
    """Apache has comments on lines of their own only."""
    words = said.node.arguments
    if len(words) < 2 or not words[1].text.startswith("#"):
        return None
    text, node = reading.texts[said.file], said.node
    comment = text[words[1].start : words[-1].end]
    above = "" if "\n" in comment else f"{indent_of(node.raw)}{comment}{line_end_of(text)}"
    return Fault(
        code="apache-comment-after-directive",
        message=f"{STAPLING[said.name]}: Apache takes a comment after a directive for arguments",
        hint="put the comment on a line of its own",
        file=said.file,
        offset=said.node.start,
        edits=(
            FileEdit(said.file, Edit(node.start, node.start, above)),
            FileEdit(said.file, Edit(words[0].end, words[-1].end, "")),
        ),
    )


# -- places ------------------------------------------------------------------------------------


def _place(reading: Reading, said: Said, *, moved: bool) -> Fault | None:
    name = STAPLING[said.name]
    if said.name == "sslstaplingcache" and said.host is not None:
        edits = [FileEdit(said.file, removal(said))]
        host = reading.hosts[said.host]
        if not moved and not said.within:
            section = enclosing(reading, said) or host.section
            edits.append(
                FileEdit(host.file, Edit(section.start, section.start, _at(section, said)))
            )
        return Fault(
            code="apache-cache-in-virtual-host",
            message="SSLStaplingCache stands inside a <VirtualHost>; Apache has one cache for all "
            "and takes it only outside",
            hint="move the line out of the <VirtualHost>, above it",
            file=said.file,
            offset=said.node.start,
            edits=tuple(edits),
        )
    if said.within:
        return Fault(
            code="apache-stapling-in-directory",
            message=f"{name} stands inside <{said.within[-1]}>, where Apache refuses it",
            hint="move it to the <VirtualHost>, or take it out",
            file=said.file,
            offset=said.node.start,
            edits=(FileEdit(said.file, removal(said)),),
        )
    return None


def _at(section: Section, said: Said) -> str:
    """The line of `said`, for before `section`."""
    raw = said.node.raw if said.node.raw.endswith("\n") else said.node.raw + "\n"
    return indent_of(section.raw) + raw.lstrip(" \t")


def _no_cache(reading: Reading, hosts: tuple[TlsHost, ...]) -> Iterator[Fault]:
    if reading.of("sslstaplingcache", None):
        return
    for host in hosts:
        said = reading.value("sslusestapling", host.number)
        if host.staples and said is not None:
            yield Fault(
                code="apache-no-cache",
                message="SSLUseStapling is on and there is no SSLStaplingCache: the configuration "
                "test passes, and then Apache does not start (AH01958)",
                hint="add SSLStaplingCache outside every <VirtualHost>",
                file=said.file,
                offset=said.node.start,
                follows=True,
            )
            return
