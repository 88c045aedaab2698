"""Stapling lines that are wrong as they stand."""

from __future__ import annotations

import pytest

from holdfast.conf.nginx_faults import Fault, distance, faults
from holdfast.conf.nginx_reading import MappingFiles, read

NOW = (1, 22, 1)


def found(text: str, *, version: tuple[int, ...] = NOW, **more: str) -> tuple[Fault, ...]:
    texts = {"/n": text} | {f"/{name}": other for name, other in more.items()}
    reading = read("/n", MappingFiles(texts))
    assert reading is not None
    return faults(reading, version=version)


def in_server(line: str) -> str:
    return f"http {{\nserver {{\n{line}\n}}\n}}"


@pytest.mark.parametrize(
    ("line", "code", "mend", "to"),
    [
        ("ssl_staplng on;", "nginx-misspelled", "rename", "ssl_stapling"),
        ("ssl_stappling on;", "nginx-misspelled", "rename", "ssl_stapling"),
        ("ssl_satpling on;", "nginx-misspelled", "rename", "ssl_stapling"),
        ("SSL_Stapling on;", "nginx-misspelled", "rename", "ssl_stapling"),
        ("ssl-stapling-verify on;", "nginx-misspelled", "rename", "ssl_stapling_verify"),
        ("ssl_stapling_verfiy on;", "nginx-misspelled", "rename", "ssl_stapling_verify"),
        (
            "ssl_stapling_respnder http://a/;",
            "nginx-misspelled",
            "rename",
            "ssl_stapling_responder",
        ),
        ("ssl_stapling yes;", "nginx-bad-value", "on", ""),
        ("ssl_stapling no;", "nginx-bad-value", "off", ""),
        ("ssl_stapling;", "nginx-bad-value", "on", ""),
        ("ssl_stapling_responder https://a/;", "nginx-responder-prefix", "remove", ""),
        ("location / { ssl_stapling on; }", "nginx-wrong-context", "remove", ""),
        ("if ($a) { ssl_stapling_verify on; }", "nginx-wrong-context", "remove", ""),
        ("include none;", "nginx-include-missing", None, ""),
        ("root 'a;", "nginx-syntax", None, ""),
    ],
)
def test_one_wrong_line(line: str, code: str, mend: str | None, to: str) -> None:
    (fault,) = found(in_server(line))
    assert (fault.code, fault.mend, fault.to, fault.file, fault.line) == (code, mend, to, "/n", 3)
    assert fault.message
    assert fault.hint


@pytest.mark.parametrize(
    "line",
    [
        "ssl_stapling on;",
        "ssl_stapling OFF;",
        "ssl_stapling_responder HTTP://a/;",
        "ssl_session_tickets on;",
        "ssl_trusted_certificate /a;",
        "ssl_protocols TLSv1.3;",
        "stapling on;",
        "map $a $b { ssl_staplng on; }",
    ],
)
def test_right_or_others_lines_are_no_faults(line: str) -> None:
    assert found(in_server(line)) == ()


def test_a_duplicate_by_an_include_names_it() -> None:
    (fault,) = found(in_server("ssl_stapling on;\ninclude a;"), a="\nssl_stapling on;\n")
    assert (fault.code, fault.file, fault.line) == ("nginx-duplicate", "/a", 2)
    assert "/a is included" in fault.message
    assert found("http { ssl_stapling on; server { ssl_stapling off; } }") == ()


def test_the_stream_module_staples_since_1_27_2() -> None:
    text = "stream { server { ssl_stapling on; } }"
    assert [one.code for one in found(text)] == ["nginx-wrong-context"]
    assert found(text, version=(1, 27, 2)) == ()


def test_a_file_included_twice_is_told_once() -> None:
    text = "http { server { include a; } server { include a; } }"
    assert len(found(text, a="ssl_staplng on;")) == 1


@pytest.mark.parametrize(
    ("one", "other", "far"),
    [("abc", "abc", 0), ("abc", "acb", 1), ("abc", "ab", 1), ("abc", "abcd", 1), ("abc", "xyc", 2)],
)
def test_distance(one: str, other: str, far: int) -> None:
    assert distance(one, other) == distance(other, one) == far
