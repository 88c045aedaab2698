"""The ledger of CRLs: files and URLs, refreshed in time, refused when not to be believed."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from holdfast.errors import StoreError
from holdfast.net.dial import AddressPolicy
from holdfast.net.http_client import Http
from holdfast.net.http_server import Reply, Request
from holdfast.ocsp.single_extensions import CrlID
from holdfast.pki import pem
from holdfast.pki.issue import Authority, Revocation
from holdfast.stores.crl import MAX_TEXT, CrlLedger, Unlisted
from support.clock import FakeClock
from support.http import misbehaving, serving
from support.pki import AT, a_root

CA = a_root()
OTHER = a_root("CRL Signer")
DAY = timedelta(days=1)


def a_list(
    *serials: int,
    number: int = 1,
    base: int | None = None,
    at: datetime = AT,
    ca: Authority = CA,
    lasts: timedelta = DAY,
) -> bytes:
    return ca.crl(
        [Revocation(serial, AT, 1) for serial in serials],
        this_update=at,
        next_update=at + lasts,
        number=number,
        delta_base=base,
    )


def a_file(folder: Path, data: bytes, name: str = "ca.crl") -> Path:
    beside = folder / "new"
    beside.write_bytes(data)
    return beside.replace(folder / name)


class Site:
    """A web server's one CRL: what it gives, and what it was asked."""

    def __init__(self, data: bytes) -> None:
        self.data, self.status, self.asked = data, 200, 0
        self.not_modified = 0

    async def handle(self, request: Request) -> Reply:
        self.asked += 1
        etag = b'"%d"' % hash(self.data)
        if request.header(b"if-none-match") == etag:
            self.not_modified += 1
            return Reply(304, b"", ())
        return Reply(self.status, self.data, ((b"ETag", etag),))


def test_pem_and_several_in_one_file(tmp_path: Path) -> None:
    both = pem.encode("X509 CRL", a_list(1, number=5)) + pem.encode(
        "X509 CRL", a_list(2, number=6, base=5)
    )
    ledger = CrlLedger([a_file(tmp_path, both)], ca=CA.certificate, clock=FakeClock(AT))
    assert sorted(entry.serial for entry in ledger.entries()) == [1, 2]


def test_r12_an_entry_tells_its_list_and_its_invalidity_date(tmp_path: Path) -> None:
    """R12: of a full list and a delta, each its own; a file's path is told to nobody."""
    full = CA.crl(
        [Revocation(1, AT, 1, AT - 3 * DAY), Revocation(2, AT, 4)],
        this_update=AT,
        next_update=AT + DAY,
        number=5,
    )
    later = AT + timedelta(minutes=1)
    delta = a_list(3, number=6, base=5, at=later)
    both = pem.encode("X509 CRL", full) + pem.encode("X509 CRL", delta)
    clock = FakeClock(later)
    ledger = CrlLedger([a_file(tmp_path, both)], ca=CA.certificate, clock=clock)
    found = {entry.serial: entry for entry in ledger.entries()}
    assert found[1].invalidity_date == AT - 3 * DAY
    assert found[2].invalidity_date is None
    assert found[1].crl == found[2].crl == CrlID(None, 5, AT)
    assert found[3].crl == CrlID(None, 6, later)
    assert ledger.entry(1) == found[1]


def test_unlisted_is_good_only_when_the_operator_says_so(tmp_path: Path) -> None:
    """R11: a CRL cannot tell what was issued."""
    path = a_file(tmp_path, a_list(1))
    clock = FakeClock(AT)
    assert CrlLedger([path], ca=CA.certificate, clock=clock).entry(2) is None
    ledger = CrlLedger([path], ca=CA.certificate, clock=clock, unlisted=Unlisted.GOOD)
    two, one = ledger.entry(2), ledger.entry(1)
    assert two is not None
    assert one is not None
    assert (two.revoked_at, two.not_after) == (None, CA.certificate.not_after)
    assert one.revoked_at == AT


def test_unlisted_is_not_good_where_the_lists_are_blind(tmp_path: Path) -> None:
    """The red twin: a list that passes over CAs could pass over a revoked one."""
    from unit.pki.test_crl_view import a_point

    der = CA.crl(
        [],
        this_update=AT,
        next_update=AT + DAY,
        extensions=[a_point(only_contains_user_certs=True)],
    )
    path = a_file(tmp_path, der)
    ledger = CrlLedger([path], ca=CA.certificate, clock=FakeClock(AT), unlisted=Unlisted.GOOD)
    with pytest.raises(StoreError, match="do not speak of the certificates of CAs"):
        ledger.entry(2)
    assert CrlLedger([path], ca=CA.certificate, clock=FakeClock(AT)).entry(2) is None


def test_an_ended_list_says_nothing_and_alerts_once(tmp_path: Path) -> None:
    clock = FakeClock(AT)
    path = a_file(tmp_path, a_list(1))
    ledger = CrlLedger([path], ca=CA.certificate, clock=clock, unlisted=Unlisted.GOOD)
    clock.advance(DAY - timedelta(seconds=1))
    assert ledger.entry(2) is not None
    clock.advance(timedelta(seconds=1))
    with capture_logs() as logs:
        for serial in (1, 2, 3):
            with pytest.raises(StoreError, match="ended at 2026-06-02T12:00:00Z") as caught:
                ledger.entry(serial)
            assert str(path) in caught.value.message
    assert [line["log_level"] for line in logs] == ["error"]
    a_file(tmp_path, a_list(1, 3, number=2, at=AT + DAY))
    with capture_logs() as logs:
        found = ledger.entry(3)
    assert found is not None
    assert found.revoked_at is not None
    assert [line["event"] for line in logs] == ["crl can be used again"]


def test_the_clock_going_back_before_a_list_is_no_matter(tmp_path: Path) -> None:
    clock = FakeClock(AT)
    ledger = CrlLedger([a_file(tmp_path, a_list(1))], ca=CA.certificate, clock=clock)
    clock.jump(-DAY)
    with pytest.raises(StoreError, match="of the future"):
        ledger.entry(1)


def test_a_missing_file_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "none.crl"
    ledger = CrlLedger([path], ca=CA.certificate, clock=FakeClock(AT), unlisted=Unlisted.GOOD)
    with pytest.raises(StoreError, match="No such file"):
        ledger.entry(1)
    a_file(tmp_path, a_list(1), "none.crl")
    assert ledger.entry(1) is not None


def test_a_smaller_number_is_refused_and_the_greater_stays(tmp_path: Path) -> None:
    clock = FakeClock(AT + timedelta(hours=1))
    path = a_file(tmp_path, a_list(1, number=7))
    ledger = CrlLedger([path], ca=CA.certificate, clock=clock)
    assert ledger.entry(1) is not None
    with capture_logs() as logs:
        a_file(tmp_path, a_list(number=6, at=AT + timedelta(hours=1)))
        assert ledger.entry(1) is not None
    (line,) = logs
    assert (line["log_level"], line["number"], line["held"]) == ("error", 6, 7)
    a_file(tmp_path, a_list(number=8))
    assert ledger.entry(1) is None


def test_a_foreign_signature_is_refused_and_nothing_is_said(tmp_path: Path) -> None:
    path = a_file(tmp_path, a_list(1, number=1))
    ledger = CrlLedger([path], ca=CA.certificate, clock=FakeClock(AT))
    assert ledger.entry(1) is not None
    a_file(tmp_path, a_list(number=2, ca=a_root(who="another key")))
    with pytest.raises(StoreError, match="neither CN=Test Root nor") as caught:
        ledger.entry(1)
    assert "--crl-issuer" in caught.value.hint


def test_an_indirect_list_of_a_named_issuer(tmp_path: Path) -> None:
    der = OTHER.crl(
        [Revocation(2, AT, issuer=CA.certificate), Revocation(3, AT, issuer=OTHER.certificate)],
        this_update=AT,
        next_update=AT + DAY,
        indirect=True,
    )
    path = a_file(tmp_path, der)
    clock = FakeClock(AT)
    ledger = CrlLedger([path], ca=CA.certificate, clock=clock, issuers=[OTHER.certificate])
    assert [entry.serial for entry in ledger.entries()] == [2]
    with pytest.raises(StoreError, match="neither"):
        CrlLedger([path], ca=CA.certificate, clock=clock).entry(2)


def test_another_key_of_the_ca_starts_another_series(tmp_path: Path) -> None:
    """What stood in the file before does not hold the answers up when it ends."""
    clock = FakeClock(AT)
    old = a_root(who="old key")
    path = a_file(tmp_path, a_list(1, number=9, ca=old, lasts=timedelta(hours=1)))
    ledger = CrlLedger([path], ca=CA.certificate, clock=clock, issuers=[old.certificate])
    assert ledger.entry(1) is not None
    a_file(tmp_path, a_list(2, number=1))
    clock.advance(timedelta(hours=2))
    assert [entry.serial for entry in ledger.entries()] == [2]


# -- URLs -------------------------------------------------------------------------------------


def test_urls_are_refreshed_before_they_end() -> None:
    """R32: and each time they are looked at, what is new counts."""

    async def scene() -> None:
        clock, site = FakeClock(AT), Site(a_list(1, lasts=timedelta(hours=8)))
        async with serving(site.handle) as server:
            url = f"http://127.0.0.1:{server.port}/ca.crl"
            ledger = CrlLedger([url], ca=CA.certificate, clock=clock)
            with pytest.raises(StoreError, match="not fetched yet"):
                ledger.entry(1)
            await ledger.refresh()
            found = ledger.entry(1)
            assert found is not None
            assert found.crl == CrlID(url, 1, AT)  # R12
            follower = asyncio.create_task(ledger.follow())
            await clock.until_asleep()
            assert clock.next_wake == AT + timedelta(hours=1)
            site.data = a_list(1, 2, number=2, lasts=timedelta(hours=8))
            clock.advance(timedelta(hours=1))
            async with asyncio.timeout(10):
                while ledger.entry(2) is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            await clock.until_asleep()
            assert clock.next_wake == AT + timedelta(hours=2)
            follower.cancel()

    asyncio.run(scene())


def test_what_was_fetched_stays_until_its_own_end() -> None:
    async def scene() -> None:
        clock, site = FakeClock(AT), Site(a_list(1))
        async with serving(site.handle) as server:
            url = f"http://127.0.0.1:{server.port}/ca.crl"
            ledger = CrlLedger([url], ca=CA.certificate, clock=clock)
            await ledger.refresh()
            await ledger.refresh()
            assert (site.asked, site.not_modified) == (2, 1)
            for status, data in ((500, b""), (200, b"<html>"), (200, a_list(ca=OTHER))):
                site.status, site.data = status, data
                with capture_logs() as logs:
                    await ledger.refresh()
                assert [line["log_level"] for line in logs] == ["warning"]
                assert ledger.entry(1) is not None
            clock.advance(DAY)
            with pytest.raises(StoreError, match="the CRL ended"):
                ledger.entry(1)

    asyncio.run(scene())


def test_the_address_policy_holds_for_lists() -> None:
    """The red twin: the same server, by a client that may not dial loopback."""

    async def scene() -> None:
        site = Site(a_list(1))
        strict = AddressPolicy(allow_private=False, allow_loopback=False)
        async with serving(site.handle) as server:
            ledger = CrlLedger(
                [f"http://127.0.0.1:{server.port}/ca.crl"],
                ca=CA.certificate,
                clock=FakeClock(AT),
                http=lambda: Http(policy=strict),
            )
            await ledger.refresh()
        assert site.asked == 0
        with pytest.raises(StoreError, match="not dialled"):
            ledger.entry(1)

    asyncio.run(scene())


def test_an_endless_or_a_huge_list_is_cut_off() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0")
        await asyncio.sleep(60)

    async def huge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (MAX_TEXT + 1))
        await asyncio.sleep(60)

    async def scene() -> None:
        for script, told in ((drip, "within 0.2 s"), (huge, "larger than")):
            async with misbehaving(script) as port:
                ledger = CrlLedger(
                    [f"http://127.0.0.1:{port}/"],
                    ca=CA.certificate,
                    clock=FakeClock(AT),
                    http=lambda: Http(timeout=0.2, max_bytes=MAX_TEXT),
                )
                await ledger.refresh()
                with pytest.raises(StoreError, match=told):
                    ledger.entry(1)

    asyncio.run(scene())
