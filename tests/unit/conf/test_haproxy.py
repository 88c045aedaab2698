"""haproxy.cfg and crt-lists: nothing is lost, and words, sections and branches are HAProxy's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from holdfast.conf.haproxy import Configuration, Variable, dump, parse
from holdfast.conf.haproxy_crt_list import dump as dump_list
from holdfast.conf.haproxy_crt_list import parse as parse_list
from holdfast.conf.haproxy_crt_list import with_option, without_option
from holdfast.conf.text import edited, read_text

CORPUS = Path(__file__).resolve().parents[2] / "corpus" / "haproxy"
FILES = sorted([*CORPUS.glob("*.cfg"), *CORPUS.glob("*.crt-list")])
DEBIAN = sorted(Path("/etc/haproxy").rglob("*.cfg"))

ODD_WORDS = (  # each is the rest of a word that begins with "zz"
    r'a"b c"d',
    r"e'f $x'g",
    r"h\ i\#j",
    r"k\\l\1m",
    r"n\x41o\tp",
    r'"q$HERE"r',
    r'"s${NOT_SET-dflt}t"',
    r"$HERE",
    r'"u\$HERE"',
    r"v\'w\"x",
    '"y\\\'z"',
    r"'a\b'",
    "tab\tb",
    r'c"d#e"f#g',
    r"\$x",
    r'"a\#b"',
    r'"a\ b"',
    "x\\\ty",
    r'a""b',
    "a\x0bb",
    "a\x0cb",
    'é"${NOT_SET}"x',
    '"a\\\'b\\"c"',
    "'a\"b' ",
    r'"${HERE}${HERE}"',
    "a\rb",
)


def test_there_are_enough_odd_files() -> None:
    assert len(FILES) >= 15
    assert DEBIAN, "Debian's own configuration is part of the corpus"


@pytest.mark.parametrize("path", [*FILES, *DEBIAN], ids=lambda path: path.name)
def test_nothing_is_lost(path: Path) -> None:
    text = read_text(path.read_bytes())
    assert dump(parse(text)) == text
    assert dump_list(parse_list(text)) == text
    for line in parse(text).lines:
        for word in line.words:
            assert line.start <= word.start < word.end <= line.after


def test_words_are_those_that_haproxy_reads(tmp_path: Path) -> None:
    """The program itself is asked: it names the first word of a line that it does not know."""
    text = "defaults\n" + "".join(f"  zz{rest}\n" for rest in ODD_WORDS)
    config = tmp_path / "odd.cfg"
    config.write_text(text, newline="")
    told = subprocess.run(
        ["/usr/sbin/haproxy", "-c", "-f", config],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env={"HERE": "/home"},
    ).stderr
    lines = [line for line in parse(text).lines if line.number > 1]
    assert len(lines) == len(ODD_WORDS)
    for line in lines:
        read = line.words[0].filled({"HERE": "/home"})
        assert f":{line.number}] : unknown keyword '{read}' in 'defaults'" in told, line.raw


@pytest.mark.parametrize("text", ["zz'a", 'zz"a', 'zz"a # b'])
def test_a_quote_left_open_is_told(text: str, tmp_path: Path) -> None:
    config = tmp_path / "open.cfg"
    config.write_text(f"defaults\n{text}\n")
    done = subprocess.run(
        ["/usr/sbin/haproxy", "-c", "-f", config], capture_output=True, timeout=20, check=False
    )
    assert b"unmatched quote" in done.stderr
    assert parse(f"defaults\n{text}\n").lines[1].broken
    assert not parse(f"defaults\n{text}{text[2]}\n").lines[1].broken


def of(name: str) -> Configuration:
    return parse(read_text((CORPUS / name).read_bytes()))


def test_sections() -> None:
    kinds = [section.kind for section in of("every-section.cfg").sections]
    assert kinds == [
        *("global", "program", "defaults", "peers", "resolvers", "userlist", "mailers", "cache"),
        *("http-errors", "ring", "log-forward", "fcgi-app", "frontend", "backend", "listen"),
    ]
    named = of("tabs-and-comments.cfg")
    assert [(one.kind, one.name) for one in named.sections] == [
        ("", ""),
        ("global", ""),
        ("defaults", "http-defaults"),
        ("frontend", "fe-tls"),
    ]
    assert [one.kind for one in of("indented-sections.cfg").sections] == [
        *("global", "defaults", "frontend", "backend")
    ]
    assert len(list(of("two-globals.cfg").of("global"))) == 2


def test_words_variables_and_comments() -> None:
    frontend = next(of("quoting.cfg").of("frontend"))
    assert frontend.lines[0].texts == (
        *("bind", ":443", "ssl", "crt", "/etc/haproxy/my certs/a.pem"),
        *("crt", "/etc/haproxy/my certs/b.pem", "crt", "/etc/haproxy/c#1.pem"),
    )
    bind = next(of("environment.cfg").of("frontend")).lines[0]
    assert bind.words[4].parts == (Variable("CERTS", "${CERTS}"), "/www.pem")
    assert bind.words[4].filled({"CERTS": "/c"}) == "/c/www.pem"
    assert bind.words[6].filled({"CERTS": "/c"}) == "/c/api.pem"
    socket = next(line for line in of("environment.cfg").lines if line.texts[:1] == ("stats",))
    assert socket.words[2].filled({}) == "/run/haproxy/admin.sock"
    assert socket.words[2].filled({"RUNTIME_DIRECTORY": ""}) == "/admin.sock", "set, but empty"
    assert [line.texts for line in of("crlf.cfg").of("frontend").__next__().lines] == [
        ("bind", ":443", "ssl", "crt", "/etc/haproxy/www.pem")
    ]


def test_branches() -> None:
    """Which lines count follows from what holds, nesting and `.else` included."""
    tree = of("conditions.cfg")
    newest = {"version_atleast(2.4)", "version_atleast(2.8)", "version_atleast(3.0)"}
    tls = 'feature(OPENSSL) && !streq("$WITH_TLS",no)'
    assert set(tree.conditions) == {*newest, tls, "0", "defined(PLAIN)"}

    def said(*holding: str) -> list[str]:
        taken = [
            line.texts
            for line in tree.lines
            if line.words
            and not line.texts[0].startswith(".")
            and (line.condition is None or line.condition.taken(holding.__contains__))
        ]
        return [
            " ".join(words[:2]) for words in taken if words[0] in ("tune.ssl.default-dh-param",
            "ocsp-update.mode", "never", "bind")
        ]  # fmt: skip

    assert said(*newest, tls) == ["ocsp-update.mode on", "bind :443"]
    assert said("version_atleast(2.8)", tls) == ["tune.ssl.default-dh-param 4096", "bind :443"]
    assert said(tls) == ["tune.ssl.default-dh-param 2048", "bind :443"]
    assert said("defined(PLAIN)", "version_atleast(3.0)") == ["bind :80"]


def test_crt_lists() -> None:
    entries = parse_list((CORPUS / "plain.crt-list").read_text())
    said = {one.file: one for one in entries if one.file}
    assert list(said) == [
        *("default.pem", "www.pem", "mtls.pem", "api.pem", "both.pem", "empty.pem"),
        '"quoted.pem"',
    ]
    assert said["default.pem"].filters == ("!*",)
    assert said["www.pem"].options == ("alpn", "h2,http/1.1")
    assert said["www.pem"].filters[-1] == "!secure.example.org"
    assert said["mtls.pem"].option("verify") == "required"
    assert said["api.pem"].option("ocsp-update") == "on"
    assert said["api.pem"].filters == ("api.example.org",)
    assert said["both.pem"].filters == ("a.example.org", "b.example.org")
    assert not any(one.broken for one in entries)
    broken = parse_list(read_text((CORPUS / "crlf.crt-list").read_bytes()))
    assert [one.file for one in broken if one.broken] == ["c.pem", "e.pem"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a.pem\n", "a.pem [ocsp-update on]\n"),
        ("a.pem a.b !c.d\r\n", "a.pem [ocsp-update on] a.b !c.d\r\n"),
        ("a.pem [alpn h2] a.b", "a.pem [alpn h2 ocsp-update on] a.b"),
        ("a.pem[]", "a.pem[ocsp-update on]"),
    ],
)
def test_an_option_comes_and_goes(before: str, after: str) -> None:
    entry = parse_list(before)[0]
    assert edited(before, [with_option(entry, "ocsp-update", "on")]) == after
    taken = without_option(parse_list(after)[0], "ocsp-update")
    assert taken is not None
    without = edited(after, [taken])
    assert parse_list(without)[0].options == entry.options
    assert without == before.replace("[]", "")


def test_taking_an_option_away_leaves_the_others() -> None:
    text = "a.pem [ocsp-update on  alpn h2] a.b\n"
    taken = without_option(parse_list(text)[0], "ocsp-update")
    assert taken is not None
    assert edited(text, [taken]) == "a.pem [alpn h2] a.b\n"
    assert without_option(parse_list("ocsp-update.pem [alpn h2]\n")[0], "ocsp-update") is None
