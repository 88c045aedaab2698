"""The file store where media and files misbehave (K3)."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import resource
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.errors import Rejected, StoreError
from holdfast.ocsp.verify import verify
from holdfast.stores.files import FileStore
from support.pki import AT
from support.staples import WEEK, a_desk

X = a_desk("x.test", serial=1)
CERTID = X.subject.certid


def saved(folder: Path) -> FileStore:
    store = FileStore(folder)
    asyncio.run(store.save(X.staple()))
    return store


def test_the_file_is_the_der_and_the_label_says_whose(tmp_path: Path) -> None:
    store = saved(tmp_path)
    assert store.path(CERTID).exists()
    assert store.path(CERTID).stat().st_mode & 0o777 == 0o644
    label = store.path(CERTID).with_suffix(".txt").read_text()
    assert "name: x.test" in label
    assert "certificate_status: good" in label
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".der", ".txt"]


@pytest.mark.parametrize("content", [b"", b"\x30", b"hello", b"\x00" * 300_000, b"\x30\x84"])
def test_k3_what_does_not_parse_is_none_told_and_left(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store = saved(tmp_path)
    store.path(CERTID).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert asyncio.run(store.load(CERTID)) is None
    assert str(store.path(CERTID)) in caplog.text
    assert store.path(CERTID).read_bytes() == content


def test_k3_a_flipped_bit_is_never_proved(tmp_path: Path) -> None:
    """The store gives claims; whatever bit was flipped, `verify` or the parser refuses it."""
    store = saved(tmp_path)
    path = store.path(CERTID)
    whole = path.read_bytes()
    proved = 0
    for bit in random.Random(1).sample(range(len(whole) * 8), 300):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        response = asyncio.run(store.load(CERTID))
        if response is None:
            continue
        try:
            verify(response, X.subject, at=AT)
        except Rejected:
            continue
        proved += 1
    assert proved == 0


def test_k3_a_file_of_another_certificate_is_not_believed(tmp_path: Path) -> None:
    store = saved(tmp_path)
    other = a_desk("y.test", serial=2)
    store.path(CERTID).write_bytes(other.staple().der)
    response = asyncio.run(store.load(CERTID))
    assert response is not None
    with pytest.raises(Rejected):
        verify(response, X.subject, at=AT)


def test_k3_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "staples").write_text("not a folder")
    store = FileStore(tmp_path / "staples")
    assert asyncio.run(store.load(CERTID)) is None
    asyncio.run(store.drop(CERTID))
    with pytest.raises(StoreError, match="staples"):
        asyncio.run(store.save(X.staple()))


def test_k3_a_directory_in_the_files_place(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.path(CERTID).mkdir()
    with pytest.raises(StoreError):
        asyncio.run(store.load(CERTID))
    with pytest.raises(StoreError):
        asyncio.run(store.save(X.staple()))
    with pytest.raises(StoreError):
        asyncio.run(store.drop(CERTID))
    assert [p.name for p in tmp_path.iterdir()] == [store.path(CERTID).name], "nothing left over"


def test_k3_a_write_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    """A full medium, as a file size limit of a process stands in for it."""
    store = saved(tmp_path)
    before = store.path(CERTID).read_bytes()

    def child() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
        with pytest.raises(StoreError, match="File too large"):
            store.write(X.staple(AT + WEEK / 2))

    pid = forked(child)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert store.path(CERTID).read_bytes() == before
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".der", ".txt"]


def test_k3_kill_9_in_mid_write(tmp_path: Path) -> None:
    """Killed at any moment, the file is one of the whole responses that were written."""
    store = saved(tmp_path)
    staples = [X.staple(AT + timedelta(hours=n)) for n in range(4)]

    def child() -> None:
        while True:
            for staple in staples:
                store.write(staple)

    first = store.path(CERTID).stat().st_mtime_ns
    for _ in range(5):
        pid = forked(child)
        try:
            while store.path(CERTID).stat().st_mtime_ns == first:
                os.sched_yield()
            first = store.path(CERTID).stat().st_mtime_ns
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        assert store.path(CERTID).read_bytes() in {staple.der for staple in staples}


def forked(child: Callable[[], None]) -> int:
    """The id of a process that runs `child` and leaves with 0, or 1 if it raised."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            child()
            code = 0
        finally:
            os._exit(code)
    return pid


def test_replaced_in_place(tmp_path: Path) -> None:
    store = saved(tmp_path)
    newer = X.staple(AT + WEEK / 2)
    asyncio.run(store.save(newer))
    assert store.path(CERTID).read_bytes() == newer.der
