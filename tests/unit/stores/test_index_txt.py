"""index.txt as OpenSSL has it: every form of a line, read; what is written, read by openssl."""

from __future__ import annotations

import os
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import StoreError
from holdfast.ocsp.statuses import RevocationReason
from holdfast.seams import LedgerEntry, Waits
from holdfast.stores.index_blocks import entries
from holdfast.stores.index_lines import BadLine, read_line
from holdfast.stores.index_txt import ATTRIBUTES, BURST, IndexTxt, read_index, write_index
from holdfast.stores.index_window import Moved
from support.pki import AT, a_root, written

END = "301231235959Z"
GOOD = f"V\t{END}\t\t01\tunknown\t/CN=a\n"


def one(line: str) -> LedgerEntry:
    (entry,) = read_index(line.encode()).values()
    return entry


def test_the_three_states() -> None:
    entries = read_index(
        f"V\t{END}\t\t01\tunknown\t/CN=a\n"
        f"R\t{END}\t260102030405Z\t02\tunknown\t/CN=b\n"
        f"E\t200101000000Z\t\t03\tunknown\t/CN=c\n".encode()
    )
    assert [entry.revoked_at for entry in entries.values()] == [
        None,
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        None,
    ]
    assert entries[3].not_after == datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("301231235959Z", datetime(2030, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("491231235959Z", datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("500101000000Z", datetime(1950, 1, 1, tzinfo=UTC)),
        ("20501231235959Z", datetime(2050, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("99991231235959Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("3012312359Z", datetime(2030, 12, 31, 23, 59, tzinfo=UTC)),
    ],
)
def test_utctime_and_generalizedtime(text: str, instant: datetime) -> None:
    assert one(f"V\t{text}\t\t01\tunknown\t/CN=a\n").not_after == instant


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("", None),
        (",keyCompromise", RevocationReason.KEY_COMPROMISE),
        (",KEYCOMPROMISE", RevocationReason.KEY_COMPROMISE),
        (",CACompromise", RevocationReason.CA_COMPROMISE),
        (",unspecified", RevocationReason.UNSPECIFIED),
        (",holdInstruction,holdInstructionReject", RevocationReason.CERTIFICATE_HOLD),
        (",keyTime,20260101000000Z", RevocationReason.KEY_COMPROMISE),
        (",CAkeyTime,20260101000000Z", RevocationReason.CA_COMPROMISE),
        (",removeFromCRL", RevocationReason.REMOVE_FROM_CRL),
        (",privilegeWithdrawn", RevocationReason.PRIVILEGE_WITHDRAWN),
    ],
)
def test_reasons(field: str, reason: RevocationReason | None) -> None:
    """R10; the words are those of apps.c."""
    assert one(f"R\t{END}\t260102030405Z{field}\t01\tunknown\t/CN=a\n").reason is reason


@pytest.mark.parametrize("word", ["keyTime", "CAkeyTime"])
def test_r12_the_invalidity_date_is_read_and_written_back(word: str) -> None:
    """R12: what `openssl ca -crl_compromise` notes, in its spelling."""
    line = f"R\t{END}\t260102030405Z,{word},20250101000000Z\t01\tunknown\t/CN=a\n"
    entry = one(line)
    assert entry.invalidity_date == datetime(2025, 1, 1, tzinfo=UTC)
    assert write_index([entry], at=AT).decode() == line
    without = one(f"R\t{END}\t260102030405Z,{word}\t01\tunknown\t/CN=a\n")
    assert without.invalidity_date is None
    assert without.reason is entry.reason


@pytest.mark.parametrize("serial", ["1", "01", "0001", "00000001"])
def test_leading_zeros_and_odd_lengths_do_not_matter(serial: str) -> None:
    assert one(f"V\t{END}\t\t{serial}\tunknown\t/CN=a\n").serial == 1


def test_a_tab_with_a_backslash_belongs_to_the_subject() -> None:
    assert one(f"V\t{END}\t\t01\tunknown\t/CN=a\\\tb\n").subject == "/CN=a\tb"


def test_comments_blank_lines_and_carriage_returns_are_passed_over() -> None:
    assert one(f"# a comment\r\n\r\n{GOOD[:-1]}\r\n").subject == "/CN=a"


def test_the_last_line_needs_no_end() -> None:
    assert one(GOOD[:-1]).serial == 1


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"V\t{END}\t\t01\tunknown", "5 fields"),
        (f"V\t{END}\t\t01\tunknown\t/CN=a\tmore", "7 fields"),
        (f"X\t{END}\t\t01\tunknown\t/CN=a", "'X'"),
        (f"\t{END}\t\t01\tunknown\t/CN=a", "''"),
        ("V\t3012\t\t01\tunknown\t/CN=a", "expiry date"),
        ("V\t301331235959Z\t\t01\tunknown\t/CN=a", "expiry date"),
        ("V\t301231235959\t\t01\tunknown\t/CN=a", "expiry date"),
        (f"V\t{END}\t260101000000Z\t01\tunknown\t/CN=a", "revocation date"),
        (f"R\t{END}\t\t01\tunknown\t/CN=a", "no revocation date"),
        (f"R\t{END}\tyesterday\t01\tunknown\t/CN=a", "revocation date"),
        (f"R\t{END}\t260101000000Z,boredom\t01\tunknown\t/CN=a", "boredom"),
        (f"R\t{END}\t260101000000Z,keyTime,once\t01\tunknown\t/CN=a", "invalidity date"),
        (f"V\t{END}\t\t\tunknown\t/CN=a", "serial"),
        (f"V\t{END}\t\t0x10\tunknown\t/CN=a", "serial"),
        (f"V\t{END}\t\t1_0\tunknown\t/CN=a", "serial"),
        (f"V\t{END}\t\t-1\tunknown\t/CN=a", "serial"),
        (f"V\t{END}\t\txyz\tunknown\t/CN=a", "serial"),
    ],
)
def test_a_bad_line_is_named(line: str, says: str) -> None:
    with pytest.raises(StoreError) as caught:
        read_index((GOOD.replace("\t01\t", "\t02\t") + line + "\n").encode(), name="some/index.txt")
    assert caught.value.message.startswith("some/index.txt:2: ")
    assert says in caught.value.message


def test_two_lines_of_one_serial_are_refused_as_openssl_does(tmp_path: Path) -> None:
    text = GOOD + f"R\t{END}\t260101000000Z\t0001\tunknown\t/CN=b\n"
    with pytest.raises(StoreError, match="serial 1 stands in line 1 already"):
        read_index(text.encode())
    assert "serial number index" in asked(tmp_path, text.encode(), 1)


def test_it_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "index.txt"
    path.write_text(GOOD)
    ledger = IndexTxt(path)
    assert ledger.entry(1) is not None
    path.write_text(GOOD.replace("\t01\t", "\t02\t"))  # same size, same inode
    os.utime(path, ns=(1, 1))
    assert ledger.entry(1) is None
    assert ledger.entry(2) is not None
    path.unlink()
    with pytest.raises(StoreError, match="cannot read"):
        ledger.entry(2)
    path.write_text(GOOD)
    assert ledger.entry(1) is not None


def test_a_crowd_is_answered_from_one_look_and_a_change_is_seen_after_it(tmp_path: Path) -> None:
    """R32: a millisecond of questions is one look; nobody who asks later is told the old."""
    index = tmp_path / "index.txt"
    index.write_bytes(GOOD.encode())
    rested = (AT - timedelta(days=1)).timestamp()
    os.utime(index, (rested, rested))
    ledger = IndexTxt(index)
    ledger.entry(1)
    for _ in range(100):
        found = ledger.entry_now(1)
        assert isinstance(found, LedgerEntry)
        assert found.revoked_at is None
    new = tmp_path / "new"
    new.write_bytes(f"R\t{END}\t260102030405Z\t01\tunknown\t/CN=a\n".encode())
    new.rename(index)
    until = time.monotonic() + 2 * BURST
    while time.monotonic() < until:
        ledger.entry_now(1)
    found = ledger.entry_now(1)
    assert found is Waits.WAITS or (isinstance(found, LedgerEntry) and found.revoked_at)


def test_a_spoiled_file_is_not_answered_from(tmp_path: Path) -> None:
    """An old copy in memory must not hide that the ledger cannot be read."""
    path = tmp_path / "index.txt"
    path.write_text(GOOD)
    ledger = IndexTxt(path)
    assert ledger.entry(1) is not None
    path.write_text(GOOD + "rubbish\n")
    with pytest.raises(StoreError, match=r"index\.txt:2"):
        ledger.entry(1)


def test_openssl_ocsp_reads_what_is_written(tmp_path: Path) -> None:
    revoked = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    far = datetime(2055, 1, 1, tzinfo=UTC)
    reasons = list(RevocationReason)
    entries = [
        LedgerEntry(0xABC, far, subject="/CN=odd"),
        LedgerEntry(1, far, revoked, None, "/CN=no reason"),
        *(
            LedgerEntry(16 + i, far, revoked, reason, "/CN=\ttab")
            for i, reason in enumerate(reasons)
        ),
    ]
    index = write_index(entries, at=AT)
    assert "Cert Status: good" in asked(tmp_path, index, 0xABC)
    assert "Cert Status: unknown" in asked(tmp_path, index, 0xABD)
    assert "Revocation Time: Jan  2 03:04:05 2026" in asked(tmp_path, index, 1)
    for i, reason in enumerate(reasons):
        said = asked(tmp_path, index, 16 + i)
        assert "Cert Status: revoked" in said
        assert "invalid" not in said
        if reason.code < 9:
            assert f"(0x{reason.code:x})" in said


def test_an_expired_one_is_marked() -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    assert write_index([LedgerEntry(1, past)], at=AT) == b"E\t200101000000Z\t\t01\tunknown\t\n"


def asked(folder: Path, index: bytes, serial: int) -> str:
    """What `openssl ocsp` prints when it answers for `serial` from `index`."""
    ca, key = written(a_root(), folder, "ca")
    (folder / "index.txt").write_bytes(index)
    (folder / "index.txt.attr").write_bytes(ATTRIBUTES)
    command = [
        *("openssl", "ocsp", "-index", folder / "index.txt", "-CA", ca, "-issuer", ca),
        *("-rsigner", ca, "-rkey", key, "-serial", hex(serial), "-resp_text"),
        *("-respout", folder / "response.der"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout + done.stderr


DATES = st.integers(-631152000, 2524607999).map(  # what two digits of the year can tell
    lambda second: f"{datetime.fromtimestamp(second, UTC):%y%m%d%H%M%SZ}"
)
REASONS = ["", ",unspecified", ",keyCompromise", ",superseded", ",cessationOfOperation"]
SUBJECTS = st.sampled_from(["/CN=a", "", "/CN=\\", "/CN=\u00e9\r", "/CN=a\\\tb", "/CN=\udc80"])


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    revoked = draw(DATES) + draw(st.sampled_from([*REASONS, ",CRL", ",holdInstruction,x"]))
    state = draw(st.sampled_from("VRE"))
    expiry = draw(DATES | st.just("20510101000000Z") | st.just("2701010000Z"))
    serial = f"{draw(st.integers(0, 2**160)):{draw(st.sampled_from(['X', 'x', '064X']))}}"
    file = draw(st.sampled_from(["unknown", "", "a\\"]))
    fields = state, expiry, revoked if state == "R" else "", serial, file, draw(SUBJECTS)
    return "\t".join(fields).encode("utf-8", "surrogateescape")


@given(st.lists(lines(), max_size=8), st.booleans())
def test_a_block_is_read_as_its_lines_are(several: list[bytes], ended: bool) -> None:
    """All at once where `openssl ca` wrote it, with more care otherwise: never another entry."""
    data = b"\n".join(several) + b"\n" * ended
    try:
        alone = [one for one in map(read_line, data.split(b"\n")) if one is not None]
    except BadLine:
        with pytest.raises(Moved):
            list(entries(data))
    else:
        assert list(entries(data)) == alone


def test_plain_blocks_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or presign would list a million lines in twice the time."""
    monkeypatch.setattr("holdfast.stores.index_blocks.read_line", None)
    plain = (
        b"V\t270101000000Z\t\t0A\tunknown\t/CN=a\n"
        b"R\t270101000000Z\t260101000000Z,superseded\tb\tf\t\n"
    )
    [one, other] = entries(plain)
    assert one == LedgerEntry(10, datetime(2027, 1, 1, tzinfo=UTC), subject="/CN=a")
    assert other.revoked_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert other.reason is RevocationReason.SUPERSEDED
