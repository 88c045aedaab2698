"""Apache's editor over any text: nothing is lost, everything knows its place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.conf.apache import Directive, Node, Section, Stray, dump, flaws, parse, walk

PIECES = st.sampled_from(
    [
        *(
            "\n",
            "\r\n",
            "\r",
            "\\\n",
            "\\\r\n",
            "\\",
            " ",
            "\t",
            '"',
            "'",
            "#",
            "<",
            ">",
            "</",
            "${",
        ),
        *("<VirtualHost *:443>\n", "</VirtualHost>\n", "<IfModule !x>\n", "</ifmodule>\r\n"),
        *("SSLEngine on\n", "  # a comment \\\n", 'Define A "b c"\n', "\v", "\x00", "é", "\udcff"),
    ]
)
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join))


@given(TEXTS)
def test_every_text_comes_back(text: str) -> None:
    assert dump(parse(text)) == text


@given(TEXTS)
def test_raw_parts_tile_the_text_and_words_lie_where_they_say(text: str) -> None:
    nodes = parse(text)
    assert _tiles(nodes, 0, text) == len(text)
    for node in walk(nodes):
        if isinstance(node, Directive | Section):
            for word in (node.name, *node.arguments):
                assert node.start <= word.start <= word.end <= node.start + len(node.raw)
            if isinstance(node, Directive) and "\\" not in node.raw:
                assert node.name.text.strip("\"'") in text[node.name.start : node.name.end]


@given(TEXTS)
def test_a_flaw_is_an_unclosed_section_or_a_stray_end(text: str) -> None:
    nodes = parse(text)
    bad = [
        node
        for node in walk(nodes)
        if isinstance(node, Stray) or (isinstance(node, Section) and not node.closed)
    ]
    assert [flaw.offset for flaw in flaws(nodes)] == [node.start for node in bad]


def test_deep_nesting_is_no_deep_recursion() -> None:
    text = "<A>\n" * 5_000 + "</A>\n" * 4_000
    nodes = parse(text)
    assert dump(nodes) == text
    assert len(flaws(nodes)) == 1_000


def _tiles(nodes: tuple[Node, ...], start: int, text: str) -> int:
    for node in nodes:
        assert node.start == start
        assert text[start : start + len(node.raw)] == node.raw
        if isinstance(node, Section):
            assert node.inner == start + len(node.raw)
            inner = _tiles(node.body, node.inner, text)
            assert inner == node.inner_end
            assert text[inner : node.end] == node.close
        start = node.end
    return start
