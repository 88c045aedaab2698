"""Who may refresh, and whose address counts: each right beside its attack."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from holdfast.services.web.access import Access, Asker, from_elsewhere
from holdfast.services.web.limits import Buckets, client_of

TOKEN = "0123456789abcdef"


def asker(peer: str = "127.0.0.1", **headers: str) -> Asker:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Asker(peer=peer, headers=CIMultiDict({"Host": "127.0.0.1:8480", **named}))


ALLOWED = {
    "this machine": asker(),
    "by name": asker(Host="localhost:8480"),
    "over IPv6": asker("::1", Host="[::1]:8480"),
    "its own page": asker(Origin="http://127.0.0.1:8480"),
    "its own page, told by the browser": asker(Sec_Fetch_Site="same-origin"),
    "typed": asker(Sec_Fetch_Site="none"),
}
REFUSED = {
    "another machine": asker("192.0.2.7"),
    "a private network": asker("10.0.0.1"),
    "through a proxy": asker(X_Forwarded_For="192.0.2.7"),
    "through a proxy that says so otherwise": asker(Forwarded="for=192.0.2.7"),
    "through a proxy that only names itself": asker(Via="1.1 front"),
    "rebound name": asker(Host="evil.test:8480"),
    "a name that begins like ours": asker(Host="127.0.0.1.evil.test"),
    "another site's page": asker(Origin="https://evil.test"),
    "a page without origin": asker(Origin="null"),
    "another port's page": asker(Origin="http://127.0.0.1:9"),
    "another site, told by the browser": asker(Sec_Fetch_Site="cross-site"),
    "another host of the site": asker(Sec_Fetch_Site="same-site"),
    "no host": asker(Host=""),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_without_a_token_this_machine_may(case: str) -> None:
    assert Access().refusal(ALLOWED[case], "") == ""


@pytest.mark.parametrize("case", REFUSED)
def test_and_nobody_else(case: str) -> None:
    assert Access().refusal(REFUSED[case], "") != ""


def test_with_a_token_everybody_who_has_it_and_nobody_else() -> None:
    access = Access(token=TOKEN)
    far = asker("192.0.2.7", Host="status.example", X_Forwarded_For="192.0.2.9")
    assert access.refusal(far, TOKEN) == ""
    for wrong in ("", TOKEN[:-1], TOKEN + "x", "\u0660", "ä" * 16):
        assert access.refusal(far, wrong) == "the token is missing or wrong"
        assert access.refusal(asker(), wrong) != ""  # not this machine either
    assert access.refusal(asker(Sec_Fetch_Site="cross-site"), TOKEN) != ""


def test_only_trusted_proxies_are_believed() -> None:
    believing = Access(trust_forwarded=("127.0.0.1", "10.0.0.0/8"))
    told = "203.0.113.9, 192.0.2.7, 10.1.2.3"  # the first was written by the client itself
    assert believing.client(asker(X_Forwarded_For=told)) == "192.0.2.7"
    assert believing.client(asker("192.0.2.1", X_Forwarded_For=told)) == "192.0.2.1"
    assert believing.client(asker(X_Forwarded_For="nonsense")) == "127.0.0.1"
    assert believing.client(asker()) == "127.0.0.1"
    assert Access().client(asker(X_Forwarded_For=told)) == "127.0.0.1"


def test_scripts_without_browser_headers_are_no_other_site() -> None:
    assert not from_elsewhere(CIMultiDict({"Host": "a.test"}))


def test_a_household_is_one_client() -> None:
    assert client_of("2001:db8:1:2:3::4") == client_of("2001:db8:1:2:ffff::1")
    assert client_of("2001:db8:1:2::1") != client_of("2001:db8:1:3::1")
    assert client_of("::ffff:192.0.2.7") == client_of("192.0.2.7") == "192.0.2.7"
    assert client_of("fe80::1%eth0") == "fe80::"
    assert client_of("no address") == "?"


def test_tokens_come_back_evenly_and_the_table_is_bounded() -> None:
    now = [0.0]
    buckets = Buckets(2, seconds=60, monotonic=lambda: now[0], clients=3)
    assert [buckets.take("a"), buckets.take("a")] == [0, 0]
    assert buckets.take("a") == pytest.approx(30)
    now[0] = 29.0
    assert buckets.take("a") == pytest.approx(1)
    now[0] = 30.0
    assert buckets.take("a") == 0
    assert buckets.take("a") == pytest.approx(30)
    for client in "bcde":
        assert buckets.take(client) == 0
    assert len(buckets) == 3
    now[0] = 1e6
    assert [buckets.take("e") for _ in range(3)].count(0) == 2  # never more than a full bucket
