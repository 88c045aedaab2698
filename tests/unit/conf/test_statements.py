"""Words of nginx's, Apache's and HAProxy's configurations, read tolerantly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.conf.statements import apache_statements, haproxy_statements, nginx_statements


def test_nginx() -> None:
    text = """
    # a comment; with { signs }
    http { server { ssl_certificate "/a b/\\"x\\".pem"; # more
      ssl_certificate_key '/k';} }
    """
    assert list(nginx_statements(text)) == [
        ("http", "{"),
        ("server", "{"),
        ("ssl_certificate", '/a b/"x".pem'),
        ("ssl_certificate_key", "/k"),
        ("}",),
        ("}",),
    ]


def test_apache() -> None:
    text = '<VirtualHost *:443>\n # SSLCertificateFile no\n  SSLCertificateFile \\\n "/a b.pem"\n'
    assert list(apache_statements(text)) == [
        ("<VirtualHost", "*:443>"),
        ("SSLCertificateFile", "/a b.pem"),
    ]


def test_haproxy() -> None:
    text = "bind :443 ssl crt \"/a b.pem\" crt /c\\ d.pem # crt no\n# all\nx 'q#' y#z\n"
    assert list(haproxy_statements(text)) == [
        ("bind", ":443", "ssl", "crt", "/a b.pem", "crt", "/c d.pem"),
        ("x", "q#", "y"),
    ]


@given(st.text())
def test_any_text_gives_words_or_none(text: str) -> None:
    for parse in (nginx_statements, apache_statements, haproxy_statements):
        for words in parse(text):
            assert words
