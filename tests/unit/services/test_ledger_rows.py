"""Ledger rows: many at once are what each is alone: R14, R32."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.ocsp.statuses import RevocationReason, Revoked
from holdfast.plan.presigning import Wish
from holdfast.plan.record import mask
from holdfast.plan.rows import GOOD_DER
from holdfast.plan.rules import Rules, Told
from holdfast.seams import LedgerEntry
from holdfast.services.ledger_rows import LedgerRows
from support.pki import AT

ENTRIES = st.lists(
    st.builds(
        LedgerEntry,
        st.integers(-3, 2**127),
        st.sampled_from([AT - timedelta(days=1), AT, AT + timedelta(days=9)]),
        revoked_at=st.none() | st.just(AT - timedelta(days=3)),
        reason=st.sampled_from([None, RevocationReason.KEY_COMPROMISE]),
        invalidity_date=st.none() | st.just(AT - timedelta(days=4)),
    ),
    max_size=30,
)


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("ca_revoked", [None, Revoked(AT, RevocationReason.CA_COMPROMISE)])
@given(entries=ENTRIES)
def test_many_at_once_are_what_each_is_alone(
    entries: list[LedgerEntry], ended: bool, ca_revoked: Revoked | None
) -> None:
    rules = Rules(ca_revoked=ca_revoked, tell=frozenset({Told.INVALIDITY_DATE}))
    rows = LedgerRows(Wish(rules=rules, hashes=mask(["sha1"]), ended=ended))
    alone = [row for row in (rows.row(one, AT) for one in entries) if row is not None]
    made = rows.rows(entries, AT)
    assert sorted(made.serials) == sorted(serial for serial, _ in alone)
    assert dict(made) == dict(sorted(alone))
    if ca_revoked is not None:
        assert GOOD_DER not in dict(made).values(), "of a CA that is revoked nothing is good"
