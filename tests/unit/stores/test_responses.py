"""Answers signed elsewhere: read, verified, served while they hold, and never an older one."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from holdfast.ocsp.certid import CertID
from holdfast.ocsp.request import Request
from holdfast.ocsp.statuses import ResponseStatus, Revoked
from holdfast.pki import pem
from holdfast.plan.answering import Answer
from holdfast.stores.responses import LOOK_EVERY, ReadyAnswers
from support.answers import an_answer
from support.clock import FakeClock
from support.pki import AT, a_root, a_server, a_signer

CA = a_root()
ONE, TWO = (a_server(CA, name, serial=number) for number, name in ((1, "one"), (2, "two")))
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def a_file(folder: Path, *answers: bytes, name: str = "responses") -> Path:
    beside = folder / ".new"
    beside.write_bytes(b"".join(base64.b64encode(der) + b"\n" for der in answers))
    return beside.replace(folder / name)


def ready(path: Path, clock: FakeClock | None = None) -> ReadyAnswers:
    return ReadyAnswers(path, ca=CA.certificate, clock=clock or FakeClock(AT))


def asked(answers: ReadyAnswers, *serials: int, hash_algorithm: str = "sha1") -> Answer:
    certids = [CertID.of(serial, CA.certificate, hash_algorithm) for serial in serials]
    return asyncio.run(answers.answer_bytes(Request.build(*certids).encode()))


def test_they_are_served_as_they_are(tmp_path: Path) -> None:
    one, two = an_answer(CA, ONE), an_answer(CA, TWO, Revoked(AT))
    answers = ready(a_file(tmp_path, one, two))
    given = asked(answers, 1)
    assert given.der == one
    assert (given.this_update, given.next_update) == (AT - HOUR, AT - HOUR + 4 * DAY)
    assert asked(answers, 2).der == two
    missing = asked(answers, 3)
    assert missing.response_status is ResponseStatus.unauthorized
    assert asked(answers, 1, hash_algorithm="sha256").response_status is ResponseStatus.unauthorized


def test_cfssls_white_space(tmp_path: Path) -> None:
    path = tmp_path / "responses"
    one, two = (base64.b64encode(an_answer(CA, issued)) for issued in (ONE, TWO))
    path.write_bytes(b"\r\n" + one + b" \t" + two + b"\r\n\r\n")
    answers = ready(path)
    for serial in (1, 2):
        assert asked(answers, serial).response_status is ResponseStatus.successful


def test_what_another_signed_is_passed_over_and_told(tmp_path: Path) -> None:
    """The red twin stands beside one that is served."""
    twin = a_root(who="another key")
    path = a_file(tmp_path, an_answer(CA, ONE), an_answer(twin, TWO))
    with path.open("ab") as file:
        file.write(b"no*base64\n")
        file.write(base64.b64encode(b"\x30\x03\x0a\x01\x03") + b"\n")
    answers = ready(path)
    with capture_logs() as logs:
        assert asked(answers, 1).response_status is ResponseStatus.successful
    told = {line["place"]: line["why"] for line in logs if line["log_level"] == "warning"}
    assert set(told) == {f"{path}:2", f"{path}:3", f"{path}:4"}
    assert "not base64" in told[f"{path}:3"]
    assert "tryLater" in told[f"{path}:4"]
    assert asked(answers, 2).response_status is ResponseStatus.unauthorized


def test_a_signature_that_was_changed_is_not_served(tmp_path: Path) -> None:
    der = bytearray(an_answer(CA, ONE))
    der[-1] ^= 1
    answers = ready(a_file(tmp_path, bytes(der), an_answer(CA, TWO)))
    assert asked(answers, 1).response_status is ResponseStatus.unauthorized
    assert asked(answers, 2).response_status is ResponseStatus.successful


def test_one_that_ended_is_not_served(tmp_path: Path) -> None:
    clock = FakeClock(AT)
    path = a_file(tmp_path, an_answer(CA, ONE))
    answers = ready(path, clock)
    clock.advance(4 * DAY - HOUR - timedelta(seconds=1))
    assert asked(answers, 1).response_status is ResponseStatus.successful
    clock.advance(timedelta(seconds=1))
    ended = asked(answers, 1)
    assert ended.response_status is ResponseStatus.tryLater
    assert "ended at 2026-06-05T11:00:00Z" in ended.why
    fresh = ready(path, clock)  # nor when it had ended before it was read
    assert asked(fresh, 1).response_status is ResponseStatus.tryLater
    a_file(tmp_path, an_answer(CA, ONE, at=clock.now()))
    assert asked(answers, 1).response_status is ResponseStatus.successful


def test_an_older_good_never_stands_in_for_a_newer_revoked(tmp_path: Path) -> None:
    clock = FakeClock(AT)
    good = an_answer(CA, ONE, window=8 * DAY)
    revoked = an_answer(CA, ONE, Revoked(AT), at=AT + 2 * HOUR, window=DAY)
    answers = ready(a_file(tmp_path, revoked, good), clock)
    assert asked(answers, 1).der == good
    clock.advance(2 * HOUR)
    assert asked(answers, 1).der == revoked
    clock.advance(2 * DAY)
    assert asked(answers, 1).response_status is ResponseStatus.tryLater


def test_of_two_of_one_instant_the_one_that_revokes_decides(tmp_path: Path) -> None:
    good, revoked = an_answer(CA, ONE), an_answer(CA, ONE, Revoked(AT))
    for order in ((good, revoked), (revoked, good)):
        assert asked(ready(a_file(tmp_path, *order)), 1).der == revoked


def test_an_answer_ends_with_its_signer(tmp_path: Path) -> None:
    """R30."""
    signer = a_signer(CA, not_after=AT + DAY)
    clock = FakeClock(AT)
    answers = ready(a_file(tmp_path, an_answer(CA, ONE, signer=signer)), clock)
    assert asked(answers, 1).next_update == AT + DAY
    clock.advance(DAY)
    assert asked(answers, 1).response_status is ResponseStatus.tryLater


def test_several_certificates_need_one_response_for_all(tmp_path: Path) -> None:
    answers = ready(a_file(tmp_path, an_answer(CA, ONE), an_answer(CA, TWO)))
    assert asked(answers, 1, 1).response_status is ResponseStatus.successful
    assert asked(answers, 1, 2).response_status is ResponseStatus.unauthorized


def test_a_directory_of_any_form_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """R32."""
    clock = FakeClock(AT)
    (tmp_path / "one.der").write_bytes(an_answer(CA, ONE))
    (tmp_path / "two.pem").write_bytes(pem.encode("OCSP RESPONSE", an_answer(CA, TWO)))
    (tmp_path / "notes.txt").write_text("not a response\n")
    (tmp_path / ".hidden").write_bytes(b"rubbish")
    answers = ready(tmp_path, clock)
    with capture_logs() as logs:
        assert asked(answers, 1).response_status is ResponseStatus.successful
        assert asked(answers, 2).response_status is ResponseStatus.successful
    assert [line["place"] for line in logs if line["log_level"] == "warning"] == [
        str(tmp_path / "notes.txt")
    ]
    revoked = an_answer(CA, ONE, Revoked(AT), at=AT + timedelta(minutes=1))
    (tmp_path / "one.der").write_bytes(revoked)
    (tmp_path / "two.pem").unlink()
    clock.advance(timedelta(minutes=1))
    assert clock.monotonic() >= LOOK_EVERY
    assert asked(answers, 1).der == revoked
    assert asked(answers, 2).response_status is ResponseStatus.unauthorized


@pytest.mark.parametrize("data", [b"", b"rubbish\n", None])
def test_a_place_without_a_response_says_nothing(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "responses"
    if data is not None:
        path.write_bytes(data)
    answers = ready(path)
    for _ in range(2):
        given = asked(answers, 1)
        assert given.response_status is ResponseStatus.tryLater
    a_file(tmp_path, an_answer(CA, ONE))
    assert asked(answers, 1).response_status is ResponseStatus.successful


def test_garbage_is_malformed_request(tmp_path: Path) -> None:
    answers = ready(a_file(tmp_path, an_answer(CA, ONE)))
    given = asyncio.run(answers.answer_bytes(b"\x30\x00"))
    assert given.response_status is ResponseStatus.malformedRequest
