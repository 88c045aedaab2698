"""mod_md's store as text, what `apache2 -t` says, and the snippet."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from holdfast.ocsp.statuses import Revoked
from holdfast.servers.apache_md import apache_md_snippet, complaint, entry_of, response_in
from support.pki import AT
from support.staples import a_desk

DESK = a_desk("www.example.org")


def test_an_entry_is_read_back() -> None:
    staple = DESK.staple()
    entry = entry_of(staple)
    read = response_in(entry)
    assert read is not None
    assert read.der == staple.der
    assert json.loads(entry)["status"] == "good"
    assert json.loads(entry)["valid"] == {
        "from": "Mon, 01 Jun 2026 12:00:00 GMT",
        "until": "Mon, 08 Jun 2026 12:00:00 GMT",
    }
    revoked = DESK.staple(status=Revoked(AT - timedelta(hours=1), None))
    assert json.loads(entry_of(revoked))["status"] == "revoked"


@pytest.mark.parametrize(
    "entry",
    [b"", b"{", b"[]", b"null", b"{}", b'{"response": 1}', b'{"response": "AAAA"}', b"\xff"],
)
def test_a_broken_entry_holds_nothing(entry: bytes) -> None:
    assert response_in(entry) is None


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "AH00558: apache2: Could not reliably determine the server's name\n"
            "AH00526: Syntax error on line 3 of /etc/apache2/x.conf:\n"
            "Invalid command 'SSLStaplingCahe', perhaps misspelled\n"
            "Action '-t' failed.\nThe Apache error log may have more information.\n",
            "AH00526: Syntax error on line 3 of /etc/apache2/x.conf: "
            "Invalid command 'SSLStaplingCahe', perhaps misspelled",
        ),
        (
            "AH00558: apache2: x\nAH00014: Configuration check failed\n",
            "AH00014: Configuration check failed",
        ),
        ("", ""),
    ],
)
def test_the_complaint_names_file_and_line(said: str, told: str) -> None:
    assert complaint(said) == told


def test_the_snippet_says_where_and_warns() -> None:
    snippet = apache_md_snippet("127.0.0.1:9120", store="/srv/md")
    for line in ("MDStapling on", "MDStapleOthers on", "MDStoreDir /srv/md"):
        assert f"    {line}\n" in snippet
    assert "MDHttpProxy http://127.0.0.1:9120\n" in snippet
    assert "ACME" in snippet
