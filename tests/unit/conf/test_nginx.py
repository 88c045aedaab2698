"""nginx's configuration as text and tree."""

from __future__ import annotations

import pytest

from holdfast.conf.nginx import MAX_DEPTH, Directive, dump, parse, tokens, walk
from holdfast.conf.text import line_of


def words(text: str) -> list[tuple[str, ...]]:
    return [(one.name, *one.args) for one in walk(parse(text))]


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("a", "a"),
        ("'a b'", "a b"),
        ('"a;b{c}#d"', "a;b{c}#d"),
        (r'"a\"b"', 'a"b'),
        (r"'it\'s'", "it's"),
        (r'"\t\r\n\\"', "\t\r\n\\"),
        (r"~\.php$", r"~\.php$"),
        (r"a\ b\;c", r"a\ b\;c"),
        ("a#b", "a#b"),
        ("a}b", "a}b"),
        ("${a}b", "${a}b"),
        ("a${b}$c", "a${b}$c"),
        ('a"b"c', 'a"b"c'),
        ('""', ""),
        ('"a\nb"', "a\nb"),
        ("x\u00a0y", "x\u00a0y"),
    ],
)
def test_words_are_what_nginx_sees(written: str, seen: str) -> None:
    assert words(f"return {written};") == [("return", seen)]
    assert parse(f"return {written};").problems == ()


def test_what_looks_like_a_comment_or_a_block_is_told_from_a_word() -> None:
    assert words("a b#c # d;\n;") == [("a", "b#c")]
    assert words("a b{c d;}") == [("a", "b"), ("c", "d")]
    assert words("if ($a = 'b'){c;}") == [("if", "($a", "=", "b", ")"), ("c",)]


def test_blocks_and_places() -> None:
    text = "http {\n  server { listen 443 ssl; } # end\n}\n"
    tree = parse(text)
    http = next(tree.directives)
    server = next(http.directives)
    listen = next(server.directives)
    assert text[server.start : server.end] == "server { listen 443 ssl; }"
    assert text[listen.start : listen.end] == "listen 443 ssl;"
    assert [text[w.start : w.end] for w in listen.words] == ["listen", "443", "ssl"]
    assert line_of(text, listen.start) == 2
    assert tree.problems == ()


def test_a_lua_block_is_one_token() -> None:
    body = " local a = '}' -- }\n --[[ } ]] b = [=[ } ]] ]=] c = { {} } "
    tree = parse(f"content_by_lua_block {{{body}}} after x;")
    lua, after = tree.directives
    assert isinstance(lua, Directive)
    assert [(node.kind, node.raw) for node in lua.inner or ()] == [("lua", body)]  # type: ignore[union-attr]
    assert (after.name, after.args) == ("after", ("x",))
    assert tree.problems == ()


def test_a_file_of_lua_is_no_block() -> None:
    assert words("content_by_lua_file a.lua; b;") == [("content_by_lua_file", "a.lua"), ("b",)]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a b\nc d;\n}", 3, 'unexpected "}"'),
        ("http {\n a b\n}", 3, 'unexpected "}": the directive before it has no ";"'),
        ("http {\n a b;\n", 1, 'expecting "}"'),
        ("a b;\nc d\n", 2, 'expecting ";"'),
        ("a b;\n;\n", 2, 'unexpected ";"'),
        ("a b;\n{ c; }", 2, 'unexpected "{"'),
        ('a b;\nc "d;\n', 2, "has no end"),
        ("a b;\nc d\\", 2, "has no end"),
        ('a "b"c;', 1, 'unexpected "c" after a closing quote'),
        ("x_by_lua_block {\n { }", 1, "has no end"),
        ("a {" * (MAX_DEPTH + 1) + "}" * (MAX_DEPTH + 1), 1, "nested"),
    ],
)
def test_broken_text_is_told_by_line_and_kept(text: str, line: int, message: str) -> None:
    tree = parse(text)
    assert dump(tree) == text
    first = tree.problems[0]
    assert message in first.message
    assert line_of(text, first.offset) == line


def test_a_hundred_thousand_open_blocks_are_no_recursion() -> None:
    text = "a{" * 100_000
    assert dump(parse(text)) == text


def test_tokens_tile_the_text() -> None:
    text = "a  'b' # c\n{ d e; }"
    position = 0
    for token in tokens(text):
        assert token.start == position
        position = token.end
    assert position == len(text)
