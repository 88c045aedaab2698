"""`holdfast responder` over each kind of ledger, before `openssl ocsp`."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from holdfast.ocsp.statuses import GOOD, Revoked
from holdfast.pki.issue import Authority, Issued, Revocation
from holdfast.seams import LedgerEntry
from holdfast.stores.index_txt import write_index
from holdfast.stores.sql import SqlLedger
from support.answers import an_answer
from support.cli import holdfast
from support.foreign import EJBCA, fill
from support.pki import a_root, a_server, private
from support.postgres import PostgreSQL
from support.processes import HOLDFAST, first_json, ran, running

NOW = datetime.now(UTC).replace(microsecond=0)
BEGIN = NOW - timedelta(days=1)


class World:
    """A CA with one good and one revoked certificate in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca: Authority = a_root(at=BEGIN)
        self.good: Issued = a_server(self.ca, "good.test", at=BEGIN)
        self.revoked: Issued = a_server(self.ca, "bad.test", at=BEGIN)
        (folder / "ca.pem").write_bytes(self.ca.issued.pem)
        private(folder / "ca.key", self.ca.issued.key_pem())
        private(folder / "both.pem", self.ca.issued.pem + self.ca.issued.key_pem())
        for name in ("good", "revoked"):
            (folder / f"{name}.pem").write_bytes(getattr(self, name).pem)

    def file(self, name: str) -> Path:
        return self.folder / name

    @contextmanager
    def responder(self, *words: object, signs: bool = True) -> Iterator[str]:
        ca = self.file("both.pem" if signs else "ca.pem")
        command = [*HOLDFAST, "responder", "--ca", ca, *words]
        command += ["--listen", "127.0.0.1:0", "--json"]
        with running(command, until=b"}\n") as started:
            yield first_json(started)["url"]

    def asked(self, url: str, name: str) -> str:
        """What openssl makes of the answer: good, revoked, unauthorized or trylater."""
        issuer = self.file("ca.pem")
        words = ["-issuer", issuer, "-cert", self.file(f"{name}.pem"), "-url", url]
        done = ran(["openssl", "ocsp", *words, "-CAfile", issuer])
        told = (done.stdout + done.stderr).decode()
        if "Responder Error" in told:
            return told.partition("Responder Error: ")[2].split()[0]
        assert "Response verify OK" in told, told
        return told.partition(f"{name}.pem: ")[2].split()[0]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def a_crl(world: World, *, ends: datetime = NOW + timedelta(days=1), number: int = 1) -> bytes:
    row = Revocation(world.revoked.certificate.serial, NOW - timedelta(hours=2), 1)
    return world.ca.crl([row], this_update=BEGIN, next_update=ends, number=number)


def test_a_crl_that_openssl_made(world: World) -> None:
    """R11: what it does not list is unauthorized, and good when the operator says so."""
    row = LedgerEntry(world.revoked.certificate.serial, NOW + timedelta(days=90), NOW)
    world.file("index.txt").write_bytes(write_index([row], at=NOW))
    world.file("crlnumber").write_text("1000\n")
    world.file("openssl.cnf").write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={world.file('index.txt')}\n"
        f"crlnumber={world.file('crlnumber')}\ndefault_md=sha256\ndefault_crl_days=1\n"
        "crl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid\n"
    )
    words = ["-config", world.file("openssl.cnf"), "-cert", world.file("ca.pem")]
    words += ["-keyfile", world.file("ca.key"), "-out", world.file("ca.crl")]
    made = ran(["openssl", "ca", "-gencrl", *words])
    assert made.returncode == 0, made.stderr
    with world.responder("--crl", world.file("ca.crl")) as url:
        assert world.asked(url, "revoked") == "revoked"
        assert world.asked(url, "good") == "unauthorized"
    with world.responder("--crl", world.file("ca.crl"), "--crl-unlisted", "good") as url:
        assert world.asked(url, "revoked") == "revoked"
        assert world.asked(url, "good") == "good"


def test_a_crl_at_a_url_that_comes_and_goes(world: World) -> None:
    """It starts before its list is to be had, and says tryLater until then."""
    import http.server
    import threading
    from functools import partial

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    site = world.folder / "site"
    site.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/ca.crl"
        with world.responder("--crl", url, "--crl-unlisted", "good") as answers:
            assert world.asked(answers, "good") == "trylater"
        (site / "ca.crl").write_bytes(a_crl(world))
        with world.responder("--crl", url, "--crl-unlisted", "good") as answers:
            assert world.asked(answers, "good") == "good"
            assert world.asked(answers, "revoked") == "revoked"
    finally:
        server.shutdown()
        server.server_close()


def test_an_ended_crl_is_told_before_it_serves(world: World) -> None:
    world.file("ca.crl").write_bytes(a_crl(world, ends=NOW - timedelta(seconds=1)))
    both = world.file("both.pem")
    done = holdfast("responder", "--ca", both, "--crl", world.file("ca.crl"), "--check")
    assert done.code == 2
    assert "the CRL ended at" in done.err


def test_crl_options_that_would_lie_are_refused(world: World) -> None:
    """The red twin: without --never-issued revoked it serves."""
    world.file("ca.crl").write_bytes(a_crl(world))
    words = ["responder", "--ca", world.file("both.pem"), "--crl", world.file("ca.crl"), "--check"]
    assert holdfast(*words).code == 0
    done = holdfast(*words, "--never-issued", "revoked")
    assert done.code == 2
    assert "every valid certificate would be answered revoked" in done.err
    done = holdfast(*words, "--index", world.file("index.txt"))
    assert done.code == 2
    assert "--index and --crl are two ledgers" in done.err
    listed = holdfast(*words, "--crl-unlisted", "good")
    assert listed.code == 0
    assert "not listed" in listed.out


def the_rows(world: World) -> list[LedgerEntry]:
    good, revoked = world.good.certificate, world.revoked.certificate
    return [
        LedgerEntry(good.serial, good.not_after),
        LedgerEntry(revoked.serial, revoked.not_after, NOW),
    ]


def test_a_ledger_in_postgresql(world: World, postgres: PostgreSQL) -> None:
    """R32: what one process revokes, the responder answers next."""
    url = postgres.fresh()
    with SqlLedger.create(url, ca=world.ca.certificate) as ledger:
        for row in the_rows(world):
            ledger.record_entry(row)
        with world.responder("--ledger", url) as answers:
            assert world.asked(answers, "good") == "good"
            assert world.asked(answers, "revoked") == "revoked"
            ledger.revoke(world.good.certificate.serial, at=NOW)
            assert world.asked(answers, "good") == "revoked"


def test_another_cas_database(world: World, postgres: PostgreSQL) -> None:
    url = postgres.fresh()
    fill(url, EJBCA, the_rows(world))
    world.file("ejbca.toml").write_text(EJBCA)
    words = ["--ledger", url, "--ledger-query", world.file("ejbca.toml")]
    with world.responder(*words) as answers:
        assert world.asked(answers, "good") == "good"
        assert world.asked(answers, "revoked") == "revoked"
        fill(url, EJBCA, [])
        assert world.asked(answers, "good") == "unauthorized"
        postgres.run(url, "DROP TABLE CertificateData")
        assert world.asked(answers, "good") == "trylater"
    command = ("responder", "--ca", world.file("both.pem"), *words, "--check")
    done = holdfast(*command)
    assert done.code == 2
    assert "does not exist" in done.err
    fill(url, EJBCA, the_rows(world))
    done = holdfast(*command)
    assert done.code == 0, done.err
    assert done.out.count("clean") == 3


def test_answers_signed_elsewhere(world: World) -> None:
    """R32: no key is there, and what changes is seen by the next question."""
    path = world.file("responses")
    lines = []
    for issued, said in ((world.good, GOOD), (world.revoked, Revoked(NOW))):
        lines.append(base64.b64encode(an_answer(world.ca, issued, said, at=NOW)))
    path.write_bytes(b"\n".join(lines))
    with world.responder("--responses", path, signs=False) as url:
        assert world.asked(url, "good") == "good"
        assert world.asked(url, "revoked") == "revoked"
        path.write_bytes(lines[1])
        assert world.asked(url, "good") == "unauthorized"
        revoked = an_answer(world.ca, world.good, Revoked(NOW), at=NOW + timedelta(minutes=30))
        path.write_bytes(base64.b64encode(revoked))
        assert world.asked(url, "good") == "revoked"
        path.unlink()
        assert world.asked(url, "good") == "trylater"


def test_a_directory_that_openssl_signed(world: World) -> None:
    world.file("index.txt").write_bytes(write_index(the_rows(world), at=NOW))
    folder = world.folder / "ready"
    folder.mkdir()
    for name in ("good", "revoked"):
        words = ["-index", world.file("index.txt"), "-rsigner", world.file("ca.pem")]
        words += ["-rkey", world.file("ca.key"), "-CA", world.file("ca.pem"), "-ndays", "3"]
        asked = world.file(f"{name}.req")
        issuer = ["-issuer", world.file("ca.pem"), "-cert", world.file(f"{name}.pem")]
        assert ran(["openssl", "ocsp", *issuer, "-reqout", asked, "-no_nonce"]).returncode == 0
        words += ["-reqin", asked, "-respout", folder / f"{name}.der"]
        assert ran(["openssl", "ocsp", *words]).returncode == 0
    with world.responder("--responses", folder, signs=False) as url:
        assert world.asked(url, "good") == "good"
        assert world.asked(url, "revoked") == "revoked"
    words = ["responder", "--ca", world.file("ca.pem"), "--responses", folder, "--check"]
    done = holdfast(*words)
    assert done.code == 0, done.err
    assert done.out.count("serial ") == 2
    refused = holdfast(*words, "--key", world.file("ca.key"))
    assert refused.code == 2
    assert "signed already" in refused.err


# The tables that cfssl's migrations make (certdb/sqlite/migrations)
CERTDB = """
CREATE TABLE certificates (
  serial_number blob NOT NULL, authority_key_identifier blob NOT NULL, ca_label blob,
  status blob NOT NULL, reason int, expiry timestamp, revoked_at timestamp, pem blob NOT NULL,
  PRIMARY KEY(serial_number, authority_key_identifier));
CREATE TABLE ocsp_responses (
  serial_number blob NOT NULL, authority_key_identifier blob NOT NULL, body blob NOT NULL,
  expiry timestamp, PRIMARY KEY(serial_number, authority_key_identifier));
"""


def test_a_file_that_cfssl_dumped(world: World) -> None:
    """`cfssl ocsprefresh` signs for its database, `ocspdump` writes the file, as `ocspserve` takes
    it; `ocspsign` revokes one more."""
    with closing(sqlite3.connect(world.file("certs.db"))) as database:
        database.executescript(CERTDB)
        for issued, reason in ((world.good, None), (world.revoked, 1)):
            found = issued.certificate.x509.extensions.get_extension_for_class(
                x509.AuthorityKeyIdentifier
            )
            assert found.value.key_identifier is not None
            row = (
                str(issued.certificate.serial),
                found.value.key_identifier.hex(),
                "good" if reason is None else "revoked",
                reason or 0,
                f"{issued.certificate.not_after:%Y-%m-%d %H:%M:%S}+00:00",
                f"{NOW:%Y-%m-%d %H:%M:%S}+00:00",
                issued.pem.decode(),
            )
            database.execute("INSERT INTO certificates VALUES (?, ?, '', ?, ?, ?, ?, ?)", row)
        database.commit()
    config = world.file("db.json")
    config.write_text(json.dumps({"driver": "sqlite3", "data_source": str(world.file("certs.db"))}))
    keys = ["-ca", world.file("ca.pem"), "-responder", world.file("ca.pem")]
    keys += ["-responder-key", world.file("ca.key"), "-loglevel", "4"]
    signed = ran(["cfssl", "ocsprefresh", "-db-config", config, *keys])
    assert signed.returncode == 0, signed.stderr
    dumped = ran(["cfssl", "ocspdump", "-db-config", config, "-loglevel", "4"])
    path = world.file("responses")
    path.write_bytes(dumped.stdout)
    assert len(dumped.stdout.split()) == 2
    with world.responder("--responses", path, signs=False) as url:
        assert world.asked(url, "good") == "good"
        assert world.asked(url, "revoked") == "revoked"
        words = ["-cert", world.file("good.pem"), "-status", "revoked", "-reason", "4"]
        one = ran(["cfssl", "ocspsign", *keys, *words])
        with path.open("ab") as file:
            file.write(json.loads(one.stdout)["ocspResponse"].encode() + b"\n")
        assert world.asked(url, "good") == "revoked"


def test_responses_of_another_ca_are_told_before_it_serves(world: World) -> None:
    """The red twin of the file that is served."""
    twin = a_root(at=BEGIN, who="another key")
    path = world.file("responses")
    path.write_bytes(base64.b64encode(an_answer(twin, world.good, at=NOW)))
    done = ran([*HOLDFAST, "responder", "--ca", world.file("ca.pem"), "--responses", path])
    assert done.returncode == 2
    assert b"holds no response that CN=Test Root stands for" in done.stderr
