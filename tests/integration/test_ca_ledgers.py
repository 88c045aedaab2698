"""`holdfast ca` over a ledger in PostgreSQL, and the way from an index.txt into a database."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest

from holdfast.ocsp.statuses import RevocationReason
from holdfast.pki import pem
from holdfast.seams import LedgerEntry
from holdfast.stores.index_txt import write_index
from holdfast.stores.sql import SqlLedger
from support.cli import Outcome, holdfast
from support.pki import AT, a_root, written
from support.postgres import PostgreSQL
from support.processes import HOLDFAST, first_json, ran, running

END = datetime(2036, 1, 1, tzinfo=UTC)
REVOKED = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
DELAY = 60.0  # seconds: CONTRIBUTING's "configured delay" of `presign --follow` is a minute


def good(*words: object) -> Outcome:
    done = holdfast("ca", *words)
    assert done.code == 0, done.err
    return done


def states(folder: Path, *words: object) -> dict[str, str]:
    rows = good("list", "--ca", folder, *words, "--json").json["certificates"]
    return {row["name"]: row["state"] for row in rows}


def test_a_ca_whose_ledger_is_in_postgresql(tmp_path: Path, postgres: PostgreSQL) -> None:
    """From init to a CRL and an index.txt, and no SQLite file anywhere."""
    url, folder = postgres.fresh(), tmp_path / "ca"
    made = good("init", folder, "--ledger", url, "--intermediate", "--with-signer", "--json").json
    assert made["ledger"] == url
    assert not (folder / "ledger.sqlite").exists()
    assert json.loads((folder / "ca.json").read_text())["ledger"] == url
    for name in ("a.test", "b.test"):
        good("issue", name, "--ca", folder)
    good("revoke", "b.test", "--ca", folder, "--reason", "keyCompromise")
    assert states(folder) == {
        "ca": "valid",
        "signer": "valid",
        "a.test": "valid",
        "b.test": "revoked",
    }
    good("crl", "--ca", folder)
    listed = ran(["openssl", "crl", "-in", folder / "crl.pem", "-noout", "-text"]).stdout
    assert b"Key Compromise" in listed
    good("export", "--ca", folder)
    assert (folder / "index.txt").read_bytes().count(b"R\t") == 1
    good("unrevoke", "b.test", "--ca", folder)
    assert states(folder)["b.test"] == "valid"


def test_two_folders_and_one_database(tmp_path: Path, postgres: PostgreSQL) -> None:
    """Two CAs share it; what one revokes the other does not see."""
    url = postgres.fresh()
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        good("init", folder, "--ledger", url)
        good("issue", "a.test", "--ca", folder)
    good("revoke", "a.test", "--ca", one)
    assert states(one) == {"a.test": "revoked"}
    assert states(two) == {"a.test": "valid"}


def test_the_responder_answers_what_ca_writes_there(tmp_path: Path, postgres: PostgreSQL) -> None:
    """R32."""
    url, folder = postgres.fresh(), tmp_path / "ca"
    good("init", folder, "--ledger", url, "--with-server", "a.test")
    both = tmp_path / "both.pem"
    both.touch(mode=0o600)
    both.write_bytes((folder / "ca.pem").read_bytes() + (folder / "ca.key").read_bytes())
    command = [*HOLDFAST, "responder", "--ca", both, "--ledger", url]
    with running([*command, "--listen", "127.0.0.1:0", "--json"], until=b"}\n") as started:
        answers = first_json(started)["url"]

        def asked() -> str:
            words = ["-issuer", folder / "ca.pem", "-cert", folder / "issued/a.test.pem"]
            told = ran(["openssl", "ocsp", *words, "-url", answers, "-CAfile", folder / "ca.pem"])
            return told.stdout.decode().partition("a.test.pem: ")[2].split()[0]

        assert asked() == "good"
        good("revoke", "a.test", "--ca", folder)
        assert asked() == "revoked"


def test_a_password_is_not_written_down(tmp_path: Path) -> None:
    """The red twin is every URL above."""
    for url in ("postgresql://u:secret@h/d", "postgresql://u@h/d?password=secret"):
        done = holdfast("ca", "init", tmp_path / "ca", "--ledger", url)
        assert done.code == 2
        assert "secret" not in done.err
        assert ".pgpass" in done.err
    assert not (tmp_path / "ca").exists()


def test_a_database_that_does_not_answer_leaves_no_ca(tmp_path: Path) -> None:
    done = holdfast("ca", "init", tmp_path / "ca", "--ledger", "postgresql://u@127.0.0.1:1/d")
    assert done.code != 0
    assert "127.0.0.1:1" in done.err
    assert not (tmp_path / "ca" / "ca.key").exists()


def test_the_option_wins_over_what_is_remembered(tmp_path: Path, postgres: PostgreSQL) -> None:
    folder, url = tmp_path / "ca", postgres.fresh()
    good("init", folder)
    good("issue", "a.test", "--ca", folder)
    good("export", "--ca", folder)
    SqlLedger.create(url, ca=pem.certificates((folder / "ca.pem").read_bytes())[0]).close()
    done = good("import", folder / "index.txt", "--ca", folder, "--ledger", url)
    assert "1 certificates were entered" in done.out
    assert list(states(folder, "--ledger", url).values()) == ["valid"]
    assert holdfast("ca", "--ledger", url, "list", "--ca", folder).out.count("CN=a.test") == 1
    good("revoke", "a.test", "--ca", folder)  # in the folder's own
    assert list(states(folder, "--ledger", url).values()) == ["valid"]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.sqlite"
    server: PostgreSQL = request.getfixturevalue("postgres")
    return server.fresh()


def test_an_index_goes_into_a_database_and_no_folder_is_needed(tmp_path: Path, url: str) -> None:
    ca, _ = written(a_root(), tmp_path, "ca")
    index = tmp_path / "index.txt"
    rows = [LedgerEntry(1, END), LedgerEntry(2, END, REVOKED, RevocationReason.SUPERSEDED)]
    index.write_bytes(write_index(rows, at=AT))
    words = ("import", index, "--certificate", ca, "--ledger", url, "--json")
    assert good(*words, "--dry-run").json["new"] == 2
    assert SqlLedger.find(url, ca=a_root().certificate) is None  # nothing was made
    assert good(*words).json["new"] == 2
    with SqlLedger.open(url, ca=a_root().certificate) as ledger:
        assert list(ledger.entries()) == rows
        rows[0] = LedgerEntry(1, END, REVOKED)
        rows[1] = LedgerEntry(2, END)
        index.write_bytes(write_index([*rows, LedgerEntry(3, END)], at=AT))
        told = good(*words).json
        assert (told["new"], told["revoked"], told["kept"], told["same"]) == (1, 1, 1, 0)
        assert [entry.revoked_at for entry in ledger.entries()] == [REVOKED, REVOKED, None]
    assert good(*words).json["same"] == 2
    refused = holdfast("ca", "import", index, "--certificate", ca)
    assert refused.code == 2
    assert "into which database?" in refused.err


# -- many at once -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "count",
    [5_000, pytest.param(1_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
)
def test_many_rows_changed_at_once_are_seen_in_time(url: str, count: int) -> None:
    """R32: at once by who asks for one, within the delay by who follows what changes."""
    ca = a_root().certificate
    SqlLedger.create(url, ca=ca).close()
    writer, reader = SqlLedger.open(url, ca=ca), SqlLedger.open(url, ca=ca)
    with writer, reader:
        told = writer.merge(LedgerEntry(serial, END) for serial in range(1, count + 1))
        assert told.new == count
        since = reader.revision
        assert reader.changes(since) == (since, ())
        told = writer.merge(LedgerEntry(n, END, REVOKED) for n in range(1, count + 1))
        assert told.revoked == count
        began = time.monotonic()
        for serial in (1, count // 2, count):
            entry = reader.entry(serial)
            assert entry is not None
            assert entry.revoked_at == REVOKED
        seen: set[int] = set()
        while True:
            since, entries = reader.changes(since)
            if not entries:
                break
            assert all(entry.revoked_at == REVOKED for entry in entries)
            seen.update(entry.serial for entry in entries)
        assert seen == set(range(1, count + 1))
        assert time.monotonic() - began < DELAY


@pytest.mark.parametrize("count", [5_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
@pytest.mark.timeout(1800)
def test_one_statement_of_another_program_changes_all(postgres: PostgreSQL, count: int) -> None:
    """One change of all rows, more than a page: each is told once, page by page."""
    url, ca = postgres.fresh(), a_root().certificate
    SqlLedger.create(url, ca=ca).close()
    with SqlLedger.open(url, ca=ca) as ledger:
        postgres.issue_many(url, range(1, count + 1))
        since = ledger.revision
        postgres.revoke_many(url)
        began = time.monotonic()
        entry = ledger.entry(count)
        assert entry is not None
        assert entry.revoked_at == REVOKED
        number = 0
        while True:
            since, entries = ledger.changes(since)
            if not entries:
                break
            number += len(entries)
            assert all(entry.revoked_at == REVOKED for entry in islice(entries, 10))
        assert number == count
        assert time.monotonic() - began < DELAY
