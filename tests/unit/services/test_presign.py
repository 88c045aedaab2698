"""Presigner: a change that was followed is never overwritten by what was listed before it (R32)."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from holdfast.errors import StoreError
from holdfast.ocsp.certid import ca_tag, serial_octets
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import RevocationReason
from holdfast.plan.presigning import Wish
from holdfast.plan.record import mask
from holdfast.plan.rows import GOOD_DER
from holdfast.plan.rules import Rules, Told
from holdfast.seams import LedgerEntry
from holdfast.services.presign import Presigner, Tally
from holdfast.services.signing_processes import LEAST, SMALLEST, SigningProcesses
from holdfast.services.signing_worker import Orders
from holdfast.stores.answers import Answers
from holdfast.stores.answers_filling import Filling
from support.apart import apart
from support.clock import FakeClock
from support.pki import AT, a_root

CA = a_root()
SIGNER = Signer(CA.certificate, CA.key, CA.certificate)
END = AT + timedelta(days=30)
COUNT = 1500


@dataclass
class Filed:
    """A ledger that does not tell its changes. `version`: changes with what it says."""

    listed: list[LedgerEntry]
    version: int = 1

    @property
    def blocking(self) -> bool:
        return False

    def entry(self, serial: int, /) -> LedgerEntry | None:
        return next((one for one in self.listed if one.serial == serial), None)

    def entries(self) -> Iterator[LedgerEntry]:
        return iter(list(self.listed))


@dataclass
class Scripted(Filed):
    """A ledger that tells its changes. `later`: what it says when it is asked for changes the
    first time, after it was listed."""

    later: list[LedgerEntry] = field(default_factory=list)
    fails: bool = False
    revision: int = 1

    def entries(self) -> Iterator[LedgerEntry]:
        if self.fails:
            raise StoreError("the ledger is away")
        return super().entries()

    def changes(self, since: int) -> tuple[int, tuple[LedgerEntry, ...]]:
        if since > 1 or not self.later:
            return since, ()
        return 2, tuple(self.later)


class Noting(Filling):
    """Notes at each word that it is as the ledger is how many good answers it holds."""

    def __init__(self, *args: object, **also: object) -> None:
        super().__init__(*args, **also)  # type: ignore[arg-type]
        self.noted: list[int] = []

    def compared(self, at: int) -> None:
        super().compared(at)
        held = self.records(None, 2 * COUNT)
        self.noted.append(sum(one.certificate_status == GOOD_DER for one in held))


class Hasty(FakeClock):
    """Each look at it is ten seconds later, so that changes are always to be looked for."""

    def monotonic(self) -> float:
        self.passed = getattr(self, "passed", 0.0) + 10.0
        return self.passed


def good(serial: int) -> LedgerEntry:
    return LedgerEntry(serial, END)


def revoked(serial: int, **also: object) -> LedgerEntry:
    return LedgerEntry(serial, END, AT, RevocationReason.KEY_COMPROMISE, **also)  # type: ignore[arg-type]


def done(
    store: Path,
    ledger: Filed,
    check: Callable[[Presigner, Noting], None],
    *,
    rules: Rules | None = None,
    delay: timedelta | None = timedelta(seconds=2),
    progress: Callable[[Filling], None] = lambda _shelf: None,
) -> None:
    """Presign `ledger` in a process of its own, and let `check` see."""

    def work() -> None:
        opened = partial(Noting, store, ca=CA.certificate)
        clock = Hasty(AT)
        chosen = rules or Rules()
        orders = Orders(
            build=lambda: lambda _at: SIGNER,
            opened=partial(opened, locked=False),
            rules=chosen,
            hash_algorithms=("sha1",),
            clock=clock,
        )
        processes = SigningProcesses(orders, count=2)
        presigner = Presigner(
            ledger=ledger,
            opened=opened,
            processes=processes,
            choose=lambda _at: SIGNER,
            wish=Wish(rules=chosen, hashes=mask(["sha1"])),
            clock=clock,
            identity=None if isinstance(ledger, Scripted) else lambda: ledger.version,
            delay=delay,
            progress=lambda _done, _total: progress(presigner.shelf),  # type: ignore[arg-type]
        )
        try:
            check(presigner, presigner.shelf)  # type: ignore[arg-type]
        finally:
            presigner.close()
            processes.close()

    apart(work)


def said(store: Path, serial: int) -> bytes | None:
    with Answers(store) as shelf:
        held = shelf.held(ca_tag(CA.certificate), serial_octets(serial))
    return None if held is None else held.der


@pytest.mark.parametrize("serial", [1, COUNT // 2, COUNT])
def test_r32_revoked_while_it_is_listed_and_signed(tmp_path: Path, serial: int) -> None:
    """Listed as good, revoked before it is signed: whichever is signed first, revoked it stays."""
    store = tmp_path / "answers.lmdb"
    ledger = Scripted([good(n) for n in range(1, COUNT + 1)], later=[revoked(serial)])

    def check(presigner: Presigner, shelf: Filling) -> None:
        presigner.run()
        one = shelf.one(serial_octets(serial))
        assert one is not None
        assert one.certificate_status != GOOD_DER
        other = shelf.one(serial_octets(serial % COUNT + 1))
        assert other is not None
        assert other.certificate_status == GOOD_DER
        assert shelf.count() == COUNT

    done(store, ledger, check)


@pytest.mark.parametrize("told", [False, True])
def test_r32_nothing_is_believed_before_all_that_is_wrong_is_signed(
    tmp_path: Path, told: bool
) -> None:
    """All is revoked at once, and found when all is compared again. As long as a good answer is
    held the shelf does not say that it is as the ledger is; clients would be told that."""
    all_good = [good(n) for n in range(1, COUNT + 1)]
    all_revoked = [revoked(n) for n in range(1, COUNT + 1)]
    ledger = Scripted(all_good) if told else Filed(all_good)

    def check(presigner: Presigner, shelf: Noting) -> None:
        assert_signed(presigner.run(), COUNT)
        assert shelf.noted[-1] == COUNT, "all are good, and it says so"
        reached = len(shelf.noted)
        if isinstance(ledger, Scripted):
            ledger.listed, ledger.later, ledger.revision = all_revoked, all_revoked, 2
        else:
            ledger.listed, ledger.version = all_revoked, 2
        presigner.run()
        assert set(shelf.noted[reached:]) == {0}
        reached = len(shelf.noted)
        presigner.run()
        assert len(shelf.noted) > reached + 1, "while nothing changes it is said all along"

    done(tmp_path / "answers.lmdb", ledger, check)


def test_r32_nothing_is_believed_before_all_that_changed_is_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same when a ledger tells that all changed, which is signed in many batches."""
    monkeypatch.setattr("holdfast.services.presign.MOST", 100)
    ledger = Scripted([good(n) for n in range(1, COUNT + 1)])

    def check(presigner: Presigner, shelf: Noting) -> None:
        presigner.run()
        reached = len(shelf.noted)
        ledger.later = [revoked(n) for n in range(1, COUNT + 1)]
        assert_signed(presigner.look(), COUNT)
        assert shelf.noted[reached:] == [0]

    done(tmp_path / "answers.lmdb", ledger, check)


def test_its_red_twin_nobody_asks_for_changes(tmp_path: Path) -> None:
    """Without a delay the ledger is not asked again, and what was listed is what is said."""
    ledger = Scripted([good(n) for n in range(1, COUNT + 1)], later=[revoked(COUNT)])

    def check(presigner: Presigner, shelf: Filling) -> None:
        presigner.run()
        one = shelf.one(serial_octets(COUNT))
        assert one is not None
        assert one.certificate_status == GOOD_DER

    done(tmp_path / "answers.lmdb", ledger, check, delay=None)


def test_r32_issued_and_ended_while_it_is_listed(tmp_path: Path) -> None:
    ended = LedgerEntry(7, AT - timedelta(seconds=1))
    ledger = Scripted([good(n) for n in range(1, COUNT + 1)], later=[good(9999), ended])

    def check(presigner: Presigner, shelf: Filling) -> None:
        presigner.run()
        assert shelf.one(serial_octets(9999)) is not None
        assert shelf.one(serial_octets(7)) is None
        assert shelf.count() == COUNT

    done(tmp_path / "answers.lmdb", ledger, check)


def test_what_is_wrong_is_put_right_before_anything_else_is_signed(tmp_path: Path) -> None:
    """Many are missing and one is wrong, the last: it is the first that is right."""
    store = tmp_path / "answers.lmdb"
    done(store, Scripted([good(COUNT)]), lambda presigner, _: assert_signed(presigner.run(), 1))
    ledger = Scripted([*(good(n) for n in range(1, COUNT)), revoked(COUNT)])
    first: list[bytes] = []

    def check(presigner: Presigner, _: Filling) -> None:
        assert_signed(presigner.run(), COUNT)
        assert first[0] != GOOD_DER

    def progress(shelf: Filling) -> None:
        """Told when what is missing is begun with, and now and then after."""
        one = shelf.one(serial_octets(COUNT))
        assert one is not None
        if not first:
            assert shelf.count() == 1
        first.append(one.certificate_status)

    done(store, ledger, check, delay=None, progress=progress)


def assert_signed(tally: Tally, count: int) -> None:
    assert tally.signed == count


def test_r12_what_is_told_beside_a_revocation_is_signed_live(tmp_path: Path) -> None:
    """An invalidity date differs from one to the next; without the rule it is not told."""
    since: datetime = AT - timedelta(days=3)
    ledger = Scripted([good(1), revoked(2, invalidity_date=since), revoked(3)])
    tells = Rules(tell=frozenset({Told.INVALIDITY_DATE}))
    for rules, held in ((tells, [True, False, True]), (Rules(), [True, True, True])):

        def check(presigner: Presigner, shelf: Filling, held: list[bool] = held) -> None:
            presigner.run()
            found = [shelf.one(serial_octets(n)) is not None for n in (1, 2, 3)]
            assert found == held

        done(tmp_path / "answers.lmdb", ledger, check, rules=rules)


def test_a_ledger_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    store = tmp_path / "answers.lmdb"
    done(store, Scripted([good(1)]), lambda presigner, _: assert_signed(presigner.run(), 1))
    before = said(store, 1)

    def check(presigner: Presigner, _: Filling) -> None:
        with pytest.raises(StoreError, match="the ledger is away"):
            presigner.run()

    done(store, Scripted([], fails=True), check)
    assert said(store, 1) == before is not None


def processes_for(store: Path) -> SigningProcesses:
    return SigningProcesses(
        Orders(
            build=lambda: lambda _at: SIGNER,
            opened=lambda: Filling(store, ca=CA.certificate),
            rules=Rules(),
            hash_algorithms=("sha1",),
            clock=FakeClock(AT),
        ),
        count=3,
    )


def test_the_last_batches_are_small_and_none_is_tiny(tmp_path: Path) -> None:
    """All processes end at about the same time, and commits stay few."""

    def work() -> None:
        processes = processes_for(tmp_path / "x")
        for batch, rows in ((4000, 100_000), (100, 1000), (LEAST, 50), (4000, 1)):
            processes.batch = batch
            left, shares = rows, []
            while left > 0:
                shares.append(min(left, processes.share(left)))
                left -= shares[-1]
            assert sum(shares) == rows
            assert max(shares) <= batch
            assert shares == sorted(shares, reverse=True)
            assert sum(shares[-3:]) <= max(3 * LEAST, 3 * batch // SMALLEST)
            assert len(shares) <= rows // batch + 2 * SMALLEST + 6
        processes.close()

    apart(work)


def test_signing_processes_end_when_who_gives_the_batches_ends(tmp_path: Path) -> None:
    def work() -> None:
        processes = processes_for(tmp_path / "x")
        started = multiprocessing.active_children()
        assert len(started) == 3
        processes.close()
        assert [one.exitcode for one in started] == [0, 0, 0]

    apart(work)
