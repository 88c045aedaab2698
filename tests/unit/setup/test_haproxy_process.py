"""What looks at HAProxy's processes make of a reload, look by look."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from holdfast.errors import DeliveryError
from holdfast.net.daemon import LOOK_EVERY, Master
from holdfast.setup import haproxy_process
from holdfast.setup.haproxy_process import Processes

Look = tuple[bool, set[int]]
"""Whether the master listens, and its workers."""
OLD, BOTH, NEW, NONE = {11}, {11, 12}, {12}, set[int]()


def reload(looks: Sequence[Look], patch: pytest.MonkeyPatch) -> int:
    """Reload where the first look sees OLD and `looks` follow, the last for ever; how many there
    were."""
    script = [(True, OLD), *looks]
    number = 0

    def listening(*_: Any) -> bool:
        return script[min(number, len(script) - 1)][0]

    def serving(*_: Any) -> frozenset[int]:
        nonlocal number
        number += 1
        return frozenset(script[min(number, len(script)) - 1][1])

    async def told(*_: Any, **__: Any) -> None:
        pass

    patch.setattr(haproxy_process, "catches", listening)
    patch.setattr(haproxy_process, "SURE", 3.5 * LOOK_EVERY)
    patch.setattr(Master, "serving", serving)
    patch.setattr(Master, "told", told)
    asyncio.run(Processes(program="haproxy", deadline=5.0).reload(1, ()))
    return number - 1


@pytest.mark.parametrize(
    "looks",
    [
        [(False, OLD), (True, BOTH), (True, NEW)],
        [(True, OLD), (False, OLD), (True, OLD), (False, BOTH), (True, NEW)],  # in its handler
        [(False, OLD), (True, BOTH), (True, NONE), (True, NEW)],  # missed in the list
        [(False, OLD), (True, NONE), (True, BOTH), (True, NEW)],
    ],
)
def test_new_workers_are_seen_whatever_one_look_missed(
    looks: list[Look], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reload(looks, monkeypatch) == len(looks)


@pytest.mark.parametrize(
    "looks", [[(False, OLD), (True, OLD)], [(False, OLD), (True, NONE)], [(True, NONE)]]
)
def test_a_master_that_listens_again_without_new_workers_refused(
    looks: list[Look], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DeliveryError, match="went on with its old configuration"):
        reload(looks, monkeypatch)
