"""A changed copy is what dataclasses.replace makes."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from tests.support.staples import a_desk

from holdfast.plan.entry import Entry, Holder
from holdfast.plan.slots import replace


def test_it_is_what_dataclasses_makes_of_it() -> None:
    entry = Entry(name="www", subject=a_desk().staple().subject)
    for changes in ({}, {"failures": 3}, {"early": timedelta(1), "holders": (), "name": "other"}):
        assert replace(entry, **changes) == dataclasses.replace(entry, **changes)
    holder = Holder(name="web", patient=True)
    assert replace(holder, busy=True) == Holder(name="web", patient=True, busy=True)


def test_every_field_is_copied() -> None:
    for kind in (Entry, Holder):
        fields = dataclasses.fields(kind)
        assert {field.name for field in fields} == set(kind.__slots__)
        assert all(field.init for field in fields)


def test_a_field_that_is_not_there_is_refused() -> None:
    with pytest.raises(TypeError, match="no field nonsense"):
        replace(Holder(name="web"), nonsense=1)
