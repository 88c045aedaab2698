"""R36: a line for each signature, whole or not there, and never in the way of an answer."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.errors import StoreError
from holdfast.net.line_log import Journal, LineFile
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.request import Request
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import GOOD
from holdfast.plan.answering import Answer, Rules, answer
from holdfast.services.responder_audit import COUNTED, Audit
from holdfast.services.responder_tally import COUNTERS, Tally
from support.pki import AT, a_root


def a_tally() -> Tally:
    return Tally((*COUNTERS, *COUNTED))


def an_answer() -> tuple[Answer, Signer]:
    ca = a_root()
    signer = Signer(ca.certificate, ca.key, ca.certificate)
    certid = CertID.of(0x1234, ca.certificate)
    given = answer(Request.build(certid), known={certid: GOOD}, signer=signer, rules=Rules(), at=AT)
    return given, signer


class Full:
    """A disk that is full."""

    lost = 0

    def write(self, *lines: bytes) -> None:
        self.lost = len(lines)
        raise StoreError("/x: cannot write: no space left on device", hint="make room")


def test_r36_a_line_tells_what_was_signed_when_and_by_whom(tmp_path: Path) -> None:
    given, signer = an_answer()
    tally = a_tally()
    Audit("One", tally=tally, lines=LineFile(str(tmp_path / "audit")))(given, signer)
    (line,) = (tmp_path / "audit").read_text().splitlines()
    assert json.loads(line) == {
        "at": AT.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "kind": "answer",
        "ca": "One",
        "signer": f"{signer.certificate.serial:x}",
        "singles": [["1234", "good"]],
        "this_update": AT.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "next_update": (AT + timedelta(hours=12)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "nonce": False,
        "sha256": hashlib.sha256(given.der).hexdigest(),
    }
    assert tally.read() == {"signatures": 1}
    assert (tmp_path / "audit").stat().st_mode & 0o777 == 0o640


def test_r7_a_line_names_who_proved_to_be_asking(tmp_path: Path) -> None:
    given, signer = an_answer()
    audit = Audit("One", tally=a_tally(), lines=LineFile(str(tmp_path / "audit")))
    audit(given._replace(requestor="CN=client.test"), signer)
    (line,) = (tmp_path / "audit").read_text().splitlines()
    assert json.loads(line)["requestor"] == "CN=client.test"


def test_a_line_that_cannot_be_kept_is_counted_and_the_answer_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    given, signer = an_answer()
    tally = a_tally()
    audit = Audit("One", tally=tally, lines=Full())
    for _ in range(3):
        audit(given, signer)
    assert tally.read() == {"signatures": 3, "audit_failures": 3}
    assert audit.failing == "/x: cannot write: no space left on device"
    assert len(caplog.records) == 1, "once a minute"
    assert "make room" in caplog.text


def test_lines_of_a_file_that_was_moved_away_begin_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    lines = LineFile(str(path))
    lines.write(b"one")
    path.rename(tmp_path / "audit.1")
    lines._looked = float("-inf")
    lines.write(b"two")
    assert (tmp_path / "audit.1").read_bytes() == b"one\n"
    assert path.read_bytes() == b"two\n"


def test_lines_of_two_processes_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    children = []
    for letter in (b"a", b"b"):
        pid = os.fork()
        if pid == 0:
            lines = LineFile(str(path))
            for _ in range(500):
                lines.write(letter * 300)
            os._exit(0)
        children.append(pid)
    assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
    found = path.read_bytes().splitlines()
    assert sorted(set(found)) == [b"a" * 300, b"b" * 300]
    assert len(found) == 1000


def test_after_a_full_disk_the_next_line_is_whole(tmp_path: Path) -> None:
    """A write that came to half is told, and what follows it begins on its own line."""
    path = tmp_path / "audit"
    lines = LineFile(str(path))
    pid = os.fork()
    if pid == 0:
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
        try:
            lines.write(b"0123456789abcdef")
        except StoreError as error:
            resource.setrlimit(
                resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            )
            lines.write(b"whole")
            os._exit(0 if "no space left" in error.message else 2)
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    assert path.read_bytes() == b"0123456789\nwhole\n"


def test_of_several_lines_on_a_full_disk_the_whole_ones_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    lines = LineFile(str(path))
    pid = os.fork()
    if pid == 0:
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        lost = []
        for room in (10, 17):  # amid the second line; and where the first of the next call ends
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
            try:
                lines.write(b"first", b"second", b"third")
            except StoreError:
                lost.append(lines.lost)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        lines.write(b"a", b"b")
        os._exit(0 if lost == [2, 2] else 2)
    assert os.waitpid(pid, 0)[1] == 0
    assert path.read_bytes() == b"first\nseco\nfirst\na\nb\n"


@pytest.mark.parametrize("place", ["missing/audit", "."])
def test_what_cannot_be_opened_says_what_to_do(tmp_path: Path, place: str) -> None:
    with pytest.raises(StoreError, match=r"cannot write") as caught:
        LineFile(str(tmp_path / place)).open()
    assert caught.value.hint


def test_the_journal_gets_an_entry_and_is_found_again(tmp_path: Path) -> None:
    address = str(tmp_path / "journal")
    journal = Journal("holdfast-responder", address=address)
    with pytest.raises(StoreError, match=os.strerror(errno.ENOENT).lower()):
        journal.open()
    for text in (b'{"a":1}', b'{"a":2}'):  # between the two the journal is started anew
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
            ear.bind(address)
            journal.write(text)
            heard = ear.recv(4096)
        os.unlink(address)
        assert b"MESSAGE=" + text + b"\n" in heard
        assert b"SYSLOG_IDENTIFIER=holdfast-responder\n" in heard


@pytest.mark.parametrize("nonce", [None, b"n" * 32])
@pytest.mark.parametrize("serial", [1, 0x1234, 1 << 158])
def test_r36_lines_of_several_are_those_of_each(
    tmp_path: Path, serial: int, nonce: bytes | None
) -> None:
    ca = a_root('Of "quotes"')
    signer = Signer(ca.certificate, ca.key, ca.certificate)
    certid = CertID.of(serial, ca.certificate)
    request = Request.build(certid, nonce=nonce)
    given = answer(request, known={certid: GOOD}, signer=signer, rules=Rules(), at=AT)
    assert given.this_update is not None
    assert given.next_update is not None
    begins, ends = (int(time.timestamp()) for time in (given.this_update, given.next_update))
    alone, together = (
        Audit('"One" é\\', tally=a_tally(), lines=LineFile(str(tmp_path / name))) for name in "ab"
    )
    alone(given, signer)
    digest = hashlib.sha256(given.der).hexdigest()
    signed = given.der, begins, ends, "good", nonce is not None, digest
    together.several([(serial, signed), (serial, signed)], signer, AT)
    together.several([], signer, AT)
    line = (tmp_path / "a").read_bytes()
    assert (tmp_path / "b").read_bytes() == line * 2
    assert together._tally.read() == {"signatures": 2}


def test_each_of_several_lines_that_could_not_be_kept_is_counted() -> None:
    _, signer = an_answer()
    tally = a_tally()
    audit = Audit("One", tally=tally, lines=Full())
    audit.several([(1, (b"", 0, 9, "good", False, ""))] * 3, signer, AT)
    assert tally.read() == {"signatures": 3, "audit_failures": 3}
    assert "no space" in audit.failing
