"""The responder's guides: every block of settings is read, every metric in an alert is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from holdfast.errors import OperatorError
from holdfast.services.responder_metrics import METRICS
from holdfast.settings import read_settings
from support.responder_caches import NGINX_CONF, VCL

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


GUIDE = next(path for path in GUIDES if path.name == "responder.md").read_text()


def fenced(kind: str) -> str:
    (block,) = re.findall(rf"^```{kind}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    return str(block)


def untried(block: str, proven: str) -> list[str]:
    """The lines of `block` that the caches of the tests are not run with, but for addresses."""
    known = {line.strip() for line in proven.replace("{{", "{").replace("}}", "}").splitlines()}
    own = re.compile(r"(listen|proxy_cache_path|upstream|backend) |^[{}]?$")
    return [
        line
        for line in map(str.strip, block.splitlines())
        if line not in known | {"}"} and not own.match(line)
    ]


def test_the_caches_of_the_guide_are_those_of_the_tests() -> None:
    """R21: tests/integration/responder/test_caches.py runs them."""
    for kind, proven, least in (("nginx", NGINX_CONF, 8), ("vcl", VCL, 4)):
        block = fenced(kind)
        assert untried(block, proven) == []
        assert len(block.splitlines()) > least
        assert untried(block + "proxy_cache_use_stale error;\n", proven) != []
    for needed in (
        "merge_slashes off;",
        "proxy_cache_revalidate on;",
        "proxy_cache_key $request_uri;",
    ):
        assert needed in fenced("nginx")
    assert "grace = 0s" in fenced("vcl")
