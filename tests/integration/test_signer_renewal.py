"""`holdfast ca signer --renew` on a timer; a responder takes up what it made (R15, R30)."""

from __future__ import annotations

import asyncio
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.net.clock import SystemClock
from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import Response
from holdfast.ocsp.verify import examine
from holdfast.pki import pem
from holdfast.pki.certificate import Certificate
from holdfast.plan.answering import Rules
from holdfast.sources.signer_files import SignerFiles, SignerPlace
from holdfast.sources.signing import Signing
from support.cli import Outcome, holdfast
from support.clock import FakeClock
from support.ledgers import TwoEntries
from support.pki import AT
from support.processes import HOLDFAST, ran

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = holdfast("ca", "init", "--ca", tmp_path / "ca", "--at", stamp(AT - DAY))
    assert made.code == 0, made.err
    return tmp_path / "ca"


def stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def renew(folder: Path, at: datetime, *words: object) -> Outcome:
    done = holdfast("ca", "signer", "--ca", folder, "--renew", "--at", stamp(at), "--json", *words)
    assert done.code == 0, done.err
    return done


def certificate(path: Path) -> Certificate:
    return pem.certificates(path.read_bytes(), name=str(path))[0]


def test_a_timer_renews_when_a_third_is_left_and_not_before(folder: Path) -> None:
    first = renew(folder, AT).json
    assert (first["renewed"], first["why"]) == (True, "there was none")
    before = (folder / "signer.pem").read_bytes(), (folder / "signer.key").read_bytes()
    for day in range(0, 20, 4):
        assert renew(folder, AT + day * DAY).json["renewed"] is False
    assert ((folder / "signer.pem").read_bytes(), (folder / "signer.key").read_bytes()) == before
    again = renew(folder, AT + 20 * DAY).json
    assert again["renewed"] is True
    assert "the last one ends at 2026-07-01T12:00:00Z" in again["why"]
    assert certificate(folder / "signer.pem").not_before == AT + 20 * DAY - HOUR  # slow clocks
    assert certificate(folder / "signer.pem").not_after == AT + 50 * DAY
    assert renew(folder, AT + 20 * DAY).json["renewed"] is False


@pytest.mark.parametrize("what", ["no key", "another's key", "half a file", "another CA's"])
def test_what_is_no_signer_of_the_ca_is_due(folder: Path, tmp_path: Path, what: str) -> None:
    """A renewal that was cut off leaves a key that is not the certificate's: the next mends it."""
    renew(folder, AT)
    match what:
        case "no key":
            (folder / "signer.key").unlink()
        case "another's key":
            (folder / "signer.key").write_bytes((folder / "ca.key").read_bytes())
        case "half a file":
            half = (folder / "signer.pem").read_bytes()[:200]
            (folder / "signer.pem").write_bytes(half)
        case _:
            assert holdfast("ca", "init", "--ca", tmp_path / "2", "--at", stamp(AT)).code == 0
            renew(tmp_path / "2", AT)
            for name in ("signer.pem", "signer.key"):
                (folder / name).write_bytes((tmp_path / "2" / name).read_bytes())
    assert renew(folder, AT + HOUR).json["renewed"] is True
    assert renew(folder, AT + HOUR).json["renewed"] is False


def test_what_is_asked_for_decides_what_is_due(folder: Path) -> None:
    renew(folder, AT, "--key-type", "rsa-2048")
    assert renew(folder, AT + 5 * DAY, "--key-type", "rsa-2048").json["renewed"] is False
    assert renew(folder, AT + 5 * DAY, "--renew-before", "24d").json["renewed"] is False
    dry = holdfast(
        *("ca", "signer", "--ca", folder, "--renew", "--renew-before", "25d", "--dry-run"),
        *("--at", stamp(AT + 5 * DAY)),
    )
    assert "would renew the delegated OCSP signer: the last one ends at" in dry.out
    assert renew(folder, AT + 5 * DAY, "--renew-before", "24d").json["renewed"] is False
    assert renew(folder, AT + 5 * DAY, "--renew-before", "25d").json["renewed"] is True
    other = renew(folder, AT + 6 * DAY, "--key-type", "ecdsa-p384").json
    assert other["why"] == "its key was ECDSA P-256"
    for words in (("--renew-before", "5d"), ("--renew", "--renew-before", "30d")):
        refused = holdfast("ca", "signer", "--ca", folder, *words)
        assert refused.code == 2


def test_who_could_read_the_old_key_can_read_the_new_one_and_nobody_else(folder: Path) -> None:
    renew(folder, AT)
    key = folder / "signer.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    key.chmod(0o646)  # the world's right is not handed on, the group's is
    renew(folder, AT + 21 * DAY)
    assert stat.S_IMODE(key.stat().st_mode) == 0o640


def test_two_timers_at_once_issue_one(folder: Path) -> None:
    words = [*HOLDFAST, "ca", "signer", "--ca", folder, "--renew", "--at", stamp(AT), "--json"]

    async def both() -> list[bytes]:
        async def one() -> bytes:
            child = await asyncio.create_subprocess_exec(
                *map(str, words), stdout=asyncio.subprocess.PIPE
            )
            return (await child.communicate())[0]

        return await asyncio.gather(*(one() for _ in range(4)))

    said = asyncio.run(asyncio.wait_for(both(), 60))
    assert sum(b'"renewed": true' in one for one in said) == 1
    assert sum(b'"renewed": false' in one for one in said) == 3


def test_r15_r30_a_running_responder_takes_the_new_signer_up_without_a_gap(folder: Path) -> None:
    """A hundred days with a daily timer: every answer is good when it is given and at its end, and
    several signers gave them."""
    clock = FakeClock(AT)
    renew(folder, AT)
    files = SignerFiles([place_in(folder)], issuer=certificate(folder / "ca.pem"), clock=clock)
    rules = Rules(validity=timedelta(days=4))
    signing = Signing(signer=files.signers, ledger=TwoEntries(), clock=clock, rules=rules)
    subject = Subject(1, certificate(folder / "ca.pem"))
    asked = Request.build(CertID.of(1, subject.issuer)).encode()
    ends = set()
    for _ in range(25):
        clock.advance(4 * DAY)
        renew(folder, clock.now())
        files.look()
        given = signing.answer_now(asked)
        assert given is not None
        assert given.next_update == clock.now() + rules.validity  # never cut short
        for at in (clock.now(), given.next_update):
            assert examine(Response.parse(given.der), subject, at=at).good
        ends.add(signing.signer.certificate.not_after)
    assert len(ends) == 6


def test_without_renewal_the_answers_end_with_the_signer(folder: Path) -> None:
    """The red twin."""
    clock = FakeClock(AT)
    renew(folder, AT)
    files = SignerFiles([place_in(folder)], issuer=certificate(folder / "ca.pem"), clock=clock)
    signing = Signing(signer=files.signers, ledger=TwoEntries(), clock=clock)
    asked = Request.build(CertID.of(1, certificate(folder / "ca.pem"))).encode()
    clock.advance(30 * DAY + timedelta(seconds=1))
    assert files.look() is False
    given = signing.answer_now(asked)
    assert given is not None
    assert given.response_status.name == "tryLater"


def test_what_does_not_fit_is_not_taken_up_and_is_said_once(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    renew(folder, AT)
    files = SignerFiles(
        [place_in(folder)], issuer=certificate(folder / "ca.pem"), clock=FakeClock(AT)
    )
    held = files.signers.all
    good = (folder / "signer.pem").read_bytes()
    for wrong in (b"", b"garbage", good[:300], (folder / "ca.pem").read_bytes()):
        (folder / "signer.pem").write_bytes(wrong)
        capsys.readouterr()
        assert files.look() is False
        told = capsys.readouterr().out
        assert "signer-unusable" in told
        assert "signer.pem" in told
        assert files.look() is False
        assert capsys.readouterr().out == ""
        assert files.signers.all == held
    (folder / "signer.pem").unlink()
    assert files.look() is False
    (folder / "signer.pem").write_bytes(good)
    assert files.look() is True
    assert files.signers.all[0].certificate == held[0].certificate


def test_the_follower_looks_by_itself(folder: Path) -> None:
    now = datetime.now(UTC)
    renew(folder, now)
    issuer = certificate(folder / "ca.pem")
    every = timedelta(milliseconds=20)
    files = SignerFiles([place_in(folder)], issuer=issuer, clock=SystemClock(), every=every)
    first = files.signers.all[0].certificate

    async def run() -> None:
        following = asyncio.create_task(files.follow())
        done = await asyncio.to_thread(
            ran, [*HOLDFAST, "ca", "signer", "--ca", folder, "--replace"]
        )
        assert done.returncode == 0, done.stderr
        for _ in range(500):
            if files.signers.all[0].certificate != first:
                break
            await asyncio.sleep(0.01)
        following.cancel()

    asyncio.run(run())
    assert files.signers.all[0].certificate == certificate(folder / "signer.pem") != first


def place_in(folder: Path) -> SignerPlace:
    return SignerPlace(certificate=str(folder / "signer.pem"), key=str(folder / "signer.key"))
