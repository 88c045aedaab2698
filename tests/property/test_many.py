"""K8, K26: the benchmarks' stories, reduced: what they count is right; no time is judged."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import pytest
from bench import keeper, simulation

MOULD = simulation.Mould()


def test_k7_a_year_with_every_fault_has_no_lapse() -> None:
    year = simulation.a_year(MOULD)
    assert year.faults > len(simulation.FAULTS)
    assert year.longest_lapse == timedelta(0)
    assert year.requests < 2_000


def test_k4_k8_a_week_of_outage() -> None:
    outage = simulation.an_outage(MOULD, certificates=100_000, one_in=1000)
    assert outage.never_early
    assert outage.furthest < timedelta(seconds=1), "each is sent until its withdrawal, no longer"
    assert outage.peak_outage <= 0.5
    assert outage.healed_after < timedelta(hours=2)


@pytest.mark.parametrize("count", [300, pytest.param(2_000, marks=pytest.mark.slow)])
def test_k26_many_restart_and_refresh(tmp_path: Path, count: int) -> None:
    keeper.make(tmp_path, count)
    figures = asyncio.run(keeper.keep(tmp_path, first_reading=0.0, born=time.time()))
    assert figures.requests == count, "one for each, and none to restart"
    assert figures.deliveries == 2 * count
