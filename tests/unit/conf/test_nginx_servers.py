"""nginx's configuration put together, and the TLS sites in it."""

from __future__ import annotations

import pytest

from holdfast.conf.nginx_reading import MAX_NESTED, MappingFiles, Reading, fits, read
from holdfast.conf.nginx_servers import Server, name_in_keeper_include, tls_servers


def reading(main: str, **more: str) -> Reading:
    texts = {f"/etc/nginx/{name.replace('__', '/')}": text for name, text in more.items()}
    found = read("/etc/nginx/nginx.conf", MappingFiles({"/etc/nginx/nginx.conf": main, **texts}))
    assert found is not None
    return found


def servers(http: str, **more: str) -> tuple[Server, ...]:
    return tls_servers(reading(f"http {{ {http} }}", **more))


def only(http: str, **more: str) -> Server:
    (server,) = servers(http, **more)
    return server


CERTIFICATE = "ssl_certificate /a.pem;"


def test_includes_are_relative_to_the_main_files_folder_wherever_they_stand() -> None:
    found = reading(
        "http { include sites/*; }",
        sites__a="server { include snippets/x; }",
        snippets__x="listen 443 ssl; include snippets/y;",
        snippets__y=CERTIFICATE,
        sites__snippets__x="listen 1;",
    )
    (server,) = tls_servers(found)
    (certificate,) = server.certificates
    assert certificate.file == "/etc/nginx/snippets/y"
    assert [one.args for one in certificate.via] == [("snippets/x",), ("snippets/y",)]
    assert list(found.trees) == [
        f"/etc/nginx/{name}" for name in ("nginx.conf", "sites/a", "snippets/x", "snippets/y")
    ]


def test_globs_take_no_hidden_files_and_are_sorted() -> None:
    found = reading(
        "include d/*.conf*;", **{"d__b.conf": "b;", "d__a.confx": "a;", "d__.c.conf": ""}
    )
    assert [one.name for one in found.main.statements] == ["include", "a", "b"]
    assert found.missing == []
    assert fits("/d/a.conf", "/d/[a-c].conf")
    assert not fits("/d/e/a.conf", "/d/*.conf")


def test_what_cannot_be_included_is_told() -> None:
    found = reading("include none; include no*;")
    assert [(one.file, one.problem) for one in found.missing] == [
        ("/etc/nginx/none", "cannot be read")
    ]


def test_a_file_that_includes_itself_ends() -> None:
    found = reading("include a; include b;", a="include a; x;", b="c { include b; }")
    assert {one.file for one in found.missing} == {"/etc/nginx/a", "/etc/nginx/b"}
    assert len(found.main.all("x")) <= MAX_NESTED


@pytest.mark.parametrize(
    ("listen", "reached"),
    [
        ("443 ssl", ("127.0.0.1", 443)),
        ("*:8443 ssl http2", ("127.0.0.1", 8443)),
        ("[::]:443 ssl", ("::1", 443)),
        ("[2001:db8::1]:444 ssl", ("2001:db8::1", 444)),
        ("192.0.2.1:443 ssl", ("192.0.2.1", 443)),
        ("www.test:443 ssl", ("www.test", 443)),
        ("192.0.2.1 ssl", ("192.0.2.1", 80)),
    ],
)
def test_where_a_site_listens(listen: str, reached: tuple[str, int]) -> None:
    server = only(f"server {{ listen {listen}; }}")
    assert [one.key for one in server.listens] == [reached]


def test_tls_is_the_addresss() -> None:
    one, two = servers(
        "server { listen 443 ssl; server_name a; } server { listen 443; server_name b; }"
        "server { listen 80; }"
    )
    assert (one.title, two.title) == ("a", "b")
    assert (one.default, two.default) == (True, False)
    assert only("server { listen 443; ssl on; }").listens[0].tls


def test_the_default_server_is_the_said_one() -> None:
    one, two = servers("server { listen 443 ssl; } server { listen 443 ssl default_server; }")
    assert (one.default, two.default) == (False, True)


def test_other_blocks_are_no_sites() -> None:
    found = reading("stream { server { listen 443 ssl; } } mail { server { listen 993 ssl; } }")
    assert tls_servers(found) == ()


@pytest.mark.parametrize(
    ("names", "asked", "title"),
    [
        ("_", None, "*:443"),
        ("a.test b.test", "a.test", "a.test"),
        (".a.test", "a.test", "a.test"),
        ("*.a.test", "holdfast.a.test", "*.a.test"),
        ("mail.*", "mail.holdfast", "mail.*"),
        ('"~^(?<x>.+)\\.test$" z.test', "z.test", r"~^(?<x>.+)\.test$"),
        ('"~^x$"', None, "~^x$"),
    ],
)
def test_the_name_that_leads_there(names: str, asked: str | None, title: str) -> None:
    server = only(f"server {{ listen 443 ssl; server_name {names}; }}")
    assert (server.asked_name, server.title) == (asked, title)


@pytest.mark.parametrize(
    ("http", "own", "verifies"),
    [
        ("", "", False),
        ("", "ssl_verify_client off;", False),
        ("", "ssl_verify_client on;", True),
        ("ssl_verify_client on;", "", True),
        ("ssl_verify_client on;", "ssl_verify_client off;", False),
        ("", "ssl_verify_client optional;", True),
        ("", "ssl_verify_client optional_no_ca;", True),
        ("", "include v;", True),
    ],
)
def test_who_verifies_clients(http: str, own: str, verifies: bool) -> None:
    server = only(
        f"{http} ssl_client_certificate /c; ssl_trusted_certificate /t; "
        f"server {{ listen 443 ssl; {own} }}",
        v="ssl_verify_client on;",
    )
    assert server.verifies_clients is verifies
    assert server.trust_files == (("/t", "/c") if verifies else ("/t",))


def test_what_a_block_says_itself_replaces_what_is_said_above() -> None:
    server = only(
        f"{CERTIFICATE} ssl_stapling on; server {{ listen 443 ssl; ssl_certificate /b.pem; "
        "ssl_certificate /c.pem; }"
    )
    assert [one.args for one in server.certificates] == [("/b.pem",), ("/c.pem",)]
    assert server.on
    assert not server.verified


def test_a_keepers_include_is_known_by_its_folder() -> None:
    assert name_in_keeper_include("/etc/nginx/holdfast/www.conf*", "/etc/nginx/holdfast") == "www"
    assert name_in_keeper_include("/etc/nginx/other/www.conf*", "/etc/nginx/holdfast") is None
    assert name_in_keeper_include("/etc/nginx/holdfast/www.conf", "/etc/nginx/holdfast") is None
