"""Every server, one keeper, every experiment: the table that `python -m bench.servers` prints.

K1, K4, K7, K10 to K12, K20, K27 on Debian's Apache, nginx and HAProxy and on our proxy, judged by
handshakes while time is moved. Cells that a server's own code makes impossible are in `IMPOSSIBLE`,
so that one which becomes possible fails too.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.lab.faults import FAULTS
from holdfast.ocsp.request import Request
from support.servers import rows
from support.servers.ground import World
from support.servers.machines import MACHINES
from support.servers.rows import ROWS, Cells

IMPOSSIBLE = {("window of 60 s", "haproxy"): "never sends in the last 300 s"}
SLOW = {"bad, foreign, expired or early under random faults"}


def check(row: str, cells: Cells) -> None:
    assert set(cells) == set(MACHINES)
    for kind, cell in cells.items():
        reason = IMPOSSIBLE.get((row, kind))
        if reason is None:
            assert cell.holds, f"{kind}: {cell.said}"
        else:
            assert cell.holds is None, f"{kind} can: {cell.said}"
            assert reason in cell.said


@pytest.mark.parametrize("row", [row for row in ROWS if row not in SLOW])
def test_row(tmp_path: Path, row: str) -> None:
    check(row, asyncio.run(ROWS[row](tmp_path)))


def test_random_faults_a_few(tmp_path: Path) -> None:
    cells = asyncio.run(rows.random_faults(tmp_path, handshakes=60))
    assert all(cell.holds for cell in cells.values()), cells


@pytest.mark.slow
@pytest.mark.parametrize("row", SLOW)
def test_slow_row(tmp_path: Path, row: str) -> None:
    check(row, asyncio.run(ROWS[row](tmp_path)))


# -- red twins: the eye that judges the handshakes sees what is bad --------------------------------

BAD = {
    "expired": "response-expired",
    "not-yet-valid": "response-not-yet-valid",
    "bad-signature": "response-bad-signature",
    "wrong-serial": "response-wrong-certificate",
    "wrong-issuer": "response-wrong-certificate",
    "foreign-signer": "response-signer-unauthorised",
    "unauthorised-signer": "response-signer-unauthorised",
    "expired-signer": "response-signer-expired",
    "unknown": "response-unknown",
    "contradictory-singles": "response-conflicting-singles",
    "critical-extension": "response-critical-extension",
}


async def _careless(folder: Path, fault: str) -> str:
    """What the judge says of a server that passes on whatever the responder says."""
    async with World(folder, kinds=()) as world:
        setting = await world.responders["site"].change({"fault": fault})
        asked = Request.build(world.subjects["site"].certid).encode()
        at = world.clock.now()
        return world.fault_of(world.responders["site"].forge.body(asked, setting, at=at), at)


@pytest.mark.parametrize("fault", BAD)
def test_the_judge_sees_what_is_bad(tmp_path: Path, fault: str) -> None:
    assert fault in FAULTS
    assert BAD[fault] in asyncio.run(_careless(tmp_path, fault))


@pytest.mark.parametrize("fault", ["good", "revoked"])
def test_the_judge_has_nothing_against_what_is_true(tmp_path: Path, fault: str) -> None:
    assert asyncio.run(_careless(tmp_path, fault)) == ""


def test_the_judge_knows_the_second_after_next_update(tmp_path: Path) -> None:
    async def told() -> tuple[str, str]:
        async with World(tmp_path, kinds=("proxy",)) as world:
            await world.keep()
            staple = world.staple()
            assert staple is not None
            assert staple.next_update is not None
            end = staple.next_update
            return (
                world.fault_of(staple.der, end - timedelta(seconds=1)),
                world.fault_of(staple.der, end),
            )

    before, after = asyncio.run(told())
    assert before == ""
    assert "after nextUpdate" in after
