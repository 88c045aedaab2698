"""Rows: serials, and what is said of those that are not good; R14 and R32 need each of them."""

from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st

from holdfast.ocsp.certid import serial_octets, serials_octets
from holdfast.plan.rows import GOOD_DER, Row, Rows

SERIALS = st.binary(min_size=1, max_size=20) | st.sampled_from([b"\x01", b"\x02"])
SAID = st.just(GOOD_DER) | st.binary(max_size=3).map(b"\xa1".__add__)
ROWS = st.lists(st.tuples(SERIALS, SAID), max_size=50)


@given(ROWS)
def test_of_one_serial_the_stricter_counts(rows: list[Row]) -> None:
    """R32: in whatever order a ledger names it good and revoked, it is revoked."""
    made = Rows.of(rows)
    assert made.serials == [serial for serial, _ in rows]
    assert len(made) == len(rows)
    strict = dict(sorted(rows))
    assert list(made) == [(serial, strict[serial]) for serial, _ in rows]
    assert made.otherwise == {one: said for one, said in strict.items() if said != GOOD_DER}


@given(ROWS, st.integers(0, 50), st.integers(0, 50))
def test_a_part_says_the_same(rows: list[Row], start: int, count: int) -> None:
    made = Rows.of(rows)
    part = made.part(made.serials[start : start + count])
    assert list(part) == list(made)[start : start + count]
    assert set(part.otherwise) <= set(part.serials), "what goes to a process is its own alone"


@given(ROWS)
def test_packed_and_sent_it_is_the_same(rows: list[Row]) -> None:
    made = Rows.of(rows)
    assert Rows.unpacked(made.packed()) == made
    assert pickle.loads(pickle.dumps(made)) == made
    assert made != Rows.of([*rows, (b"\x01", GOOD_DER)])


@given(st.lists(st.integers(-(2**159), 2**159)))
def test_many_serials_as_each_alone(serials: list[int]) -> None:
    """A negative one, which some CA gave, is written as it is (RFC 5280 4.1.2.2)."""
    assert serials_octets(serials) == [serial_octets(one) for one in serials]
    positive = [abs(one) for one in serials]
    assert serials_octets(positive) == [serial_octets(one) for one in positive]
