"""haproxy.cfg and crt-lists: any text comes back as it was, and edits touch nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.conf.haproxy import dump, parse
from holdfast.conf.haproxy_crt_list import dump as dump_list
from holdfast.conf.haproxy_crt_list import parse as parse_list
from holdfast.conf.haproxy_crt_list import with_option, without_option
from holdfast.conf.text import edited, read_text, written

PIECES = [
    *("global", "defaults", "frontend f", "bind :443 ssl crt", "a.pem", "[", "]", "'", '"', "\\"),
    *(" ", "\t", "\n", "\r\n", "\x0b", "#", "$", "${A", "${A-b}", "}", "[*]", ".if", ".else"),
    *(".elif x", ".endif", "\\x4", "\\x41", "\0", "ocsp-update on", "alpn h2"),
]
TEXTS = st.one_of(
    st.text(),
    st.lists(st.sampled_from(PIECES), max_size=40).map("".join),
    st.binary().map(read_text),
)


@given(TEXTS)
def test_any_text_comes_back(text: str) -> None:
    tree = parse(text)
    assert dump(tree) == text
    assert dump_list(parse_list(text)) == text
    assert written(dump(tree)) == written(text)
    held = [line for section in tree.sections for line in section.lines]
    heads = [section.head for section in tree.sections if section.head is not None]
    assert sorted([*held, *heads], key=lambda line: line.number) == list(tree.lines)


@given(TEXTS)
def test_words_lie_in_their_lines_and_in_order(text: str) -> None:
    for line in parse(text).lines:
        assert text[line.start : line.after] == line.raw
        position = line.start
        for word in line.words:
            assert position <= word.start < word.end <= line.after
            position = word.end


@given(TEXTS)
def test_an_option_put_into_a_crt_list_is_there_and_nothing_else_changed(text: str) -> None:
    entries = parse_list(text)
    for number, entry in enumerate(entries):
        if not entry.file or entry.broken or "ocsp-update" in entry.raw:
            continue
        after = edited(text, [with_option(entry, "ocsp-update", "on")])
        changed = parse_list(after)
        assert changed[number].option("ocsp-update") == "on"
        assert changed[number].file == entry.file
        assert changed[number].filters == entry.filters
        assert [one.raw for one in changed if one.number != entry.number] == [
            one.raw for one in entries if one.number != entry.number
        ]
        back = without_option(changed[number], "ocsp-update")
        assert back is not None
        assert parse_list(edited(after, [back]))[number].options == entry.options
