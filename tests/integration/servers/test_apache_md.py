"""Debian's Apache with mod_md, by its store and the relay. K1, K4, K11, K21, K27, K28."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from holdfast.errors import DeliveryError
from holdfast.ocsp.statuses import RevocationReason, Revoked
from holdfast.plan.reloading import Pace
from holdfast.servers.apache_md import ApacheMdServer, apache_md_snippet
from holdfast.servers.relay_shelf import RelayShelf
from holdfast.services.proof import Proof
from support.servers.apache import PROGRAM, Apache, can_read
from support.servers.relayed import DAY, HOUR, RESPONDER, RelayStand, a_relay
from support.tls_world import NOW

MINUTE = timedelta(minutes=1)
AT_ONCE = Pace(interval=timedelta(0), gather=timedelta(0))
REVOKED = Revoked(NOW - HOUR, RevocationReason.KEY_COMPROMISE)


@pytest.fixture
def stand() -> Iterator[RelayStand]:
    with a_relay() as made:
        yield made


@pytest.fixture
def apache(stand: RelayStand) -> Iterator[Apache]:
    with apache_of(stand) as started:
        yield started


def apache_of(stand: RelayStand) -> Apache:
    snippet = apache_md_snippet(stand.address, store="${APACHE_RUN_DIR}/md")
    return Apache(
        {"site": stand.desk.server}, stapling=snippet, modules=("md",), shift=stand.shift, workers=2
    )


def adapter_of(stand: RelayStand, apache: Apache, *, pace: Pace = AT_ONCE) -> ApacheMdServer:
    return ApacheMdServer(
        "web",
        shelf=stand.shelf,
        clock=stand.clock,
        store=str(apache.folder / "md"),
        pid_file=str(apache.pid_file),
        test=(PROGRAM, "-f", str(apache.configuration), "-t"),
        pace=pace,
    )


def shown_soon(stand: RelayStand, apache: Apache, expected: bytes | None) -> bool:
    """Whether it is shown within 10 s: after a start mod_md asks in the background."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if stand.shown(apache.port) == expected:
            return True
        time.sleep(0.02)
    return False


def store_files(apache: Apache) -> list[str]:
    md = apache.folder / "md"
    found = [*md.glob("ocsp/*/ocsp-*.json"), *md.glob("holdfast/*")]
    return sorted(path.name for path in found)


def test_k21_each_delivery_is_shown_by_every_child(stand: RelayStand, apache: Apache) -> None:
    adapter = adapter_of(stand, apache)
    prove = Proof({"web": ("127.0.0.1", apache.port)})
    assert stand.shown(apache.port) is None
    for age in (3, 2, 2, 1):
        staple = stand.staple(age=age * MINUTE)
        stand.run(adapter.deliver(staple))
        for _ in range(5):
            stand.run(prove("web", staple))
    assert adapter.reloads == 4


def test_k1_a_restart_with_nobody_to_ask_is_stapled_from_the_first_handshake(
    stand: RelayStand, apache: Apache
) -> None:
    staple = stand.staple()
    stand.run(adapter_of(stand, apache).deliver(staple))
    stand.stop()
    apache.restart()
    assert stand.shown(apache.port) == staple.der
    (entry,) = (apache.folder / "md").glob("ocsp/other/ocsp-*.json")
    assert can_read(entry)


def test_before_its_very_first_start_there_is_no_store_and_mod_md_asks_the_relay(
    stand: RelayStand,
) -> None:
    """MDHttpProxy: an absolute target, HTTP/1.1, a nonce."""
    apache = apache_of(stand)
    staple = stand.staple()
    stand.run(adapter_of(stand, apache).deliver(staple))
    with apache:
        assert shown_soon(stand, apache, staple.der)
    asked = stand.asked[0]
    assert (asked.method, asked.version, asked.target) == ("POST", "1.1", RESPONDER.encode())
    assert bytes.fromhex("06092b0601050507300102") in asked.body, "id-pkix-ocsp-nonce"


def test_what_mod_md_fetched_by_itself_is_replaced_where_it_lies(stand: RelayStand) -> None:
    first, second = stand.staple(), stand.staple(age=MINUTE)
    stand.shelf.put("web", first)
    with apache_of(stand) as apache:
        assert shown_soon(stand, apache, first.der)
        (entry,) = (apache.folder / "md").glob("ocsp/other/ocsp-*.json")
        by_mod_md = json.loads(entry.read_text())
        adapter = adapter_of(stand, apache)
        stand.run(adapter.deliver(first))
        assert json.loads(entry.read_text()) == by_mod_md, "written as mod_md writes"
        stand.run(adapter.deliver(second))
        assert stand.shown(apache.port) == second.der


def test_k4_withdraw_leaves_no_staple_nor_does_a_restart(stand: RelayStand, apache: Apache) -> None:
    adapter, staple = adapter_of(stand, apache), stand.staple()
    stand.run(adapter.withdraw(stand.certid))
    assert adapter.reloads == 0
    stand.run(adapter.deliver(staple))
    stand.run(adapter.withdraw(stand.certid))
    assert stand.shown(apache.port) is None
    assert store_files(apache) == []
    apache.restart()
    for _ in range(3):
        assert stand.shown(apache.port) is None
    stand.run(adapter.deliver(staple))
    assert stand.shown(apache.port) == staple.der


def test_k27_red_twin_mod_md_sends_what_has_ended_until_another_process_takes_it(
    stand: RelayStand, apache: Apache
) -> None:
    """The keeper is gone. Without `holdfast withdraw --expired` mod_md would go on for ever."""
    staple = stand.staple(window=2 * HOUR)
    stand.run(adapter_of(stand, apache).deliver(staple))
    stand.stop()
    stand.shift.by(8 * DAY)
    assert stand.shown(apache.port) == staple.der
    apache.restart()
    assert stand.shown(apache.port) == staple.der
    stand.shelf = RelayShelf(clock=stand.clock)  # another process, which remembers nothing
    stand.run(adapter_of(stand, apache).withdraw(stand.certid))
    assert stand.shown(apache.port) is None
    apache.restart()
    assert stand.shown(apache.port) is None
    assert store_files(apache) == []


def test_k11_revoked_replaces_good(stand: RelayStand, apache: Apache) -> None:
    adapter = adapter_of(stand, apache)
    stand.run(adapter.deliver(stand.staple()))
    revoked = stand.staple(age=MINUTE, status=REVOKED)
    stand.run(adapter.deliver(revoked))
    assert stand.shown(apache.port) == revoked.der
    apache.restart()
    assert stand.shown(apache.port) == revoked.der


def test_a_mistake_in_the_configuration_is_told_and_nothing_changes(
    stand: RelayStand, apache: Apache
) -> None:
    """Apache would not survive a graceful restart."""
    adapter, good = adapter_of(stand, apache), stand.staple()
    stand.run(adapter.deliver(good))
    apache.write("MDStapling on", "MDStapling perhaps")
    line = apache.configuration.read_text().split("MDStapling perhaps")[0].count("\n") + 1
    with pytest.raises(DeliveryError) as refused:
        stand.run(adapter.deliver(stand.staple(age=MINUTE)))
    assert f"Syntax error on line {line} of {apache.configuration}" in refused.value.message
    assert stand.shown(apache.port) == good.der
    apache.write("MDStapling perhaps", "MDStapling on")
    stand.stop()
    apache.restart()
    assert stand.shown(apache.port) == good.der, "what was there has been put back"


def test_apache_that_does_not_run_reads_its_store_when_it_starts(stand: RelayStand) -> None:
    apache = apache_of(stand)
    with apache:
        stand.run(adapter_of(stand, apache).deliver(stand.staple()))
        apache.stop()
        newer = stand.staple(age=MINUTE)
        stand.run(adapter_of(stand, apache).deliver(newer))
        stand.stop()
        apache.start()
        assert stand.shown(apache.port) == newer.der


def test_k28_a_newer_good_one_waits_for_the_next_restart(stand: RelayStand, apache: Apache) -> None:
    adapter = adapter_of(stand, apache, pace=Pace(gather=timedelta(milliseconds=10)))
    first, second = stand.staple(), stand.staple(age=MINUTE)
    stand.run(adapter.deliver(first))
    waiting = stand.begin(adapter.deliver(second))
    assert stand.shown(apache.port) == first.der
    assert not waiting.done()
    stand.shift.by(6 * MINUTE)
    waiting.result(timeout=10)
    assert adapter.reloads == 2
    assert stand.shown(apache.port) == second.der


def test_what_mod_md_never_staples_is_told() -> None:
    with a_relay(responder_urls=()) as stand:
        apache = apache_of(stand)
        with apache, pytest.raises(DeliveryError, match="names no responder") as refused:
            stand.run(adapter_of(stand, apache).deliver(stand.staple()))
        assert 'kind = "apache"' in refused.value.hint
    with a_relay() as stand:
        apache = apache_of(stand)
        with apache, pytest.raises(DeliveryError, match="without nextUpdate"):
            stand.run(adapter_of(stand, apache).deliver(stand.staple(window=None)))
