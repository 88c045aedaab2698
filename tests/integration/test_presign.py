"""`holdfast presign` as an operator runs it: filled, gone on with, followed, and never a wrong
answer left (R11, R14, R15, R28, R29, R30, R32)."""

from __future__ import annotations

import os
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.ocsp.certid import CertID, ca_tag, serial_octets
from holdfast.ocsp.response import Response
from holdfast.pki.certificate import Certificate
from holdfast.pki.issue import Revocation
from holdfast.stores.answers import Answers
from holdfast.stores.sql import SqlLedger
from support.cli import holdfast
from support.faketime import environment
from support.pki import a_root, a_server, a_signer, private
from support.presigned import BEGIN, END, NOW, Presigned, a_presigned, soon
from support.processes import HOLDFAST, ran, running

COUNTED = ("listed", "without", "signed", "kept", "dropped")


def counts(found: dict[str, int]) -> tuple[int, ...]:
    return tuple(found[name] for name in COUNTED)


def children(pid: int) -> list[int]:
    told = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in told.split()]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_all_are_signed_then_only_what_changed(tmp_path: Path) -> None:
    """R32: each is what the ledger says; what is not in the ledger is not there (R11)."""
    world = a_presigned(tmp_path, 1000)
    serials = list(world.entries)
    world.revoke(serials[7])
    world.issue([99], ends=NOW - timedelta(hours=1))
    world.write()
    assert counts(world.sign()) == (1000, 1, 1000, 0, 0)
    with Answers(world.store) as shelf:
        said = {serial: world.says(shelf, serial) for serial in world.entries}
        assert [serial for serial, word in said.items() if word == "revoked"] == [serials[7]]
        assert said[99] == "none"
        assert sum(word == "good" for word in said.values()) == 999
        assert world.says(shelf, 12345) == "none"
        assert world.store.stat().st_size / 1000 < 450
    assert counts(world.sign()) == (1000, 1, 0, 1000, 0)
    world.revoke(serials[500])
    del world.entries[serials[600]]
    world.issue([3, 2**150])
    world.write()
    assert counts(world.sign()) == (1001, 1, 3, 998, 1)
    with Answers(world.store) as shelf:
        assert world.says(shelf, serials[500]) == "revoked"
        assert world.says(shelf, serials[600]) == "none"
        assert {world.says(shelf, serial) for serial in (3, 2**150, serials[0])} == {"good"}
    assert counts(world.sign("--ended")) == (1002, 0, 1, 1001, 0)
    assert counts(world.sign("--anew")) == (1001, 1, 1001, 0, 1)


def test_r29_only_what_is_due_is_signed_again(tmp_path: Path) -> None:
    """Five of twelve hours: half, less the hour ahead. Four hours before, nothing is."""
    world = a_presigned(tmp_path, 100)
    assert world.sign()["signed"] == 100
    for hours, signed in ((4.9, 0), (5.1, 100)):
        then = datetime.now(UTC) + timedelta(hours=hours)
        done = subprocess.run(
            [*world.command(), "--json"], env=environment(then), capture_output=True, check=True
        )
        assert b'"signed": %d,' % signed in done.stdout
    with Answers(world.store) as shelf:
        for serial in world.entries:
            verdict = world.judged(shelf, serial, then + timedelta(hours=11.9))
            assert verdict is not None
            assert verdict.good


def test_r28_answers_for_clients_of_either_hash(tmp_path: Path) -> None:
    world = a_presigned(tmp_path, 5)
    world.sign()
    assert world.sign("--hash", "sha256", "--hash", "sha1")["signed"] == 5
    with Answers(world.store) as shelf:
        for serial in world.entries:
            held = shelf.held(ca_tag(world.ca.certificate), serial_octets(serial))
            assert held is not None
            basic = Response.parse(held.der).basic
            assert basic is not None
            assert [one.certid for one in basic.singles] == [
                CertID.of(serial, world.ca.certificate, name) for name in ("sha1", "sha256")
            ]


def test_killed_it_loses_nothing_and_the_next_run_goes_on(tmp_path: Path) -> None:
    """kill -9 while it signs: what is there is whole and right, the rest is signed by the next."""
    world = a_presigned(tmp_path, 15_000)
    child = subprocess.Popen([*world.command("--processes", 2)], stdout=subprocess.DEVNULL)
    with Answers(world.store) as shelf:
        soon(lambda: world.count(shelf) > 500, within=40)
        workers = children(child.pid)
        child.kill()
        child.wait()
        assert len(workers) == 2
        soon(lambda: not any(alive(pid) for pid in workers))  # nobody goes on without it
        held = world.count(shelf)
        assert 500 < held < 15_000
        order = sorted(world.entries)
        assert {world.says(shelf, serial) for serial in order[:held:97]} == {"good"}
        assert world.says(shelf, order[held]) == "none"
    done = world.sign()
    assert (done["signed"], done["kept"]) == (15_000 - held, held)
    assert world.store.stat().st_size / 15_000 < 450


def test_a_signing_process_that_is_killed_is_told_and_loses_nothing(tmp_path: Path) -> None:
    world = a_presigned(tmp_path, 15_000)
    child = subprocess.Popen([*world.command("--processes", 2)], stderr=subprocess.PIPE)
    with Answers(world.store) as shelf:
        soon(lambda: world.count(shelf) > 500, within=40)
        os.kill(children(child.pid)[0], signal.SIGKILL)
        said = child.communicate(timeout=30)[1]
        held = world.count(shelf)
    assert child.returncode == 3
    assert b"a signing process ended by signal 9" in said
    assert b"run it again" in said
    done = world.sign()
    assert (done["signed"], done["kept"]) == (15_000 - held, held)


def test_following_ends_with_its_signing_processes(tmp_path: Path) -> None:
    """So that the service manager starts it anew."""
    world = a_presigned(tmp_path, 10)
    command = world.command("--follow", "--delay", "1s", "--processes", 2)
    child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    with Answers(world.store) as shelf:
        soon(lambda: world.count(shelf) == 10)
        for pid in children(child.pid):
            os.kill(pid, signal.SIGKILL)
        world.revoke(min(world.entries))
        world.write()
        said = child.communicate(timeout=30)[1]
    assert child.returncode == 3
    assert b"a signing process ended by signal 9" in said


FULL = """
mount -t tmpfs -o size=600k,mode=755 tmpfs disk
"$@"; echo "first $?"
mount -o remount,size=20m disk
"$@" --json; echo "second $?"
"""


def test_a_full_disk_is_a_clear_error_and_the_run_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    world = a_presigned(tmp_path, 5000)
    (tmp_path / "disk").mkdir()
    command = [str(word).replace("answers.lmdb", "disk/answers.lmdb") for word in world.command()]
    done = ran(["unshare", "--mount", "sh", "-c", FULL, "sh", *command], cwd=tmp_path, timeout=90)
    assert b"first 2" in done.stdout
    assert b"second 0" in done.stdout
    assert b"disk/answers.lmdb: No space left on device" in done.stderr
    assert b"make room on that file system" in done.stderr
    assert b"Traceback" not in done.stderr
    kept = int(done.stdout.partition(b'"kept": ')[2].partition(b",")[0])
    signed = int(done.stdout.partition(b'"signed": ')[2].partition(b",")[0])
    assert kept > 0
    assert kept + signed == 5000


def test_two_at_once_for_one_ca_are_refused(tmp_path: Path) -> None:
    world = a_presigned(tmp_path, 3)
    with running([*world.command("--follow"), "--delay", "2s"]):
        done = ran(world.command())
    assert done.returncode == 2
    assert b"another `holdfast presign` fills it for the same CA" in done.stderr


@pytest.mark.parametrize("kind", ["index", "database"])
def test_r32_what_changes_is_in_the_store_within_the_delay(tmp_path: Path, kind: str) -> None:
    """Revoked, issued and taken back, while another process reads: within the two seconds that
    were asked for, and what the machine needs to sign."""
    world = a_presigned(tmp_path, 50)
    first, second = sorted(world.entries)[:2]
    ledger: tuple[object, ...] = ()
    if kind == "database":
        url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
        database = SqlLedger.create(url, ca=world.ca.certificate)
        for entry in world.entries.values():
            database.record_entry(entry)
        ledger = ("--ledger", url)
    with (
        running([*world.command("--follow", "--delay", "2s", ledger=ledger)]),
        Answers(world.store) as shelf,
    ):
        soon(lambda: world.count(shelf) == 50)
        assert world.says(shelf, first) == "good"
        if kind == "database":
            database.revoke(first, at=NOW)
        else:
            world.revoke(first)
            world.write()
        assert soon(lambda: world.says(shelf, first) == "revoked") < 4
        world.issue([77])
        if kind == "database":
            database.record_entry(world.entries[77])
            database.unrevoke(first)
        else:
            world.issue([first])
            world.write()
        assert soon(lambda: world.says(shelf, 77) == "good") < 4
        soon(lambda: world.says(shelf, first) == "good")
        assert world.says(shelf, second) == "good"
        compared = shelf.compared(ca_tag(world.ca.certificate))
        assert compared is not None
        soon(lambda: (shelf.compared(ca_tag(world.ca.certificate)) or 0) > compared)


def test_r32_a_revocation_does_not_wait_for_a_long_run_to_end(tmp_path: Path) -> None:
    """A slow key signs thousands: what is revoked meanwhile is not good until the end of that."""
    ca = a_root("Slow", key_type="rsa-4096", at=BEGIN)
    private(tmp_path / "both.pem", ca.issued.pem + ca.issued.key_pem())
    slow = Presigned(tmp_path, ca)
    slow.issue(0x5000_0000 + n for n in range(500))
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    database = SqlLedger.create(url, ca=ca.certificate)
    for entry in slow.entries.values():
        database.record_entry(entry)
    asked = [*slow.command("--follow", "--delay", "2s", "--processes", 1, ledger=("--ledger", url))]
    with subprocess.Popen(asked) as child, Answers(slow.store) as shelf:
        soon(lambda: slow.says(shelf, 0x5000_0000) == "good", within=60)
        database.revoke(0x5000_0000, at=NOW)
        took = soon(lambda: slow.says(shelf, 0x5000_0000) == "revoked", within=60)
        signed = slow.count(shelf)
        assert slow.says(shelf, 0x5000_0000) == "revoked"
        soon(lambda: slow.count(shelf) == 500, within=100)
        assert slow.says(shelf, 0x5000_0000) == "revoked"
        child.terminate()
        child.wait(20)
    assert signed < 500
    assert took < 12


def test_a_ledger_that_fails_is_told_and_the_store_does_not_claim_to_be_up_to_date(
    tmp_path: Path,
) -> None:
    """R32, R35: then nobody may serve from it, however good its answers look."""
    world = a_presigned(tmp_path, 10)
    log = tmp_path / "log"
    tag = ca_tag(world.ca.certificate)
    with (
        open(log, "wb") as told,
        subprocess.Popen(
            [*world.command("--follow", "--delay", "1s")], stderr=told, stdout=told
        ) as child,
        Answers(world.store) as shelf,
    ):
        soon(lambda: world.count(shelf) == 10)
        good = world.index.read_bytes()
        world.index.write_bytes(b"rubbish\n")
        soon(lambda: b"presigning stands still" in log.read_bytes())
        still = shelf.compared(tag)
        with pytest.raises(AssertionError, match="not in time"):
            soon(lambda: shelf.compared(tag) != still, within=2.5)
        assert world.count(shelf) == 10
        world.index.write_bytes(good)
        soon(lambda: shelf.compared(tag) != still)
        assert b"index.txt:1" in log.read_bytes()
        child.terminate()
        assert child.wait(10) == 0


def test_a_store_that_is_taken_away_is_made_again(tmp_path: Path) -> None:
    world = a_presigned(tmp_path, 10)
    with (
        running([*world.command("--follow", "--delay", "1s")]),
        Answers(world.store) as shelf,
    ):
        soon(lambda: world.count(shelf) == 10)
        world.store.unlink()
        soon(lambda: world.store.exists() and world.count(shelf) == 10)
        first = min(world.entries)
        world.revoke(first)
        world.write()
        soon(lambda: world.says(shelf, first) == "revoked")


def test_several_cas_of_the_settings_are_followed_into_one_store(tmp_path: Path) -> None:
    worlds = {}
    tables = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        world = Presigned(folder, a_root(f"Root {name}", at=BEGIN))
        signer = a_signer(world.ca, f"Signer {name}", at=BEGIN)
        (folder / "ca.pem").write_bytes(world.ca.issued.pem)
        private(folder / "signer.pem", signer.pem + signer.key_pem())
        world.issue(range(1, 30))
        world.write()
        worlds[name] = world
        tables.append(
            f'[[responder.ca]]\nname = "{name}"\ncertificate = "{name}/ca.pem"\n'
            f'index = "{name}/index.txt"\nstore = "answers.lmdb"\ndelay = "2s"\n'
            f'signers = [{{ certificate = "{name}/signer.pem" }}]\n'
        )
    config = tmp_path / "holdfast.toml"
    config.write_text("\n".join(tables))
    store = tmp_path / "answers.lmdb"
    done = ran([*HOLDFAST, "presign", "-c", config, "--name", "two"])
    assert done.returncode == 0, done.stderr
    with Answers(store) as shelf:
        assert (worlds["one"].count(shelf), worlds["two"].count(shelf)) == (0, 29)
        with running([*HOLDFAST, "presign", "-c", config, "--follow"]):
            soon(lambda: worlds["one"].count(shelf) == 29)
            for world in worlds.values():
                world.revoke(5)
                world.write()
            for world in worlds.values():
                soon(lambda world=world: world.says(shelf, 5) == "revoked")  # type: ignore[misc]
                assert world.says(shelf, 6) == "good"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--index", "nowhere.txt"), "nowhere.txt"),
        (("--index", "index.txt", "--store", "index.txt"), "index.txt: not an LMDB file"),
        (("--index", "index.txt", "--store", "no/where"), "no/where"),
        (("--index", "index.txt", "--validity", "1h", "--backdate", "9h"), "as soon as they are"),
        (("--index", "index.txt", "--follow", "--delay", "0s"), "--delay under a second"),
        (("-c", "holdfast.toml", "--pss"), "beside --config"),
        ((), "no ledger given"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    world = a_presigned(tmp_path, 3)
    before = world.index.read_bytes()
    (tmp_path / "holdfast.toml").write_text("")
    ca = () if "-c" in words else ("--ca", "both.pem")
    store = () if "--store" in words or "-c" in words else ("--store", "s.lmdb")
    done = holdfast("presign", *ca, *store, *words, cwd=tmp_path)
    assert done.code == 2, done.err
    assert said in done.err
    assert "Traceback" not in done.err
    assert world.index.read_bytes() == before


def test_r15_a_signer_that_has_ended_signs_nothing(tmp_path: Path) -> None:
    """And one whose end is near signs no answer that outlives it (R30)."""
    world = a_presigned(tmp_path, 3)
    (tmp_path / "ca.pem").write_bytes(world.ca.issued.pem)
    for days, code in ((0.5, 2), (1.2, 0)):
        lifetime = timedelta(days=days)
        signer = a_signer(world.ca, f"Ends {days}", at=BEGIN, lifetime=lifetime)
        private(tmp_path / "signer.pem", signer.pem + signer.key_pem())
        words = ("--ca", "ca.pem", "--signer", "signer.pem", "--index", "index.txt")
        done = ran([*HOLDFAST, "presign", *words, "--store", "s.lmdb"], cwd=tmp_path)
        assert done.returncode == code, done.stderr
    ends = Certificate(signer.certificate.der).not_after
    with Answers(tmp_path / "s.lmdb") as shelf:
        for serial in world.entries:
            held = shelf.held(ca_tag(world.ca.certificate), serial_octets(serial))
            assert held is not None
            assert held.next_update == int(ends.timestamp())


def test_progress_is_lines_where_nobody_looks(tmp_path: Path) -> None:
    """No escape sequence goes into a pipe, and stdout holds what was done."""
    world = a_presigned(tmp_path, 10)
    done = ran(world.command())
    assert b"\x1b" not in done.stderr + done.stdout
    assert b"10 in the ledger, 10 signed, 0 kept, 0 dropped" in done.stdout
    assert done.stdout.count(b"\n") == 1


def test_the_ledger_may_be_a_crl(tmp_path: Path) -> None:
    """Then what it lists is signed ahead: a CRL does not tell what was issued (R11)."""
    world = a_presigned(tmp_path, 0)
    bad = a_server(world.ca, "bad.test", at=BEGIN).certificate.serial
    crl = world.ca.crl([Revocation(bad, NOW)], this_update=NOW, next_update=END)
    (tmp_path / "ca.crl").write_bytes(crl)
    assert world.sign(ledger=("--crl", tmp_path / "ca.crl"))["signed"] == 1
    with Answers(world.store) as shelf:
        assert world.says(shelf, bad) == "revoked"
