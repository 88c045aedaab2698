"""Apache's configuration as a tree: words as httpd sees them, sections, form."""

from __future__ import annotations

import pytest

from holdfast.conf.apache import (
    Directive,
    Plain,
    Section,
    Stray,
    dump,
    flaws,
    parse,
    statements,
    walk,
)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Timeout 3\n", ["Timeout", "3"]),
        ("\t Timeout\v3 \r\n", ["Timeout", "3"]),
        ('A "b c" d\n', ["A", "b c", "d"]),
        ("A 'b \"c'\n", ["A", 'b "c']),
        ("A \"b\\\"c\" 'd\\'e'\n", ["A", 'b"c', "d'e"]),
        ('A "b\\nc\\\\d"\n', ["A", "b\\nc\\d"]),
        ("A b\\\\c\\d\n", ["A", "b\\c\\d"]),
        ('A b"c d"\n', ["A", 'b"c', 'd"']),
        ('A "b""c"\n', ["A", "b", "c"]),
        ('A ""\n', ["A", ""]),
        ('A "no end\n', ["A", "no end"]),
        ("A b # no comment\n", ["A", "b", "#", "no", "comment"]),
        ("A fo\\\no b\\\r\n c\n", ["A", "foo", "b", "c"]),
        ("A b\\\\\nc\n", ["A", "b\\c"]),
        ("A b\\ \nB", ["A", "b\\"]),
        ("A x\u00a0y\u2028z\n", ["A", "x\u00a0y\u2028z"]),
        ("A x\ry\n", ["A", "x", "y"]),
    ],
)
def test_words(text: str, seen: list[str]) -> None:
    nodes = parse(text)
    first = nodes[0]
    assert isinstance(first, Directive)
    assert [first.name.text, *(word.text for word in first.arguments)] == seen
    assert dump(nodes) == text


def test_a_word_lies_where_it_was_written() -> None:
    text = 'SSLStaplingCache \\\n  "a b" c\\\nd\n'
    (node,) = parse(text)
    assert isinstance(node, Directive)
    name, (first, last) = node.name, node.arguments
    assert text[name.start : name.end] == "SSLStaplingCache"
    assert text[first.start : first.end] == '"a b"'
    assert text[last.start : last.end] == "c\\\nd"
    assert last.text == "cd"


def test_a_comment_goes_on_over_a_backslash() -> None:
    comment, directive = parse("# a \\\nTimeout 3\nTimeout 4\n")
    assert isinstance(comment, Plain)
    assert comment.raw == "# a \\\nTimeout 3\n"
    assert isinstance(directive, Directive)


def test_sections_nest_and_forget_what_follows_their_bracket() -> None:
    text = (
        "<VirtualHost *:443 [::1]:443>\n  <IfModule !mod_x.c> # why\n"
        '    A b\n  </ifmodule>\n  <If "%{X} > 3">\n  </If>\n</VirtualHost>\nC d\n'
    )
    host, last = parse(text)
    assert isinstance(host, Section)
    assert isinstance(last, Directive)
    assert [word.text for word in host.arguments] == ["*:443", "[::1]:443"]
    module, if_ = (node for node in host.body if isinstance(node, Section))
    assert [word.text for word in module.arguments] == ["!mod_x.c"]
    assert [word.text for word in if_.arguments] == ["%{X} > 3"]
    assert text[host.inner : host.inner_end].startswith("  <IfModule")
    assert text[host.inner_end : host.end] == "</VirtualHost>\n"
    assert flaws((host, last)) == ()


def test_a_section_that_is_not_ended_ends_with_the_one_around_it() -> None:
    text = "<A>\n<B>\nc\n</A>\nd\n"
    outer, after = parse(text)
    assert isinstance(outer, Section)
    assert isinstance(after, Directive)
    (inner,) = outer.body
    assert isinstance(inner, Section)
    assert (outer.closed, inner.closed, inner.close) == (True, False, "")
    (flaw,) = flaws((outer, after))
    assert (flaw.offset, flaw.message) == (4, "<B> is not ended")
    assert dump((outer, after)) == text


@pytest.mark.parametrize("end", ["</A >", "</A> junk", "</A", "</B>", "</>"])
def test_an_end_that_ends_nothing_is_stray(end: str) -> None:
    text = f"<A>\nb\n{end}\n"
    nodes = parse(text)
    assert [type(node) for node in walk(nodes)] == [Section, Directive, Stray]
    assert len(flaws(nodes)) == 2
    assert dump(nodes) == text


def test_statements_are_the_words_of_each_line() -> None:
    text = '<VirtualHost *:443>\n# c\nA "b c"\n</VirtualHost>'
    assert list(statements(text)) == [
        ("<VirtualHost", "*:443>"),
        ("A", "b c"),
        ("</VirtualHost>",),
    ]
