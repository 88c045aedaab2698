"""`holdfast responder -c holdfast.toml` as operators run it: several CAs, workers, reload, drain,
metrics, health, audit, sockets of systemd. R15, R31 to R36."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.ocsp.certid import Subject
from holdfast.ocsp.response import Response
from holdfast.ocsp.verify import examine
from support.cli import holdfast
from support.keep_world import soon
from support.notified import Ear, heard
from support.pki import a_signer, private
from support.ports import free_port
from support.processes import HOLDFAST, ran
from support.responder_service import BEGIN, NAMES, Service, a_service, got, metrics


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return a_service(tmp_path)


# -- several CAs -----------------------------------------------------------------------------------


def test_r15_several_cas_by_path_and_by_certid(service: Service) -> None:
    """One under a path, two at the root where the CertID tells them apart; OpenSSL judges each."""
    service.write(workers=2)
    with service.running() as started:
        assert started.url("one").endswith("/one")
        assert started.url("two") == started.url("three")
        for name in NAMES:
            url = started.url(name)
            for digest in ("-sha1", "-sha256"):
                assert service.asked(name, url, "good", digest) == "good"
                assert service.asked(name, url, "bad", digest) == "revoked"


def test_r15_a_ca_is_not_answered_for_at_the_path_of_another(service: Service) -> None:
    """The red twin."""
    service.write()
    with service.running() as started:
        assert "unauthorized (6)" in service.asked("two", started.url("one"))
        assert "unauthorized (6)" in service.asked("one", started.url("two"))


def test_the_lines_for_people_say_where_and_by_whom(service: Service) -> None:
    service.write()
    (service.folder / "log").touch()
    ear = Ear(service.folder / "notify")
    with heard([*HOLDFAST, "responder", "-c", service.settings], ear, cwd=service.folder):
        assert ear.until("READY")["STATUS"].startswith("answering at 127.0.0.1:")


# -- settings that are wrong -----------------------------------------------------------------------


def wrong(service: Service, *tables: str, head: str = "", check: bool = False) -> str:
    service.write(*tables, head=head)
    words = ["responder", "-c", service.settings, *(["--check"] if check else [])]
    done = ran([*HOLDFAST, *words])
    assert done.returncode == 2, done.stdout
    assert done.stdout == b""
    assert b"Traceback" not in done.stderr
    return done.stderr.decode()


def test_what_is_wrong_with_a_file_names_it_and_ends_the_start(service: Service) -> None:
    one = service.members["one"].table
    assert "nothere.pem" in wrong(service, one.replace("one.pem", "nothere.pem"))
    assert "holdfast.toml:10:1: unknown key 'prefx'" in wrong(service, one + 'prefx = "/x"\n')
    assert "no [[responder.ca]]" in wrong(service, "\n")


def test_a_signer_of_another_ca_is_refused_at_the_start(service: Service) -> None:
    said = wrong(service, service.members["one"].table.replace("one-signer", "two-signer"))
    assert "was not issued by" in said
    assert "hint: `holdfast ca signer` issues a fitting one" in said


@pytest.mark.parametrize("check", [False, True])
def test_r31_a_signer_that_the_profile_forbids_is_refused(service: Service, check: bool) -> None:
    member = service.members["one"]
    bare = a_signer(member.ca, "Bare", at=BEGIN, nocheck=False)
    private(service.folder / "one-signer.pem", bare.pem + bare.key_pem())
    table = member.table + 'profile = "webpki"\n'
    said = wrong(service, table, check=check)
    assert "one: signers: signer CN=Bare lacks id-pkix-ocsp-nocheck" in said
    assert "(Baseline Requirements 4.9.9)" in said


def test_r31_the_same_signer_is_the_operators_to_choose_without_the_profile(
    service: Service,
) -> None:
    """The red twin's twin."""
    member = service.members["one"]
    bare = a_signer(member.ca, "Bare", at=BEGIN, nocheck=False)
    private(service.folder / "one-signer.pem", bare.pem + bare.key_pem())
    service.write(member.table)
    with service.running() as started:
        assert service.asked("one", started.url("one")) == "good"


@pytest.mark.parametrize("option", [["--index", "x"], ["--validity", "8h"], ["--pss"]])
def test_an_option_about_one_ca_beside_settings_is_refused(
    service: Service, option: list[str]
) -> None:
    service.write()
    done = holdfast("responder", "-c", service.settings, *option)
    assert done.code == 2
    assert f"{option[0]} beside --config" in done.err


def test_neither_a_ca_nor_settings() -> None:
    done = holdfast("responder", "--index", "x")
    assert done.code == 2
    assert "neither --ca nor --config" in done.err


def test_r33_check_judges_every_kind_of_every_ca(service: Service) -> None:
    service.write()
    done = holdfast("responder", "-c", service.settings, "--check", "--json")
    assert done.code == 0, done.err
    told = {(row["ca"], row["kind"].partition(":")[0]) for row in done.json["answers"]}
    assert told == {(name, kind) for name in NAMES for kind in ("good", "revoked", "never issued")}
    people = holdfast("responder", "-c", service.settings, "--check")
    assert people.out.splitlines()[0] == "one:"
    assert people.out.count("clean") == 9


# -- workers, reload, drain ------------------------------------------------------------------------


def test_r36_metrics_are_summed_over_workers_and_outlive_them(service: Service) -> None:
    service.write(workers=3)
    with service.running() as started:
        one, two = service.members["one"], service.members["two"]
        for _ in range(20):
            assert got(started.url("one"), data=one.asks(one.good))[0] == 200
        for _ in range(10):
            got(started.url("two"), data=two.asks(two.bad))
        got(started.url("two"), data=b"garbage")
        before = metrics(started)
        assert before["requests_total", "post"] == 31
        assert before["answers_total", "good"] == 20
        assert before["answers_total", "revoked"] == 10
        assert before["answers_total", "malformedRequest"] == 1
        assert before["workers", ""] == 3
        assert all(before["healthy", name] == 1 for name in NAMES)
        assert len(started.workers()) == 3
        for pid in started.workers():
            os.kill(pid, signal.SIGKILL)
        soon(lambda: len(started.workers()) == 3)
        soon(lambda: got(f"{started.status}/healthz")[0] == 200)
        assert metrics(started)["answers_total", "good"] == 20, "counters never go back"
        assert got(started.url("one"), data=one.asks(one.good))[0] == 200
        assert metrics(started)["answers_total", "good"] == 21


def test_sighup_reads_settings_and_signers_again_and_drops_no_request(service: Service) -> None:
    one, two = service.members["one"], service.members["two"]
    service.write(one.table, workers=2)
    with service.running() as started:
        url = started.url("one")
        assert "unauthorized (6)" in service.asked("two", url)
        renewed = a_signer(one.ca, "Renewed", at=BEGIN, who="renewed")
        private(service.folder / "one-signer.pem", renewed.pem + renewed.key_pem())
        service.write(one.table, two.table, workers=2)
        old = set(started.workers())
        started.signal(signal.SIGHUP)
        refused = 0
        ends = time.monotonic() + 30
        while set(started.workers()) & old:
            assert time.monotonic() < ends, "the old workers stay"
            refused += got(url, data=one.asks(one.good))[0] != 200
        assert refused == 0
        assert service.asked("two", url) == "good"
        given = Response.parse(got(url, data=one.asks(one.good))[1])
        subject = Subject.of(one.good.certificate, one.ca.certificate)
        verdict = examine(given, subject, at=datetime.now(UTC))
        assert verdict.signer == renewed.certificate


def test_an_address_that_a_reload_leaves_refuses_and_does_not_hang(service: Service) -> None:
    member = service.members["one"]
    service.write(member.table)
    with service.running() as started:
        left = int(started.url("one").rpartition(":")[2])
        port = free_port()
        text = service.settings.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}", 1)
        service.settings.write_text(text)
        started.signal(signal.SIGHUP)
        soon(lambda: service.asked("one", f"http://127.0.0.1:{port}/") == "good")
        soon(lambda: len(started.workers()) == 1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", left), timeout=5).close()


def test_settings_that_are_wrong_change_nothing_and_are_told(service: Service) -> None:
    service.write(service.members["one"].table)
    with service.running() as started:
        old = started.workers()
        service.settings.write_text("[responder]\nnonsense = 1\n")
        started.signal(signal.SIGHUP)
        time.sleep(1.0)
        assert started.workers() == old
        assert service.asked("one", started.url("one")) == "good"
        assert started.end() == 0
        assert started.child.stderr is not None
        said = started.child.stderr.read().decode()
    assert "reload failed, the old workers go on" in said
    assert "holdfast.toml:2:1: unknown key 'nonsense' in [responder]" in said


def test_sigterm_lets_a_request_under_way_be_answered(service: Service) -> None:
    member = service.members["one"]
    service.write(member.table)
    with service.running() as started:
        port = int(started.url("one").rpartition(":")[2])
        body = member.asks(member.good)
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
            client.sendall(head + body[:20])
            time.sleep(0.3)
            started.signal(signal.SIGTERM)
            time.sleep(0.3)
            client.sendall(body[20:])
            answer = b""
            while chunk := client.recv(65536):
                answer += chunk
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert started.child.wait(timeout=20) == 0


# -- health and audit ------------------------------------------------------------------------------


def test_r36_health_names_the_ca_whose_ledger_cannot_be_read(service: Service) -> None:
    service.write()
    with service.running() as started:
        assert got(f"{started.status}/healthz") == (200, b"ok\n")
        two = service.members["two"]
        two.index.unlink()
        soon(lambda: got(f"{started.status}/healthz")[0] == 503)
        _, told = got(f"{started.status}/healthz")
        assert told.startswith(b"two: ")
        assert b"two.txt" in told
        assert b"one" not in told
        assert metrics(started)["healthy", "two"] == 0
        assert metrics(started)["healthy", "one"] == 1
        assert "trylater" in service.asked("two", started.url("two")).lower()
        assert service.asked("three", started.url("three")) == "good"
        two.write()
        soon(lambda: got(f"{started.status}/healthz")[0] == 200)


def test_r36_an_audit_line_for_each_signature_of_each_worker(service: Service) -> None:
    service.write(head='audit = "audit.log"\n', workers=2)
    log = service.folder / "audit.log"
    with service.running() as started:
        sent = set()
        for name in NAMES:
            member = service.members[name]
            for issued in (member.good, member.bad):
                _, body = got(started.url(name), data=member.asks(issued))
                sent.add((name, f"{issued.certificate.serial:x}", hashlib.sha256(body).hexdigest()))
        log.rename(log.with_suffix(".1"))
        time.sleep(1.1)
        member = service.members["one"]
        _, body = got(started.url("one"), data=member.asks(member.good, "sha512"))
        assert got(f"{started.status}/healthz")[0] == 200
        counted = metrics(started)["signatures_total", ""]
    lines = [json.loads(line) for line in log.with_suffix(".1").read_text().splitlines()]
    later = [json.loads(line) for line in log.read_text().splitlines()]
    assert {(row["ca"], row["singles"][0][0], row["sha256"]) for row in lines} >= sent
    assert [row["sha256"] for row in later if row["kind"] == "answer"] == [
        hashlib.sha256(body).hexdigest()
    ], "after a rotation the next line is in the new file"
    assert {row["ca"] for row in later if row["kind"] == "health"} == set(NAMES)
    assert len(lines) + len(later) >= counted


# -- where it listens ------------------------------------------------------------------------------


def test_a_unix_socket_beside_a_port(service: Service) -> None:
    member = service.members["one"]
    service.write(member.table)
    path = service.folder / "ocsp.sock"
    text = service.settings.read_text()
    service.settings.write_text(text.replace('["127.0.0.1:0"]', '["127.0.0.1:0", "./ocsp.sock"]'))
    with service.running() as started:
        curl = ["curl", "-sS", "--unix-socket", path, "--data-binary", "@-", "http://ocsp/"]
        done = ran(curl, stdin=member.asks(member.good))
        given = Response.parse(done.stdout)
        subject = Subject.of(member.good.certificate, member.ca.certificate)
        assert examine(given, subject, at=datetime.now(UTC)).good
        assert service.asked("one", started.url("one")) == "good"
        assert started.end() == 0
    assert not path.exists()


def test_on_sockets_that_systemd_gave(service: Service) -> None:
    """By their names: `ocsp` answers, `status` tells; READY and STOPPING are said."""
    member = service.members["one"]
    service.write(member.table, workers=2)
    ear = Ear(service.folder / "notify")
    ocsp, status = free_port(), free_port()
    activate = ["systemd-socket-activate", "-l", f"127.0.0.1:{ocsp}", "-l", f"127.0.0.1:{status}"]
    activate += ["--fdname=ocsp:status", "-E", "NOTIFY_SOCKET"]
    command = [*activate, *HOLDFAST, "responder", "-c", service.settings]
    with heard(command, ear, cwd=service.folder) as child:
        soon(lambda: service.asked("one", f"http://127.0.0.1:{ocsp}/") == "good")
        ear.until("READY")
        assert "EXTEND_TIMEOUT_USEC" in ear.heard[0], "a large ledger takes long to read"
        assert got(f"http://127.0.0.1:{status}/healthz") == (200, b"ok\n")
        child.send_signal(signal.SIGTERM)
        ear.until("STOPPING")
        assert child.wait(timeout=20) == 0


def test_r30_answers_end_before_a_signer_that_ends_soon(service: Service) -> None:
    member = service.members["one"]
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    short = a_signer(member.ca, "Short", at=BEGIN, not_after=end)
    private(service.folder / "one-signer.pem", short.pem + short.key_pem())
    service.write(member.table)
    with service.running() as started:
        given = Response.parse(got(started.url("one"), data=member.asks(member.good))[1])
        ends = metrics(started)[
            "signer_expiry_timestamp_seconds", "one " + f"{short.certificate.serial:x}"
        ]
    assert given.basic is not None
    assert given.basic.singles[0].next_update == end
    assert ends == end.timestamp()
