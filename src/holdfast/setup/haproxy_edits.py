"""Edits of HAProxy's files: a line into global, a kind of extra files, an option of a crt-list.

Laws: pure; a new line stands after those that are like it, and is indented as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from holdfast.conf import haproxy
from holdfast.conf.haproxy import Line
from holdfast.conf.haproxy_crt_list import Entry, with_option
from holdfast.conf.text import Edit, line_end_of
from holdfast.setup.haproxy_words import Extra, HAProxyConfiguration

INDENT = "    "
_OFF = re.compile(r"(?<=[\s\[])ocsp-update\s+off(?=[\s\]])")


def into_global(read: HAProxyConfiguration, text: str, *, beside: str) -> tuple[Path, Edit]:
    """`text` as a line of the first global section: after its last line that begins with `beside`,
    else after its last line. Without such a section one is made, at the very beginning."""
    for path, tree in read.trees.items():
        for section in tree.of("global"):
            head = section.head
            assert head is not None
            said = [
                line
                for line in section.lines
                if line.words
                and line.condition == head.condition
                and not line.texts[0].startswith(".")
            ]
            alike = [line for line in said if line.texts[0].startswith(beside)]
            after = (alike or said or [head])[-1]
            indent = after.indent if said else head.indent + INDENT
            return path, _line_after(tree, after, indent + text)
    path, tree = next(iter(read.trees.items()))
    end = line_end_of(haproxy.dump(tree))
    return path, Edit(0, 0, f"global{end}{INDENT}{text}{end}{end}")


def update_all(read: HAProxyConfiguration) -> tuple[Path, Edit]:
    """`ocsp-update.mode on`."""
    if read.update is None:
        return into_global(read, "ocsp-update.mode on", beside="ocsp-update.")
    path, line = read.update
    if len(line.words) < 2:
        return path, Edit(line.end, line.end, " on")
    return path, Edit(line.words[1].start, line.words[1].end, "on")


def with_kind(extra: Extra, kind: str, made: Mapping[Edit, None]) -> Edit:
    """`ssl-load-extra-files` with `kind` too, where `made` was done to it before; `none` goes."""
    first = extra.line.words[1]
    if extra.kinds != {"none"}:
        return Edit(extra.line.end, extra.line.end, f" {kind}")
    if any(edit.start == first.start and edit.new != kind for edit in made):
        return Edit(first.end, first.end, f" {kind}")
    return Edit(first.start, first.end, kind)


def updating(entry: Entry) -> Edit:
    """The line of a crt-list with `ocsp-update on`."""
    found = _OFF.search(entry.raw, entry.file_end - entry.start)
    if entry.option("ocsp-update") == "off" and found is not None:
        return Edit(entry.start + found.start(), entry.start + found.end(), "ocsp-update on")
    return with_option(entry, "ocsp-update", "on")


def _line_after(tree: haproxy.Configuration, line: Line, text: str) -> Edit:
    end = line_end_of(haproxy.dump(tree))
    if line.raw.endswith("\n"):
        return Edit(line.after, line.after, text + end)
    return Edit(line.after, line.after, end + text)
