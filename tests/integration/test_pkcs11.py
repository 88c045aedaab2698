"""Keys in a token: SoftHSM2 signs, OpenSSL and our judge verify, and what fails is said (R15, R34).

The token is real, and so is its slowness: an RSA key of 4096 bits takes some 10 ms a signature.
"""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from pkcs11 import TokenFlag

from holdfast.errors import OperatorError, Unavailable
from holdfast.net.pkcs11 import Token, is_last_try, open_key
from holdfast.net.pkcs11_uri import Pkcs11Uri
from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import Response
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import ResponseStatus
from holdfast.ocsp.verify import examine
from holdfast.pki.issue import Issued
from holdfast.plan.answering import Answer
from holdfast.sources.signer_files import SignerPlace, load_signer
from holdfast.sources.signer_pool import BoundedPool
from holdfast.sources.signing import Signing
from support.clock import FakeClock
from support.ledgers import TwoEntries
from support.pki import AT, a_root, a_signer, private
from support.processes import ran
from support.softhsm import MODULE, PIN, folder, pin_file, uri, with_key

CA = a_root()
KINDS = ("rsa-2048", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519")
LABELS = (f"label-{number}" for number in itertools.count())


def in_token(key_type: str, *, sessions: int = 4, pss: bool = False) -> Signer:
    made = a_signer(CA, f"HSM {key_type}", key_type=key_type)
    return loaded(made, with_key(made.key, next(LABELS)), sessions=sessions, pss=pss)


def loaded(
    made: Issued, where: str, *, sessions: int = 4, pss: bool = False, pin: Path | None = None
) -> Signer:
    certificate = folder() / "signer.pem"
    certificate.write_bytes(made.pem)
    place = SignerPlace(
        certificate=str(certificate),
        key=where,
        passphrase=str(pin or pin_file()),
        sessions=sessions,
        pss=pss,
    )
    return load_signer(place, CA.certificate)


def signing(signer: Signer, pool: BoundedPool | None = None) -> Signing:
    return Signing(signer=signer, ledger=TwoEntries(), clock=FakeClock(AT), pool=pool)


def asked(number: int = 0) -> bytes:
    """Each another request, so that no answer is given again."""
    return Request.build(CertID.of(1, CA.certificate), nonce=b"nonce %10d" % number).encode()


@pytest.mark.parametrize(
    ("kind", "pss"), [*((kind, False) for kind in KINDS), ("rsa-2048", True)], ids=str
)
def test_r15_a_token_signs_what_openssl_and_we_believe(
    kind: str, pss: bool, tmp_path: Path
) -> None:
    source = signing(in_token(kind, pss=pss))
    assert source.answer_now(asked()) is None  # a token may take its time
    given = asyncio.run(source.answer_bytes(asked()))
    subject = Subject(1, CA.certificate)
    assert examine(Response.parse(given.der), subject, at=AT).good
    broken = given.der.replace(subject.certid.encode(), CertID.of(2, CA.certificate).encode())
    assert not examine(Response.parse(broken), Subject(2, CA.certificate), at=AT).good
    (tmp_path / "ca.pem").write_bytes(CA.issued.pem)
    for name, der in (("given", given.der), ("broken", broken)):
        (tmp_path / name).write_bytes(der)
        done = ran(
            [
                *("openssl", "ocsp", "-respin", tmp_path / name, "-CAfile", tmp_path / "ca.pem"),
                *("-issuer", tmp_path / "ca.pem", "-serial", "1" if name == "given" else "2"),
                *("-attime", str(int(AT.timestamp())), "-no_nonce"),
            ]
        )
        assert (b"Response verify OK" in done.stderr) is (name == "given"), done.stderr


def test_a_key_in_a_token_belongs_to_its_certificate_or_is_refused() -> None:
    mine, other = a_signer(CA, "Mine"), a_signer(CA, "Other")
    where = with_key(other.key, next(LABELS))
    with pytest.raises(OperatorError, match="does not belong to CN=Mine"):
        loaded(mine, where)
    assert loaded(other, where).blocking


def test_what_is_wrong_with_a_token_is_said_with_its_cure() -> None:
    made = a_signer(CA, "HSM words")
    label = next(LABELS)
    where = with_key(made.key, label)
    with pytest.raises(OperatorError, match="no private keys of that name"):
        loaded(made, uri("nobody's"))
    with pytest.raises(Unavailable, match="no such token in any slot of"):
        loaded(made, uri(label, token="nobody's"))
    with pytest.raises(OperatorError, match="cannot be loaded") as caught:
        loaded(made, uri(label, module="/nowhere/lib.so"))
    assert "module-path" in caught.value.hint
    with_key(a_signer(CA, "HSM words 2").key, label, id="02")
    with pytest.raises(OperatorError, match="2 private keys of that name"):
        loaded(made, where)
    assert loaded(made, where.replace("?", ";id=%01?")).blocking
    with pytest.raises(OperatorError, match="keys of the kind in"):
        loaded(a_signer(CA, "HSM ML-DSA", key_type="ml-dsa-44"), where)


def test_a_wrong_pin_is_tried_once_and_never_shown(tmp_path: Path) -> None:
    """A token locks itself after a few: whoever asks again and again would do that."""
    where = with_key(a_signer(CA, "HSM PIN").key, next(LABELS))
    script = f"""
import sys
from holdfast.errors import OperatorError
from holdfast.net.pkcs11 import Token
from holdfast.net.pkcs11_uri import Pkcs11Uri
token = Token(Pkcs11Uri.parse({where!r}), pin=sys.argv[1].encode())
told = []
for _ in range(20):
    try:
        token.sign(lambda key: b"signed")
    except OperatorError as error:
        told.append(error)
assert len(told) == 20 and len(set(map(id, told))) == 1, told
assert sys.argv[1] not in told[0].message + told[0].hint
print(told[0].message)
"""
    done = ran([sys.executable, "-c", script, "9999"])
    assert b"refuses the PIN: PinIncorrect" in done.stdout, done.stderr
    red = ran([sys.executable, "-c", script, PIN])
    assert b"AssertionError" in red.stderr


class Counting:
    """A token that counts wrong PINs, which SoftHSM does not."""

    def __init__(self, flags: TokenFlag) -> None:
        self.flags = flags


@pytest.mark.parametrize(
    ("flag", "last"),
    [
        (TokenFlag.TOKEN_INITIALIZED, False),
        (TokenFlag.USER_PIN_COUNT_LOW, False),
        (TokenFlag.USER_PIN_FINAL_TRY, True),
        (TokenFlag.USER_PIN_LOCKED, True),
    ],
)
def test_the_last_try_of_a_pin_is_left_to_people(flag: TokenFlag, last: bool) -> None:
    assert is_last_try(Counting(flag | TokenFlag.LOGIN_REQUIRED)) is last


def test_a_token_that_was_restarted_signs_again() -> None:
    import pkcs11

    source = signing(in_token("ecdsa-p256", sessions=2))
    before = asyncio.run(source.answer_bytes(asked(1)))
    assert before.response_status is ResponseStatus.successful
    pkcs11.lib(MODULE).reinitialize()  # every session and login is gone
    after = asyncio.run(source.answer_bytes(asked(2)))
    assert after.response_status is ResponseStatus.successful, after.why
    assert examine(Response.parse(after.der), Subject(1, CA.certificate), at=AT).good


def test_a_token_whose_key_is_gone_is_try_later() -> None:
    import pkcs11

    made, label = a_signer(CA, "HSM gone"), next(LABELS)
    source = signing(loaded(made, with_key(made.key, label)))
    pkcs11.lib(MODULE).reinitialize()
    with next(iter(pkcs11.lib(MODULE).get_tokens())).open(rw=True, user_pin=PIN) as session:
        for found in list(session.get_objects({pkcs11.Attribute.LABEL: label})):
            found.destroy()
    pkcs11.lib(MODULE).reinitialize()
    given = asyncio.run(source.answer_bytes(asked()))
    assert given.response_status is ResponseStatus.tryLater
    assert "no private keys of that name" in given.why


def test_each_of_several_processes_has_its_own_sessions() -> None:
    """Workers are forked: a session that the parent opened must not be used by a child."""
    made, label = a_signer(CA, "HSM fork"), next(LABELS)
    where = with_key(made.key, label)
    script = f"""
import os
from holdfast.net.pkcs11 import Token
from holdfast.net.pkcs11_uri import Pkcs11Uri
from pkcs11 import Mechanism
token = Token(Pkcs11Uri.parse({where!r}), pin={PIN.encode()!r}, sessions=1)
sign = lambda: token.sign(lambda key: key.sign(b"d" * 32, mechanism=Mechanism.ECDSA))
assert len(sign()) == 64
children = []
for _ in range(3):
    child = os.fork()
    if not child:
        os._exit(0 if all(len(sign()) == 64 for _ in range(5)) else 1)
    children.append(child)
assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
assert len(sign()) == 64
print("well")
"""
    done = ran([sys.executable, "-c", script])
    assert done.stdout == b"well\n", done.stderr


# -- R34 ------------------------------------------------------------------------------------------


async def crowd(
    source: Signing, pool: BoundedPool, callers: int
) -> tuple[list[Answer], int, float]:
    """(answers, the most that ever waited, seconds that the slowest took)."""
    most, slowest = 0, 0.0

    async def one(number: int) -> Answer:
        nonlocal slowest
        begun = time.monotonic()
        given = await source.answer_bytes(asked(number))
        slowest = max(slowest, time.monotonic() - begun)
        return given

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, pool.waiting)
            await asyncio.sleep(0.001)

    watching = asyncio.create_task(watch())
    given = await asyncio.gather(*(one(number) for number in range(callers)))
    watching.cancel()
    return list(given), most, slowest


def slow_signer() -> Signer:
    return in_token("rsa-4096", sessions=1)


def test_r34_a_slow_token_sheds_load_and_the_queue_does_not_grow() -> None:
    pool = BoundedPool("the signer", threads=1, deadline=0.4, waiting=8)
    source = signing(slow_signer(), pool)
    given, most, slowest = asyncio.run(crowd(source, pool, 400))
    told = Counter(answer.response_status for answer in given)
    assert told[ResponseStatus.successful] >= 1
    assert told[ResponseStatus.tryLater] >= 300
    assert set(told) == {ResponseStatus.successful, ResponseStatus.tryLater}
    assert most <= 8
    assert slowest < 1.5  # the deadline, and the loop of a busy machine
    assert pool.refused == told[ResponseStatus.tryLater]
    assert all("wait already" in a.why or "within" in a.why for a in given if a.why)
    subject = Subject(1, CA.certificate)
    for answer in given:
        if answer.response_status is ResponseStatus.successful:
            assert examine(Response.parse(answer.der), subject, at=AT).good
    # and afterwards it is as before
    later = asyncio.run(source.answer_bytes(asked(1000)))
    assert later.response_status is ResponseStatus.successful, later.why


def test_r34_without_the_bound_the_queue_does_grow() -> None:
    """The red twin: the same crowd, and every one of it waits."""
    pool = BoundedPool("the signer", threads=1, deadline=60, waiting=1_000_000)
    source = signing(slow_signer(), pool)
    given, most, slowest = asyncio.run(crowd(source, pool, 100))
    assert {answer.response_status for answer in given} == {ResponseStatus.successful}
    assert most > 80
    assert slowest > 0.4


def test_the_openers_name_is_all_that_is_needed() -> None:
    """The PIN may stand in the URI, or be in the file that it names; nobody shows it."""
    made, label = a_signer(CA, "HSM URI"), next(LABELS)
    where = with_key(made.key, label)
    for pinned in (f"{where}&pin-value={PIN}", f"{where}&pin-source=file:{pin_file()}"):
        certificate = folder() / "uri.pem"
        certificate.write_bytes(made.pem)
        signer = load_signer(SignerPlace(certificate=str(certificate), key=pinned), CA.certificate)
        assert signer.blocking
        assert PIN not in repr(signer) + repr(signer.key) + repr(Pkcs11Uri.parse(pinned))
    token = Token(Pkcs11Uri.parse(where), pin=None)
    assert token.sessions == 4
    with pytest.raises(OperatorError, match="names no key"):
        open_key(Pkcs11Uri.parse(f"pkcs11:token=x?module-path={MODULE}"), made.certificate, pin=b"")


def test_a_pin_that_others_can_read_is_refused(tmp_path: Path) -> None:
    made = a_signer(CA, "HSM open PIN")
    where = with_key(made.key, next(LABELS))
    pin = private(tmp_path / "pin", PIN.encode())
    pin.chmod(0o644)
    with pytest.raises(OperatorError, match="a private file that others can read"):
        loaded(made, where, pin=pin)
    assert subprocess.run(["chmod", "600", str(pin)], check=True).returncode == 0
    assert loaded(made, where, pin=pin).blocking
