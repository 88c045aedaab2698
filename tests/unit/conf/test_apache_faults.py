"""Faults of stapling lines: found at their place, mended by the smallest edit."""

from __future__ import annotations

import pytest

from holdfast.conf.apache_faults import Fault
from holdfast.conf.apache_reading import Reading
from support.apache_files import SSL, after, faults_of, reading

LISTEN = "Listen 443\n"
CACHE = "SSLStaplingCache shmcb:/run/s(128000)\n"


def host(body: str) -> str:
    return f"<VirtualHost *:443>\n    SSLEngine on\n{body}</VirtualHost>\n"


def one(text: str) -> tuple[Fault, Reading, str]:
    """The only fault, the reading, and the text once it is mended."""
    said = reading(text)
    (fault,) = faults_of(said)
    mended = after(said, fault.edits)
    assert faults_of(mended) == () or not fault.edits
    return fault, said, mended.texts["/a/0.conf"]


@pytest.mark.parametrize(
    ("wrong", "right", "code"),
    [
        ("SSLStaplingCahe shmcb:/s(9)\n", "SSLStaplingCache shmcb:/s(9)\n", "directive-misspelled"),
        ("sslstaplingcach shmcb:/s(9)\n", "SSLStaplingCache shmcb:/s(9)\n", "directive-misspelled"),
        ("SSLUseStappling on\n", "SSLUseStapling on\n", "directive-misspelled"),
        ("SSLStaplingCache shmcb: /s(9)\n", "SSLStaplingCache shmcb:/s(9)\n", "cache-stray-space"),
        ("SSLStaplingCache shmcb:/s (9)\n", "SSLStaplingCache shmcb:/s(9)\n", "cache-stray-space"),
        (
            "SSLStaplingCache shmcb : /s( 9 )\n",
            "SSLStaplingCache shmcb:/s(9)\n",
            "cache-stray-space",
        ),
        (f"{CACHE[:-1]} # ours\n", f"# ours\n{CACHE}", "comment-after-directive"),
        (
            "SSLStaplingCache dbm:/s\n",
            "SSLStaplingCache shmcb:/s(128000)\n",
            "cache-module-missing",
        ),
        ("SSLUseStapling = on\n", "SSLUseStapling on\n", "value-wrong"),
        ("SSLUseStapling on;\n", "SSLUseStapling on\n", "value-wrong"),
        ("SSLStaplingForceURL https://x/\n", "SSLStaplingForceURL http://x/\n", "https-responder"),
    ],
)
def test_a_wrong_line_is_named_and_mended(wrong: str, right: str, code: str) -> None:
    extra = "" if "Cach" in wrong or "Cahe" in wrong or "cach" in wrong else CACHE
    fault, said, mended = one(f"{SSL}{LISTEN}{extra}{wrong}")
    assert fault.code == f"apache-{code}"
    assert fault.fatal
    assert said.texts[fault.file][fault.offset :].startswith(wrong)
    assert mended == f"{SSL}{LISTEN}{extra}{right}"


@pytest.mark.parametrize(
    "line",
    [
        CACHE,
        'SSLStaplingCache "shmcb:/a b/s(128000)"\n',
        "SSLUseStapling On\n",
        "SSLUseStapling off # passed over\n",
        "MDStapling on\n",
        "MDStapleOthers on\n",
        "SSLSessionCache shmcb:/x(5)\n",
        "SSLStaplingForceURL http://https/\n",
    ],
)
def test_a_right_line_is_no_fault(line: str) -> None:
    assert faults_of(reading(f"{SSL}{CACHE}{line}")) == ()


def test_a_value_that_cannot_be_guessed_is_told_and_left() -> None:
    fault, _, _ = one(f"{SSL}{CACHE}SSLUseStapling maybe\n")
    assert (fault.code, fault.edits) == ("apache-value-wrong", ())


def test_a_cache_in_a_host_moves_above_it() -> None:
    fault, said, mended = one(f"{SSL}{LISTEN}" + host("    " + CACHE))
    assert fault.code == "apache-cache-in-virtual-host"
    assert said.line(fault.file, fault.offset) == 6
    assert mended == f"{SSL}{LISTEN}{CACHE}" + host("")


def test_of_caches_in_several_hosts_one_is_kept() -> None:
    said = reading(f"{SSL}{LISTEN}" + host("    " + CACHE) + host("    " + CACHE))
    found = faults_of(said)
    assert [fault.code for fault in found] == ["apache-cache-in-virtual-host"] * 2
    mended = after(said, tuple(edit for fault in found for edit in fault.edits))
    assert mended.texts["/a/0.conf"] == f"{SSL}{LISTEN}{CACHE}" + host("") + host("")


def test_a_cache_in_a_host_beside_one_outside_goes() -> None:
    _, _, mended = one(f"{SSL}{LISTEN}{CACHE}" + host("    " + CACHE))
    assert mended == f"{SSL}{LISTEN}{CACHE}" + host("")


def test_stapling_in_a_directory_goes() -> None:
    inner = "    <Directory />\n        SSLUseStapling on\n    </Directory>\n"
    fault, _, mended = one(f"{SSL}{LISTEN}" + host(inner))
    assert fault.code == "apache-stapling-in-directory"
    assert mended == f"{SSL}{LISTEN}" + host("    <Directory />\n    </Directory>\n")


def test_stapling_without_a_cache() -> None:
    fault, said, _ = one(f"{SSL}{LISTEN}" + host("    SSLUseStapling on\n"))
    assert (fault.code, fault.follows, fault.edits) == ("apache-no-cache", True, ())
    assert said.line(fault.file, fault.offset) == 6


def test_form_and_includes() -> None:
    said = reading("<VirtualHost *:1>\nInclude none.conf\n")
    assert [(fault.code, said.line(fault.file, fault.offset)) for fault in faults_of(said)] == [
        ("apache-section-not-ended", 1),
        ("apache-include-missing", 2),
    ]
