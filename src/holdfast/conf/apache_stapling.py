"""The smallest edits that make Apache's sites staple, or stop.

Laws: pure; only stapling directives are written, changed or removed, never one about trust. A host
is changed within its own section, so that a file which several hosts include stays as it is. New
lines are indented and ended as their neighbours are. Values that are right are left alone, so that
the edits of an edited configuration are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from holdfast.conf.apache import SPACE, Section
from holdfast.conf.apache_reading import Reading, Said
from holdfast.conf.apache_sites import TlsHost
from holdfast.conf.text import Edit, line_end_of

CACHE_BYTES = 128_000
CACHE_TIMEOUT = 20  # seconds; see docs/how-to/apache-with-the-keeper.md for these
NATIVE = (
    # A handshake waits for the responder: 10 s by default, and everybody's wait.
    ("SSLStaplingResponderTimeout", "5"),
    # Never tryLater in a handshake, which clients refuse. Both are needed.
    ("SSLStaplingReturnResponderErrors", "off"),
    ("SSLStaplingFakeTryLater", "off"),
)
STAPLING = {
    name.lower(): name
    for name in (
        "SSLUseStapling",
        "SSLStaplingCache",
        "SSLStaplingResponseTimeSkew",
        "SSLStaplingResponderTimeout",
        "SSLStaplingResponseMaxAge",
        "SSLStaplingStandardCacheTimeout",
        "SSLStaplingReturnResponderErrors",
        "SSLStaplingFakeTryLater",
        "SSLStaplingErrorCacheTimeout",
        "SSLStaplingForceURL",
    )
}
_SITE = ("sslengine", "sslcertificatefile", "sslcertificatekeyfile", "sslcertificatechainfile")
_NO_FOLDER = ("", ".")


def keeper_values(url: str) -> tuple[tuple[str, str], ...]:
    """What mod_ssl needs to send what the keeper holds, and nothing else."""
    return (
        ("SSLStaplingForceURL", url),
        ("SSLStaplingStandardCacheTimeout", str(CACHE_TIMEOUT)),
        ("SSLStaplingErrorCacheTimeout", "1"),
        ("SSLStaplingResponseTimeSkew", "0"),
        ("SSLStaplingReturnResponderErrors", "off"),
        ("SSLStaplingFakeTryLater", "off"),
        ("SSLStaplingResponderTimeout", "1"),
    )


@dataclass(frozen=True, slots=True, order=True)
class FileEdit:
    """An edit of one of the files."""

    file: str
    edit: Edit


def stapling(
    reading: Reading, chosen: Sequence[TlsHost], *, every: bool, keeper_url: str = ""
) -> tuple[FileEdit, ...]:
    """Make `chosen` staple, which are `every` TLS site or not. `keeper_url`: "" for native mode,
    where what the operator said stays; with the keeper the values are its."""
    edits: list[FileEdit] = []
    globally: list[tuple[str, str]] = []
    own: dict[TlsHost, list[tuple[str, str]]] = {host: [] for host in chosen}
    for host in chosen:
        if not host.staples:
            _say(reading, host, ("SSLUseStapling", "on"), edits, own[host])
    for name, value in keeper_values(keeper_url) if keeper_url else NATIVE:
        for host in chosen:
            said = reading.value(name.lower(), host.number)
            if said is not None and (not keeper_url or said.first.lower() == value.lower()):
                continue
            if said is not None and said.host is not None:
                _say(reading, host, (name, value), edits, own[host])
            elif keeper_url and not every and host.number is not None:
                own[host].append((name, value))
            elif said is not None:
                edits.append(FileEdit(said.file, _value(said, value)))
            elif (name, value) not in globally:
                globally.append((name, value))
    for host in chosen:
        edits += _in_host(reading, host, own[host])
    if chosen:
        edits += _in_main(reading, globally)
    return tuple(
        sorted(dict.fromkeys(edits), key=lambda one: (one.file, one.edit.start, one.edit.end))
    )


def provider(reading: Reading) -> str:
    """The kind of cache that Apache has a module for, "" when there is none."""
    return next((kind for kind in ("shmcb", "dbm") if reading.loaded(f"socache_{kind}")), "")


def cache_value(reading: Reading) -> str:
    """What SSLStaplingCache should say; "" when no module could hold a cache."""
    kind = provider(reading)
    place = f"{_run_folder(reading)}ssl_stapling"
    size = f"({CACHE_BYTES})" if kind == "shmcb" else ""
    value = f"{kind}:{place}{size}"
    return "" if not kind else f'"{value}"' if any(c in SPACE for c in value) else value


def stapling_lines(reading: Reading, number: int | None) -> tuple[Said, ...]:
    """The stapling directives at the level of a host, or of the main server."""
    return tuple(
        one
        for name in STAPLING
        for one in reading.of(name, number)
        if number is None or _within(reading, number, one)
    )


def pruned(reading: Reading, dead: Sequence[TlsHost], *, every: bool) -> tuple[FileEdit, ...]:
    """Take the stapling lines of `dead` out; the main server's too where no other site needs them,
    else a site that has them from there is told off."""
    edits: list[FileEdit] = []
    for host in dead:
        if host.number is None:
            continue
        lines = stapling_lines(reading, host.number)
        edits += [FileEdit(one.file, removal(one)) for one in lines]
        inherited = reading.of("sslusestapling", None)
        if not every and inherited and inherited[-1].first.lower() == "on":
            switches = [one for one in lines if one.name == "sslusestapling"]
            if switches and switches[-1].first.lower() == "off":
                edits.remove(FileEdit(switches[-1].file, removal(switches[-1])))
            else:
                edits += _in_host(reading, host, [("SSLUseStapling", "off")])
    if every and dead:
        edits += [FileEdit(one.file, removal(one)) for one in stapling_lines(reading, None)]
    return tuple(
        sorted(dict.fromkeys(edits), key=lambda one: (one.file, one.edit.start, one.edit.end))
    )


def beside_certificate(
    reading: Reading, host: TlsHost, line: tuple[str, str]
) -> tuple[FileEdit, ...]:
    """Put a line to those that name the host's certificate, in its own section."""
    return tuple(_in_host(reading, host, [line]))


def removal(said: Said) -> Edit:
    """The whole line, or lines, gone."""
    return Edit(said.node.start, said.node.end, "")


def indent_of(raw: str) -> str:
    return raw[: len(raw) - len(raw.lstrip(" \t"))]


# -- where lines go ----------------------------------------------------------------------------


def _say(
    reading: Reading,
    host: TlsHost,
    line: tuple[str, str],
    edits: list[FileEdit],
    new: list[tuple[str, str]],
) -> None:
    """Let `host` say `line`: by its own directive that is there, else by a new one."""
    name, value = line
    said = reading.of(name.lower(), host.number)
    if said and (host.number is None or _within(reading, host.number, said[-1])):
        edits.append(FileEdit(said[-1].file, _value(said[-1], value)))
    else:
        new.append(line)


def _value(said: Said, value: str) -> Edit:
    words = said.node.arguments
    if not words:
        return Edit(said.node.name.end, said.node.name.end, f" {value}")
    return Edit(words[0].start, words[-1].end, value)


def _within(reading: Reading, number: int, said: Said) -> bool:
    host = reading.hosts[number]
    section = host.section
    return said.file == host.file and section.start <= said.node.start < section.end


def _in_host(
    reading: Reading, host: TlsHost, lines: Sequence[tuple[str, str]]
) -> Iterator[FileEdit]:
    if not lines:
        return
    anchors = [
        one
        for name in _SITE
        for one in reading.of(name, host.number)
        if host.number is None or _within(reading, host.number, one)
    ]
    # what an included file says of it holds until it is said again, so after it
    later = [
        said[-1]
        for name, _ in lines
        if (said := reading.of(name.lower(), host.number)) and host.number is not None
    ]
    if host.number is None:
        last = max(anchors, key=reading.said.index)
        yield _after(reading, last, lines)
        return
    at = reading.hosts[host.number]
    if anchors and not later:
        yield _after(reading, max(anchors, key=lambda one: one.node.start), lines)
        return
    text, offset = reading.texts[at.file], at.section.inner_end if later else at.section.inner
    end = line_end_of(text)
    indent = next(
        (indent_of(node.raw) for node in at.section.body if node.raw.strip()),
        indent_of(at.section.raw) + "    ",
    )
    yield _lines(at.file, text, Edit(offset, offset, end), lines, indent)


def _in_main(reading: Reading, lines: Sequence[tuple[str, str]]) -> Iterator[FileEdit]:
    """The cache if there is none, and `lines`: beside the session cache, else at the end of the
    main file."""
    caches = reading.of("sslstaplingcache", None)
    value = cache_value(reading)
    if not caches and value:
        lines = [("SSLStaplingCache", value), *lines]
    if not lines:
        return
    if caches:
        yield _after(reading, caches[-1], lines)
        return
    beside = [*reading.of("sslsessioncache", None)[-1:]]
    beside += [
        one
        for one in reading.of("sslsessioncachetimeout", None)
        if beside and one.file == beside[0].file and one.node.start == beside[0].node.end
    ]
    if beside:
        yield _after(reading, beside[-1], lines)
        return
    text = reading.texts[reading.main]
    end = line_end_of(text)
    before = "" if not text or text.endswith("\n") else end
    body = "".join(f"    {name} {value}{end}" for name, value in lines)
    new = f"{before}<IfModule mod_ssl.c>{end}{body}</IfModule>{end}"
    yield FileEdit(reading.main, Edit(len(text), len(text), new))


def _after(reading: Reading, said: Said, lines: Iterable[tuple[str, str]]) -> FileEdit:
    raw, text = said.node.raw, reading.texts[said.file]
    end = "\r\n" if raw.endswith("\r\n") else "\n" if raw.endswith("\n") else line_end_of(text)
    return _lines(said.file, text, Edit(said.node.end, said.node.end, end), lines, indent_of(raw))


def _lines(
    file: str, text: str, at: Edit, lines: Iterable[tuple[str, str]], indent: str
) -> FileEdit:
    """`lines` at the place of `at`, whose text is how they end."""
    before = "" if not at.start or text[at.start - 1] == "\n" else at.new
    new = before + "".join(f"{indent}{name} {value}{at.new}" for name, value in lines)
    return FileEdit(file, Edit(at.start, at.end, new))


# -- the run folder ----------------------------------------------------------------------------


def _run_folder(reading: Reading) -> str:
    """With its slash; as the session cache has it, else where the distribution keeps such files."""
    for one in reversed(reading.of("sslsessioncache", None)):
        written = one.node.arguments[0].text if one.node.arguments else ""
        kind, colon, path = written.partition(":")
        if colon and kind in ("shmcb", "shm", "dbm", "shmht") and "/" in path:
            return path[: path.rindex("/") + 1]
    if reading.variables.get("APACHE_RUN_DIR"):
        return "${APACHE_RUN_DIR}/"
    for one in reversed(reading.of("defaultruntimedir", None)):
        if one.first:
            return one.first.rstrip("/") + "/"
    for one in reversed(reading.of("pidfile", None)):
        folder = one.first.rpartition("/")[0]
        if folder not in _NO_FOLDER:
            return folder + "/"
    return "logs/"


def enclosing(reading: Reading, said: Said) -> Section | None:
    """The virtual host that `said` is written in."""
    if said.host is None or not _within(reading, said.host, said):
        return None
    return reading.hosts[said.host].section
