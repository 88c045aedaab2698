"""Apache's files of the corpus and of Debian's package: all come back, and odd forms are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.conf.apache import dump, flaws, parse
from holdfast.conf.text import read_text, written

CORPUS = Path(__file__).parents[2] / "corpus" / "apache"
PACKAGE = Path("/etc/apache2")
FILES = sorted(path for path in CORPUS.rglob("*") if path.is_file())
PACKAGED = sorted(path for path in PACKAGE.rglob("*") if path.is_file())


def test_the_corpus_is_there() -> None:
    assert len(FILES) >= 40
    assert len(PACKAGED) >= 150


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORPUS)))
def test_a_file_of_the_corpus_comes_back(path: Path) -> None:
    data = path.read_bytes()
    tree = parse(read_text(data))
    assert written(dump(tree)) == data
    broken = path.parent.name == "broken" and path.stem != "byte_order_mark"
    assert bool(flaws(tree)) is broken


def test_every_file_of_debians_package_comes_back() -> None:
    for path in PACKAGED:
        data = path.read_bytes()
        tree = parse(read_text(data))
        assert written(dump(tree)) == data, path
        if path.suffix in (".conf", ".load"):
            assert flaws(tree) == (), path
