"""Any text at all goes through nginx's parser unchanged, and edits change nothing else."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.conf.nginx import dump, parse, tokens, walk
from holdfast.conf.nginx_edits import Edits, quoted
from holdfast.conf.nginx_reading import MappingFiles, read
from holdfast.conf.nginx_servers import tls_servers
from holdfast.conf.text import edited, read_text, written

PIECES = st.sampled_from(
    [
        *("http", "server", "listen 443 ssl", "ssl_stapling on", "include a", "x_by_lua_block"),
        *("{", "}", ";", " ", "\n", "\r\n", "\t", "#", "'", '"', "\\", "$", "${", "--", "[[", "]]"),
        *("\ufeff", "é", "\udce9", "\x00", "\x0b", "\u2028"),
    ]
)
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=60).map("".join))


@given(TEXTS)
@example("a 'b")
@example("x_by_lua_block {")
def test_dump_of_parse_is_the_text(text: str) -> None:
    tree = parse(text)
    assert dump(tree) == text
    assert "".join(token.raw for token in tokens(text)) == text
    for one in walk(tree):
        assert 0 <= one.start < one.end <= len(text)


@given(st.binary())
def test_bytes_survive(data: bytes) -> None:
    assert written(dump(parse(read_text(data)))) == data


@given(st.text())
def test_a_quoted_word_is_read_back(word: str) -> None:
    only = next(parse(f"name {quoted(word)};").directives)
    assert only.args == (word,)
    assert parse(f"name {quoted(word)};").problems == ()


@given(TEXTS, TEXTS, st.sampled_from(["\n", "\r\n"]))
def test_what_is_put_and_taken_out_leaves_the_rest(before: str, after: str, end: str) -> None:
    """Whatever stands around a server block: put in, taken out, and every byte is as it was."""
    block = f"{end}http {{ server {{{end}\tlisten 1 ssl;{end}\tssl_certificate /a;{end}}} }}{end}"
    text = f"#{before!r}{block}#{after!r}"
    reading = read("/n", MappingFiles({"/n": text}))
    assert reading is not None
    servers = tls_servers(reading)
    edits = Edits(reading, servers, servers)
    assert edits.holds(servers[0], "ssl_stapling", "on")
    there = edited(text, edits.files()["/n"])
    longer = block.replace("/a;", f"/a;{end}\tssl_stapling on;")
    assert there == f"#{before!r}{longer}#{after!r}"
    again = read("/n", MappingFiles({"/n": there}))
    assert again is not None
    server = tls_servers(again)[0]
    back = Edits(again, [server], [server])
    assert back.take(server.block.all("ssl_stapling")[0])
    assert edited(there, back.files()["/n"]) == text


@given(st.dictionaries(st.sampled_from(["/a", "/b", "/n"]), TEXTS, max_size=3))
def test_any_configuration_is_read(texts: dict[str, str]) -> None:
    """Includes of each other and of themselves included."""
    reading = read("/n", MappingFiles(texts))
    assert (reading is None) == ("/n" not in texts)
    if reading is not None:
        tls_servers(reading)
