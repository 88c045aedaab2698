"""What the relay answers from. K2, K20."""

from __future__ import annotations

from datetime import timedelta

import pytest

from holdfast.ocsp.certid import HASH_OIDS
from holdfast.servers.relay_shelf import RelayShelf
from support.clock import FakeClock
from support.pki import AT, a_root
from support.staples import a_desk

HOUR = timedelta(hours=1)
DESK = a_desk("www.example.org")
CERTID = DESK.subject.certid


@pytest.mark.parametrize("name", HASH_OIDS)
def test_found_by_every_hash(name: str) -> None:
    shelf, staple = RelayShelf(clock=FakeClock()), DESK.staple()
    shelf.put("web", staple)
    assert shelf.held(DESK.subject.certid_by(name)) is staple


def test_not_found_by_another_serial_issuer_or_hash() -> None:
    shelf = RelayShelf(clock=FakeClock())
    shelf.put("web", DESK.staple())
    other = a_desk("x", ca=a_root("Another Root"), serial=CERTID.serial).subject.certid
    for certid in (
        CERTID._replace(serial=CERTID.serial + 1),
        CERTID._replace(hash_algorithm="1.2.3"),
        CERTID._replace(issuer_key_hash=bytes(20)),
        other,
    ):
        assert shelf.held(certid) is None


def test_two_cas_may_have_given_the_same_serial() -> None:
    shelf = RelayShelf(clock=FakeClock())
    other = a_desk("x", ca=a_root("Another Root"), serial=CERTID.serial)
    ours, theirs = DESK.staple(), other.staple()
    shelf.put("web", ours)
    shelf.put("web", theirs)
    assert shelf.held(CERTID) is ours
    assert shelf.held(other.subject.certid) is theirs
    shelf.remove("web", CERTID)
    shelf.forget(CERTID)
    assert shelf.held(CERTID) is None
    assert shelf.held(other.subject.certid) is theirs


def test_what_two_servers_were_given_stays_until_both_gave_it_back() -> None:
    shelf, staple = RelayShelf(clock=FakeClock()), DESK.staple()
    for server in ("web", "mail"):
        shelf.put(server, staple)
    shelf.remove("web", CERTID)
    assert shelf.held(CERTID) is staple
    shelf.remove("mail", CERTID)
    shelf.remove("mail", CERTID)
    assert shelf.held(CERTID) is None


def test_it_knows_when_it_last_answered_something_else() -> None:
    clock = FakeClock(AT)
    shelf = RelayShelf(clock=clock)
    assert shelf.answered_else(CERTID) is None
    shelf.put("web", DESK.staple())
    shelf.held(CERTID)
    assert shelf.answered_else(CERTID) is None, "nothing else was ever answered"
    clock.advance(HOUR)
    shelf.held(CERTID)
    second = DESK.staple(AT + HOUR)
    shelf.put("web", second)
    clock.advance(HOUR)
    shelf.held(CERTID)
    assert shelf.answered_else(CERTID) == AT + HOUR
    shelf.put("web", second)
    assert shelf.answered_else(CERTID) == AT + HOUR, "the same again changes nothing"
    shelf.put("web", DESK.staple(AT + 2 * HOUR))
    shelf.put("web", DESK.staple(AT + 3 * HOUR))
    assert shelf.answered_else(CERTID) == AT + 2 * HOUR, "one that nobody saw"
    shelf.remove("web", CERTID)
    assert shelf.answered_else(CERTID) == AT + 2 * HOUR
    shelf.forget(CERTID)
    assert shelf.answered_else(CERTID) is None


def test_forgetting_takes_no_staple_away() -> None:
    shelf, staple = RelayShelf(clock=FakeClock()), DESK.staple()
    shelf.put("web", staple)
    shelf.forget(CERTID)
    assert shelf.held(CERTID) is staple
