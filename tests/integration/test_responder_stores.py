"""Stored answers, ledger and CRL together: `holdfast responder -c` and `holdfast presign -c`. R28,
R29, R32, R35."""

from __future__ import annotations

import base64
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.ocsp.certid import CertID
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import Response
from holdfast.ocsp.statuses import ResponseStatus
from holdfast.pki.issue import Revocation
from support.cli import holdfast
from support.keep_world import soon
from support.pki import a_signer, private
from support.processes import HOLDFAST, ran
from support.responder_service import BEGIN, NOW, Member, Service, Started, a_service, got, metrics

STORE = 'store = "answers.lmdb"\n'


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return a_service(tmp_path)


def presign(service: Service, *more: object) -> subprocess.CompletedProcess[bytes]:
    done = ran([*HOLDFAST, "presign", "-c", service.settings, *more])
    assert done.returncode == 0, done.stderr
    return done


@contextmanager
def following(service: Service) -> Iterator[subprocess.Popen[bytes]]:
    with (service.folder / "presign.log").open("wb") as log:
        child = subprocess.Popen(
            [*HOLDFAST, "presign", "-c", service.settings, "--follow"],
            stdout=log,
            stderr=log,
        )
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(timeout=20)


def live(started: Started) -> float:
    return metrics(started)["live_total", ""]


def test_several_cas_share_one_store_and_one_address(service: Service) -> None:
    """R15, R28: what lies there is given, by SHA-1; what is asked by SHA-256 is signed now."""
    members = list(service.members.values())
    service.write(*(member.table + STORE for member in members))
    presign(service)
    with service.running() as started:
        for name, member in service.members.items():
            for issued, said in ((member.good, "good"), (member.bad, "revoked")):
                status, body = got(started.url(name), data=member.asks(issued))
                assert status == 200
                single = Response.parse(body).basic.singles[0]  # type: ignore[union-attr]
                assert single.certificate_status.text == said
            assert service.asked(name, started.url(name), "good", "-sha256") == "good"
        assert live(started) == 3, "those by SHA-256"
        mixed = [CertID.of(m.good.certificate.serial, m.ca.certificate) for m in members]
        for order in (mixed, mixed[::-1]):
            _, body = got(started.url("one"), data=Request.build(*order).encode())
            told = Response.parse(body)
            assert told.response_status is ResponseStatus.unauthorized, "of two CAs at once (R15)"
        counted = metrics(started)
        for name in service.members:
            assert counted["store_answers", name] == 2
            assert abs(counted["store_compared_timestamp_seconds", name] - time.time()) < 60


def test_r33_check_judges_what_lies_in_the_store_too(service: Service) -> None:
    member = service.members["one"]
    service.write(member.table + STORE)
    presign(service)
    done = holdfast("responder", "-c", service.settings, "--check", "--json")
    assert done.code == 0, done.err
    kinds = [row["kind"] for row in done.json["answers"]]
    assert "good, stored" in kinds
    assert "revoked, stored" in kinds


def test_r33_a_stored_answer_that_has_ended_is_told(service: Service) -> None:
    """The red twin: what a signer signed that has ended since."""
    member = service.members["one"]
    service.write(member.table + STORE)
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=8)
    short = a_signer(member.ca, "Short", at=BEGIN, not_after=end)
    fitting = (service.folder / "one-signer.pem").read_bytes()
    private(service.folder / "one-signer.pem", short.pem + short.key_pem())
    presign(service)
    private(service.folder / "one-signer.pem", fitting)
    soon(lambda: datetime.now(UTC) > end)
    done = holdfast("responder", "-c", service.settings, "--check", "--json")
    assert done.code == 1, done.out
    rows = done.json["answers"]
    assert {row["kind"] for row in rows if row["findings"]} == {"good, stored", "revoked, stored"}


def test_r32_a_revocation_is_answered_within_the_delay(service: Service) -> None:
    """The store is followed: what it said before is not given again."""
    member = service.members["one"]
    service.write(member.table + STORE + 'delay = "2s"\n')
    with following(service), service.running() as started:
        soon(lambda: service.asked("one", started.url("one")) == "good")
        member.write(revoked=True)
        begun = time.monotonic()
        soon(lambda: service.asked("one", started.url("one")) == "revoked")
        assert time.monotonic() - begun < 5


def test_r32_a_store_that_nobody_follows_is_not_believed(service: Service) -> None:
    """The red twin: presign has died, and the ledger is asked instead."""
    member = service.members["one"]
    service.write(member.table + STORE + 'delay = "1s"\n')
    presign(service)
    member.write(revoked=True)
    with service.running() as started:
        soon(lambda: service.asked("one", started.url("one")) == "revoked", within=4)


def test_r15_answers_signed_elsewhere_beside_a_ca_that_signs(service: Service) -> None:
    """Both at the root; when the file of the first cannot be read, health names it alone."""
    one, two = service.members["one"], service.members["two"]
    service.write(one.table)
    with service.running() as started:
        _, der = got(started.url("one"), data=one.asks(one.good))
    elsewhere = service.folder / "responses"
    elsewhere.write_bytes(base64.b64encode(der) + b"\n")
    ready = '[[responder.ca]]\nname = "one"\ncertificate = "one.pem"\nresponses = "responses"\n'
    service.write(ready, two.table)
    with service.running() as started:
        assert got(started.url("one"), data=one.asks(one.good)) == (200, der)
        assert service.asked("two", started.url("two")) == "good"
        assert got(f"{started.status}/healthz")[0] == 200
        elsewhere.unlink()
        soon(lambda: got(f"{started.status}/healthz")[0] == 503)
        assert got(f"{started.status}/healthz")[1].startswith(b"one: ")
        assert service.asked("two", started.url("two")) == "good"


def the_crl(member: Member, service: Service, *, revoked: bool) -> None:
    entries = [Revocation(member.bad.certificate.serial, NOW - timedelta(hours=2))]
    if revoked:
        entries.append(Revocation(member.good.certificate.serial, NOW - timedelta(hours=3)))
    at = datetime.now(UTC).replace(microsecond=0)
    number = int(revoked) + 1
    ends = at + timedelta(days=7)
    made = member.ca.crl(entries, this_update=at, next_update=ends, number=number)
    path = service.folder / f"{member.name}.crl"
    new = path.with_suffix(".new")
    new.write_bytes(made)
    new.replace(path)


def test_r35_the_crl_knows_a_revocation_that_the_ledger_lost(service: Service) -> None:
    """The stricter answer wins, of all workers, although the store says good."""
    member = service.members["one"]
    service.write(member.table + STORE + 'compare_crls = ["one.crl"]\ndelay = "1h"\n', workers=2)
    the_crl(member, service, revoked=False)
    presign(service)
    with service.running() as started:
        assert service.asked("one", started.url("one")) == "good"
        the_crl(member, service, revoked=True)
        started.signal(signal.SIGHUP)  # go through all now, and not after the next delay
        url = started.url("one")

        def revoked_everywhere() -> bool:
            return all(service.asked("one", url) == "revoked" for _ in range(8))

        soon(revoked_everywhere)


def test_r35_without_the_comparison_the_store_is_believed(service: Service) -> None:
    """The red twin."""
    member = service.members["one"]
    service.write(member.table + STORE + 'delay = "1h"\n', workers=2)
    the_crl(member, service, revoked=True)
    presign(service)
    with service.running() as started:
        assert service.asked("one", started.url("one")) == "good"
