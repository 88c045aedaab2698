"""The responder's guides: every block of settings is read, every metric in an alert is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from holdfast.errors import OperatorError
from holdfast.services.responder_metrics import METRICS
from holdfast.settings import read_settings

GUIDES = sorted((Path(__file__).resolve().parents[2] / "docs" / "how-to").glob("responder*.md"))
BLOCKS = [
    (path.name, block)
    for path in GUIDES
    for block in re.findall(r"^```toml\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)
    if "responder" in block and "certificate" in block
]


def cas(folder: Path, block: str) -> int:
    path = folder / "responder.toml"
    path.write_text(block)
    return len(read_settings(path).responder.ca)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_every_block_of_settings_is_read(tmp_path: Path, number: int) -> None:
    name, block = BLOCKS[number]
    assert cas(tmp_path, block) > 0, name


def test_there_are_blocks_and_a_wrong_one_would_be_found(tmp_path: Path) -> None:
    assert len(BLOCKS) >= 4
    with pytest.raises(OperatorError, match="prefx"):
        cas(tmp_path, BLOCKS[0][1] + 'prefx = "/x"\n')


def test_every_metric_of_the_guide_is_there() -> None:
    guide = next(path for path in GUIDES if path.name == "responder.md").read_text()
    named = set(re.findall(r"holdfast_responder_[a-z_]+", guide))
    assert len(named) >= 7
    assert named <= set(METRICS)
