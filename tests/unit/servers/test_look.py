"""How long a server is looked at after its reload: until it shows what it was given (K21)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from holdfast.errors import DeliveryError
from holdfast.ocsp.certid import Subject
from holdfast.servers import look as look_module
from holdfast.servers.look import AWAY, Look
from holdfast.servers.reloads import Change
from holdfast.tls.observation import Observation
from support.pki import AT
from support.staples import a_desk

DESK = a_desk("www.example.test")
OLD, NEW = DESK.staple(), DESK.staple(AT + timedelta(hours=1))


def showing(staple: bytes | None) -> Observation:
    return Observation(
        address="192.0.2.1:443",
        sni="www.example.test",
        asked="1.3",
        tls="TLSv1.3",
        cipher="TLS_AES_256_GCM_SHA384",
        key_type="ECDSA P-256",
        milliseconds=1.0,
        staples=(staple,),
        chain=(DESK.server.certificate.der,),
    )


class Scripted(Look):
    """What each look sees; the last is seen from then on."""

    def __init__(self, *seen: Observation | None) -> None:
        super().__init__("web", ("127.0.0.1", 1))
        self.script: Sequence[Observation | None] = seen
        self.looks = 0

    async def _seen(self, subject: Subject) -> Observation | None:
        self.looks += 1
        return self.script[min(self.looks, len(self.script)) - 1]


def look(*seen: Observation | None, within: float = 5) -> int:
    """How many looks the delivery of `NEW` takes."""
    scripted = Scripted(*seen)
    change = Change(NEW.subject.certid, NEW)
    asyncio.run(scripted.until_shown(change, within=within))
    return scripted.looks


def test_k21_a_dropped_handshake_of_a_restart_is_not_the_end_of_looking() -> None:
    old, new = showing(OLD.der), showing(NEW.der)
    assert look(new) == 1
    assert look(old, None, None, old, None, new) == 6


def test_a_server_that_did_not_hear_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_module, "AGAIN_AFTER", 0.0)
    scripted = Scripted(showing(OLD.der))

    async def again() -> None:
        scripted.script = (showing(NEW.der),)

    change = Change(NEW.subject.certid, NEW)
    asyncio.run(scripted.until_shown(change, within=5, again=again))
    assert scripted.looks == 2


def test_a_server_that_is_not_there_is_left_to_its_proof() -> None:
    assert look(None) == AWAY
    assert look(None, within=0) == 1


def test_k21_red_one_that_shows_another_staple_is_told() -> None:
    with pytest.raises(DeliveryError, match="shows another staple"):
        look(showing(OLD.der), within=0)
    with pytest.raises(DeliveryError, match="shows no staple"):
        look(showing(None), within=0)
