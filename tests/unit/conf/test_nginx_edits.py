"""Edits of nginx's files: the smallest, like their neighbours, and never another site's."""

from __future__ import annotations

import pytest

from holdfast.conf.nginx import parse, walk
from holdfast.conf.nginx_edits import Edits, removals
from holdfast.conf.nginx_reading import MappingFiles, read
from holdfast.conf.nginx_servers import tls_servers
from holdfast.conf.text import edited


def desk(text: str, *names: str, **more: str) -> Edits:
    """For the sites `names`, all when there are none."""
    texts = {"/n": text} | {f"/{name}": other for name, other in more.items()}
    reading = read("/n", MappingFiles(texts))
    assert reading is not None
    servers = tls_servers(reading)
    chosen = [server for server in servers if not names or server.title in names]
    return Edits(reading, servers, chosen)


def stapled(text: str) -> str:
    edits = desk(text)
    for server in edits.chosen:
        assert edits.holds(server, "ssl_stapling", "on")
        assert edits.holds(server, "ssl_stapling_verify", "on")
    done = edits.files()
    return edited(text, done.get("/n", ()))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (  # after the key, with its indentation
            "http {\n\tserver {\n\t\tlisten 1 ssl;\n\t\tssl_certificate /a;\n"
            "\t\tssl_certificate_key /k; # mine\n\t\troot /;\n\t}\n}\n",
            "http {\n\tserver {\n\t\tlisten 1 ssl;\n\t\tssl_certificate /a;\n"
            "\t\tssl_certificate_key /k; # mine\n\t\tssl_stapling on;\n"
            "\t\tssl_stapling_verify on;\n\t\troot /;\n\t}\n}\n",
        ),
        (  # line ends of Windows
            "http {\r\n server {\r\n  listen 1 ssl;\r\n }\r\n}\r\n",
            "http {\r\n server {\r\n  listen 1 ssl;\r\n  ssl_stapling on;\r\n"
            "  ssl_stapling_verify on;\r\n }\r\n}\r\n",
        ),
        (  # on one line
            "http { server { listen 1 ssl; ssl_certificate /a; root /; } }",
            "http { server { listen 1 ssl; ssl_certificate /a; ssl_stapling on; "
            "ssl_stapling_verify on; root /; } }",
        ),
        (  # several certificates: after the last
            "http { server {\n listen 1 ssl;\n ssl_certificate /a;\n ssl_certificate /b;\n} }",
            "http { server {\n listen 1 ssl;\n ssl_certificate /a;\n ssl_certificate /b;\n"
            " ssl_stapling on;\n ssl_stapling_verify on;\n} }",
        ),
        (  # an argument that is there is changed in its place
            "http { server { listen 1 ssl; ssl_stapling  off ; ssl_stapling_verify on; } }",
            "http { server { listen 1 ssl; ssl_stapling  on ; ssl_stapling_verify on; } }",
        ),
        (  # what is inherited needs nothing
            "http { ssl_stapling on; ssl_stapling_verify on; server { listen 1 ssl; } }",
            "http { ssl_stapling on; ssl_stapling_verify on; server { listen 1 ssl; } }",
        ),
        (  # what is inherited and wrong is overruled for the site alone
            "http { ssl_stapling off; server { listen 1 ssl;\n} }",
            "http { ssl_stapling off; server { listen 1 ssl; ssl_stapling on; "
            "ssl_stapling_verify on;\n} }",
        ),
    ],
)
def test_the_smallest_edit(before: str, after: str) -> None:
    assert stapled(before) == after
    assert stapled(after) == after


def test_a_block_without_a_neighbour_takes_a_step() -> None:
    text = "http {\n  server {\n  include a;\n  }\n}\n"
    edits = desk(text, a="listen 1 ssl;")
    edits.put(edits.chosen[0], "x;")  # type: ignore[index]
    assert edited(text, edits.files()["/n"]) == text.replace("server {\n", "server {\n      x;\n")


def test_lines_of_an_include_go_beside_the_include() -> None:
    text = "http {\n  server {\n    listen 1 ssl;\n    include a;\n    root /;\n  }\n}\n"
    edits = desk(text, a="ssl_certificate /a;")
    edits.put(edits.chosen[0], "x;")  # type: ignore[index]
    assert edited(text, edits.files()["/n"]) == text.replace("include a;\n", "include a;\n    x;\n")


_ONE = "server {{ listen 1 ssl; server_name {0}; include s; }}"
TWO = f"http {{ {_ONE.format('a')} {_ONE.format('b')} }}"


def test_a_line_of_several_sites_is_changed_for_all_or_not_at_all() -> None:
    edits = desk(TWO, "a", s="ssl_stapling off;")
    assert not edits.holds(edits.chosen[0], "ssl_stapling", "on")  # type: ignore[index]
    assert [one.file for one in edits.shared] == ["/s"]
    assert edits.files() == {}
    edits = desk(TWO, s="ssl_stapling off;")
    assert all(edits.holds(server, "ssl_stapling", "on") for server in edits.chosen)
    assert [(edit.new) for edit in edits.files()["/s"]] == ["on"]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a;\n  x 1;\nb;\n", "a;\nb;\n"),
        ("a;\r\n\tx 1;\r\nb;\r\n", "a;\r\nb;\r\n"),
        ("a;\n  x 1; # why\nb;\n", "a;\n   # why\nb;\n"),
        ("a; x 1; b;", "a; b;"),
        ("a; x 1; x 2;\nb;", "a;\nb;"),
        ("x 1;\nx 2;\n", ""),
        ("a;\nx\n 1\n;\nb;", "a;\nb;"),
        ("s { x 1; }", "s { }"),
        ("a;x 1;b;", "a;b;"),
        ("a;\nx 1;", "a;\n"),
    ],
)
def test_what_is_taken_out_leaves_no_empty_line(text: str, left: str) -> None:
    gone = [one for one in walk(parse(text)) if one.name == "x"]
    assert edited(text, removals(text, gone)) == left
