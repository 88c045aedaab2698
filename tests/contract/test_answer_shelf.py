"""What `seams.AnswerShelf` promises: read in this process, written by others, as in service."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import lmdb
import pytest

from holdfast.errors import OperatorError, StoreError
from holdfast.ocsp.certid import ca_tag, serial_octets
from holdfast.plan import record
from holdfast.seams import AnswerShelf
from holdfast.stores.answers import FORM_KEY, Answers
from holdfast.stores.answers_filling import Filling
from support.apart import apart
from support.held import held_answer
from support.pki import a_root

ONE = a_root("One").certificate
OTHER = a_root("Other").certificate
CAS = {"One": ONE, "Other": OTHER}
THEN, LATER = 1_780_000_000, 1_780_043_200
GOOD = b"\x80\x00"
MANY = [n.to_bytes(4, "big") for n in range(1 << 25, (1 << 25) + 9000)]


_READERS = """
import lmdb, sys
print(lmdb.open(sys.argv[1], subdir=False, readonly=True).readers())
"""


def value(der: bytes, this_update: int = THEN, next_update: int = LATER) -> bytes:
    whole = GOOD + der
    header = record.HEADER.pack(this_update, next_update, record.SIZE, 2, 1)
    return header + sha256(whole).digest() + whole


Fill = Callable[..., None]


@pytest.fixture(scope="module")
def fill() -> Iterator[Fill]:
    """Fills by a process that was forked before this one opened anything."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def run() -> None:
        ours.close()
        with contextlib.suppress(EOFError):
            while True:
                path, ca, answers, gone = theirs.recv()
                serials, values = [one for one, _ in answers], [value for _, value in answers]
                try:
                    with Filling(path, ca=CAS[ca]) as filling:
                        filling.write(serials, values, gone)
                    theirs.send(None)
                except BaseException as error:
                    theirs.send(repr(error))

    process = context.Process(target=run)
    process.start()
    theirs.close()

    def fill(
        path: Path, *answers: tuple[int, bytes], ca: str = "One", gone: tuple[int, ...] = ()
    ) -> None:
        rows = sorted((serial_octets(serial), value(der)) for serial, der in answers)
        ours.send((path, ca, rows, [serial_octets(serial) for serial in gone]))
        assert ours.recv() is None

    yield fill
    ours.close()
    process.join(10)


def held(shelf: AnswerShelf, serial: int, ca: str = "One") -> bytes | None:
    found = shelf.held(ca_tag(CAS[ca]), serial_octets(serial))
    return None if found is None else found.der


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.lmdb"


def test_several_are_held_as_each_alone(path: Path, fill: Fill) -> None:
    shelf = Answers(path)
    serials = [serial_octets(number) for number in (3, 1, 4, 1, 5)]
    assert shelf.held_together(ca_tag(ONE), serials) == [None] * 5
    fill(path, (1, b"first"), (3, b"third"))
    found = shelf.held_together(ca_tag(ONE), serials)
    assert found == [shelf.held(ca_tag(ONE), serial) for serial in serials]
    assert [None if one is None else one.der for one in found] == [
        GOOD + b"third",
        GOOD + b"first",
        None,
        GOOD + b"first",
        None,
    ]
    assert shelf.held_together(ca_tag(ONE), []) == []


def test_a_shelf_that_is_not_there_is_empty_until_it_is(path: Path, fill: Fill) -> None:
    shelf = Answers(path)
    before = shelf.generation
    assert held(shelf, 1) is None
    fill(path, (1, b"first"))
    assert shelf.held(ca_tag(ONE), b"\x01") == held_answer(GOOD + b"first", THEN, LATER)
    assert shelf.generation != before


def test_every_commit_of_another_process_is_seen_at_once(path: Path, fill: Fill) -> None:
    fill(path, (1, b"old"), (2, b"two"))
    shelf = Answers(path)
    assert held(shelf, 1) == GOOD + b"old"
    for turn in range(5):
        before = shelf.generation
        fill(path, (1, b"new %d" % turn))
        assert shelf.generation != before
        assert held(shelf, 1) == GOOD + b"new %d" % turn
    fill(path, gone=(2,))
    assert held(shelf, 2) is None
    assert held(shelf, 1) == GOOD + b"new 4"


def test_threads_share_it_from_the_first_question_on(path: Path, fill: Fill) -> None:
    """A process may open the file once; who goes through all of it does so beside the answers."""
    fill(path, *((number, b"x") for number in range(50)))
    for _ in range(20):
        with Answers(path) as shelf, ThreadPoolExecutor(8) as pool:
            found = set(pool.map(lambda number: held(shelf, number % 50), range(400)))
        assert found == {GOOD + b"x"}


def test_an_event_loop_sees_every_commit_by_the_transaction_that_it_keeps(
    path: Path, fill: Fill
) -> None:
    """And keeps none for longer than it may: what it pins, a writer cannot use again."""
    fill(path, (1, b"old"))

    async def ask() -> None:
        shelf = Answers(path, keep_for=0.0)
        assert held(shelf, 1) == held(shelf, 1) == GOOD + b"old"
        for turn in range(5):
            fill(path, (1, b"new %d" % turn), (2, b"two"), ca="Other" if turn == 2 else "One")
            assert held(shelf, 1) == GOOD + b"new %d" % (turn if turn != 2 else 1)
        assert held(shelf, 2, "Other") == GOOD + b"two"
        assert readers(path)
        await asyncio.sleep(0)  # the timer of a moment ago
        await asyncio.sleep(0)
        assert not readers(path)
        assert held(shelf, 1) == GOOD + b"new 4"
        shelf.close()
        assert not readers(path)

    asyncio.run(ask())


def readers(path: Path) -> int:
    """How many transactions hold pages of the file, as another process sees it in LMDB's table."""
    done = subprocess.run(
        [sys.executable, "-c", _READERS, path], capture_output=True, check=True, text=True
    )
    rows = [line.split() for line in done.stdout.strip().splitlines()[1:]]
    return sum(row[-1] != "-" for row in rows)


def test_generation_stands_still_while_nothing_is_committed(path: Path, fill: Fill) -> None:
    fill(path, (1, b"one"))
    shelf = Answers(path)
    assert {shelf.generation for _ in range(10)} == {shelf.generation}


def test_several_cas_in_one_file_are_told_apart(path: Path, fill: Fill) -> None:
    shelf = Answers(path)
    fill(path, (1, b"of one"))
    assert held(shelf, 1, "Other") is None
    fill(path, (1, b"of other"), ca="Other")
    assert (held(shelf, 1), held(shelf, 1, "Other")) == (GOOD + b"of one", GOOD + b"of other")
    fill(path, gone=(1,), ca="Other")
    assert (held(shelf, 1), held(shelf, 1, "Other")) == (GOOD + b"of one", None)
    assert (shelf.count(ca_tag(ONE)), shelf.count(ca_tag(OTHER))) == (1, 0)


def test_a_file_put_in_its_place_is_noticed_and_nothing_old_is_answered(
    path: Path, tmp_path: Path, fill: Fill
) -> None:
    """R32: answers of a file that was taken away would say good for days."""
    fill(path, (1, b"old"))
    shelf = Answers(path)
    assert held(shelf, 1) == GOOD + b"old"
    before = shelf.generation
    other = tmp_path / "other.lmdb"
    fill(other, (1, b"new"))
    other.replace(path)
    shelf._looked -= 2  # time is moved
    assert held(shelf, 1) == GOOD + b"new"
    assert shelf.generation != before
    path.unlink()
    shelf._looked -= 2
    assert held(shelf, 1) is None


@pytest.mark.parametrize("serial", [0, 1, 127, 128, 255, 256, -1, 2**159 - 1, 2**63])
def test_any_serial_is_found_again(path: Path, serial: int, fill: Fill) -> None:
    fill(path, (serial, b"this"), (serial + 1, b"next"))
    assert held(Answers(path), serial) == GOOD + b"this"


def test_writing_again_under_a_reader_needs_only_a_little_room(path: Path, fill: Fill) -> None:
    """A reader that is open all the time pins no page: the file does not grow with rewriting."""
    fill(path, *((n, b"x" * 300) for n in range(2000)))
    shelf = Answers(path)
    first = None
    for _ in range(30):
        held(shelf, 7)
        fill(path, *((n, os.urandom(300)) for n in range(2000)))
        first = first or path.stat().st_size
    assert first is not None
    assert path.stat().st_size <= 2 * first


@pytest.mark.parametrize("content", [b"rubbish" * 4000, b"\0" * 10_000, b"x"])
def test_a_file_of_something_else_is_a_store_error_that_names_it(
    path: Path, content: bytes
) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"answers\.lmdb") as raised:
        held(Answers(path), 1)
    assert raised.value.hint


def test_a_file_that_was_cut_is_refused_and_nobody_dies_of_it(path: Path, fill: Fill) -> None:
    fill(path, *((n, b"x" * 300) for n in range(3000)))
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(StoreError, match="shorter than"):
        held(Answers(path), 2900)
    with pytest.raises(StoreError, match="shorter than"):
        Filling(path, ca=ONE)


def test_another_form_and_another_lmdb_file_are_refused_and_left_alone(path: Path) -> None:
    def newer() -> None:
        env = lmdb.open(str(path), subdir=False)
        with env.begin(write=True) as transaction:
            transaction.put(FORM_KEY, b"holdfast answers 99")
        env.close()

    apart(newer)
    was = path.read_bytes()
    with pytest.raises(StoreError, match="holdfast answers 99"):
        held(Answers(path), 1)
    with pytest.raises(StoreError, match="holdfast answers 99"):
        Filling(path, ca=ONE)

    def foreign() -> None:
        env = lmdb.open(str(path), subdir=False)
        with env.begin(write=True) as transaction:
            transaction.delete(FORM_KEY)
            transaction.put(b"somebody's", b"data")
        env.close()

    assert path.read_bytes() == was
    apart(foreign)
    was = path.read_bytes()
    with pytest.raises(StoreError, match="something else"):
        held(Answers(path), 1)
    with pytest.raises(StoreError, match="something else"):
        Filling(path, ca=ONE)
    assert path.read_bytes() == was


# -- filling ----------------------------------------------------------------------------------


def test_one_process_fills_the_part_of_one_ca(path: Path, fill: Fill) -> None:
    ready, done = multiprocessing.Event(), multiprocessing.Event()

    def first() -> None:
        with Filling(path, ca=ONE) as filling:
            ready.set()
            assert done.wait(20)
            filling.write([b"\x01"], [value(b"one")])

    process = multiprocessing.get_context("fork").Process(target=first)
    process.start()
    assert ready.wait(20)
    with pytest.raises(OperatorError, match="another `holdfast presign`"):
        Filling(path, ca=ONE)
    Filling(path, ca=OTHER).close()
    done.set()
    process.join(20)
    assert process.exitcode == 0
    fill(path, (2, b"two"))  # the right ended with the one who had it
    assert held(Answers(path), 2) == GOOD + b"two"


KILLED = """
import sys
from holdfast.pki import pem
from holdfast.stores.answers_filling import Filling
ca = pem.certificates(open(sys.argv[2], "rb").read(), name="ca")[0]
with Filling(sys.argv[1], ca=ca) as filling:
    turn = 0
    while True:
        value = bytes.fromhex(sys.argv[3]) + b"%06d" % turn
        serials = [n.to_bytes(4, "big") for n in range(0x01000000, 0x01000800)]
        filling.write(serials, [value] * len(serials))
        print(turn, flush=True)
        turn += 1
"""


def test_killed_at_any_instant_it_holds_one_commit_whole(path: Path, tmp_path: Path) -> None:
    """kill -9 in the midst of commits: all of one commit is there, the last that was told or the
    one after."""
    certificate = tmp_path / "ca.pem"
    certificate.write_bytes(a_root("One").issued.fullchain_pem)
    for wait in (3, 7, 20):
        command = [sys.executable, "-c", KILLED, str(path), str(certificate), value(b"").hex()]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        for _ in range(wait):
            told = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0].split()
        told = int(rest[-1]) if rest else told
        with Answers(path) as shelf:
            tag = ca_tag(ONE)
            found = {
                None if (one := shelf.held(tag, n.to_bytes(4, "big"))) is None else one.der[2:]
                for n in range(0x01000000, 0x01000800)
            }
        assert len(found) == 1
        assert found <= {b"%06d" % told, b"%06d" % (told + 1)}


def test_a_full_shelf_is_an_error_that_loses_nothing(path: Path) -> None:
    with Filling(path, ca=ONE, limit=1 << 20) as filling:
        filling.write([b"\x01"], [value(b"kept")])
        with pytest.raises(StoreError, match="at their limit") as raised:
            filling.write(MANY, [value(b"x" * 300)] * len(MANY))
        assert "--max-size" in raised.value.hint
        assert filling.count() == 1
    assert held(Answers(path), 1) == GOOD + b"kept"


def test_a_file_limit_is_an_error_that_loses_nothing(path: Path, fill: Fill) -> None:
    """The system refuses to write on: what a full disk does, with another number."""
    import resource

    fill(path, (1, b"kept"))

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        with Filling(path, ca=ONE) as filling:
            with pytest.raises(StoreError, match="Input/output error") as raised:
                filling.write(MANY, [value(b"x" * 300)] * len(MANY))
            assert "disk" in raised.value.hint

    apart(limited)
    shelf = Answers(path)
    assert held(shelf, 1) == GOOD + b"kept"
    assert shelf.count(ca_tag(ONE)) == 1
    fill(path, (2, b"goes on"))
    assert held(shelf, 2) == GOOD + b"goes on"


def test_appended_in_order_a_response_takes_little_more_than_its_size(path: Path) -> None:
    def work() -> None:
        with Filling(path, ca=ONE) as filling:
            for first in range(0, 20_000, 5000):
                serials = [b"\x01" + n.to_bytes(15, "big") for n in range(first, first + 5000)]
                filling.write(serials, [value(b"x" * 280)] * len(serials))

    apart(work)
    assert path.stat().st_size / 20_000 < 380


def test_serials_out_of_order_are_a_bug_that_is_told(path: Path) -> None:
    with Filling(path, ca=ONE) as filling, pytest.raises(StoreError, match="out of order"):
        filling.write([b"\x03", b"\x02"], [value(b"")] * 2)


def test_records_are_read_in_order_and_in_parts(path: Path) -> None:
    serials = [bytes([n]) for n in range(1, 100)]
    with Filling(path, ca=ONE) as filling:
        filling.write(serials, list(map(value, serials)))
        found, after = [], None
        while part := filling.records(after, 7):
            found += part
            after = part[-1].serial
        assert [one.serial for one in found] == serials
        assert {one[1:] for one in found} == {(THEN, LATER, 1, GOOD)}
        assert filling.one(b"\x05") == found[4]
        assert filling.one(b"\x7f\x7f") is None
        filling.compared(THEN)
    with Answers(path) as shelf:
        assert shelf.compared(ca_tag(ONE)) == THEN
        assert shelf.compared(ca_tag(OTHER)) is None


def test_a_folder_that_is_not_there_is_named_and_not_what_lies_beside(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"answers\.lmdb: there is no folder .*/none") as caught:
        Filling(tmp_path / "none" / "answers.lmdb", ca=ONE)
    assert "make it" in (caught.value.hint or "")
