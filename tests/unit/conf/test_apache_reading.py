"""Includes, conditions, variables and macros; what Apache itself reads is the oracle in
tests/integration/setup/test_apache_reading.py."""

from __future__ import annotations

import pytest

from holdfast.conf.apache_reading import MAX_DEPTH, Reading
from support.apache_files import reading


def values(said: Reading, name: str) -> list[str]:
    return [one.first for one in said.said if one.name == name]


def test_includes_are_relative_to_the_server_root_of_the_moment() -> None:
    said = reading(
        "Include x/*.conf\nServerRoot /b\nInclude y.conf\nIncludeOptional none/*.conf\n",
        files={"/a/x/2.conf": "T 2\n", "/a/x/1.conf": "T 1\n", "/b/y.conf": "T 3\n"},
    )
    assert values(said, "t") == ["1", "2", "3"]
    assert said.gaps == ()
    assert said.server_root == "/b"


def test_an_include_that_finds_nothing_is_a_gap_at_its_line() -> None:
    said = reading("A\nInclude none/*.conf\nB\n")
    (gap,) = said.gaps
    assert (gap.what, said.line(gap.file, gap.offset)) == ("include", 2)
    assert values(said, "b") == [""]


def test_a_file_that_includes_itself_ends() -> None:
    said = reading("T 1\nInclude 0.conf\n")
    assert [gap.what for gap in said.gaps] == ["depth"]
    assert len(values(said, "t")) == MAX_DEPTH + 1


def test_an_include_in_a_host_belongs_to_it() -> None:
    said = reading("<VirtualHost *:443>\nInclude 1.conf\n</VirtualHost>\nT 2\n", "T 1\n")
    assert [(one.host, one.first) for one in said.said if one.name == "t"] == [
        (0, "1"),
        (None, "2"),
    ]
    found = said.value("t", 0)
    assert found is not None
    assert found.file == "/a/1.conf"


def test_modules_are_known_by_both_names_from_where_they_are_loaded_on() -> None:
    said = reading(
        "<IfModule ssl_module>\nT 1\n</IfModule>\nLoadModule ssl_module modules/mod_ssl.so\n"
        "<IfModule ssl_module>\nT 2\n</IfModule>\n<IfModule mod_ssl.c>\nT 3\n</IfModule>\n"
        "<IfModule http_core.c>\nT 4\n</IfModule>\n",
        built_in=("http_core.c",),
    )
    assert values(said, "t") == ["2", "3", "4"]


@pytest.mark.parametrize(
    ("said", "holds"),
    [
        (">= 2.4", True),
        (">= 2.4.72", False),
        ("< 2.4", False),
        ("!< 2.4", True),
        ("2.4.71", True),
        ("= 2.4.71", True),
        ("~ ^2\\.[34]", True),
        ("!~ ^2\\.[34]", False),
        ("/^2\\.2/", False),
        ("~ (", False),
    ],
)
def test_versions(said: str, holds: bool) -> None:
    text = f"<IfVersion {said}>\nT 1\n</IfVersion>\n"
    assert bool(values(reading(text, version=(2, 4, 71)), "t")) is holds


def test_variables_come_from_define_then_from_the_environment() -> None:
    said = reading(
        "T ${E}\nDefine E mine\nT ${E}\nUnDefine E\nT ${E}\nT ${NONE}x\n",
        environment={"E": "given"},
    )
    assert values(said, "t") == ["given", "mine", "given", "${NONE}x"]


def test_macros_unfold_where_they_are_used_and_lie_where_they_are_written() -> None:
    said = reading(
        "<Macro S $n $name>\n<VirtualHost *:1>\nT $name-$n\n</VirtualHost>\n</Macro>\n"
        "Use S a b\nUSE s c d\n<Macro Loop>\nUse Loop\n</Macro>\nUse Loop\n"
    )
    assert [(one.host, one.first) for one in said.said if one.name == "t"] == [
        (0, "b-a"),
        (1, "d-c"),
    ]
    assert {said.line(one.file, one.node.start) for one in said.said if one.name == "t"} == {3}
    assert len(said.hosts) == 2
