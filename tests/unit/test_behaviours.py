"""docs/reference/behaviours.md names, for each numbered behaviour, the files of tests that cite it.

A test cites a behaviour in its name (`test_k3_...`, `..._v2`) or docstring ("K3", "V2, R24").
Written anew by `make docs`, or `python tests/unit/test_behaviours.py`; stale is red.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "behaviours.md"
LAST = {"K": 29, "V": 7, "R": 36, "T": 7}  # the highest number of each section

_ROW = re.compile(r"^\| (?P<code>[KVRT]\d+) \| (?P<text>[^|]*) \|[^|]*\|$", flags=re.MULTILINE)
_IN_TEXT = re.compile(r"\b([KVRT])(\d{1,2})(?:\s*(?:to|-|\u2013)\s*\1?(\d{1,2}))?\b")
_IN_NAME = re.compile(r"(?<![a-z0-9])([kvrt])(\d{1,2})(?![a-z0-9])")


def citations(name: str, docstring: str) -> set[str]:
    """The behaviours that a test of this name and docstring cites; "K4 to K6" is three."""
    found = {f"{letter.upper()}{int(number)}" for letter, number in _IN_NAME.findall(name)}
    for letter, first, last in _IN_TEXT.findall(docstring):
        found |= {f"{letter}{n}" for n in range(int(first), int(last or first) + 1)}
    return {code for code in found if 1 <= int(code[1:]) <= LAST[code[0]]}


def cases_in(source: str) -> Iterator[tuple[str, set[str]]]:
    """Each test function or method of a file with what it cites.

    A class's docstring speaks for its tests, and the file's for all of them.
    """
    module = ast.parse(source)
    whole = ast.get_docstring(module) or ""

    def inside(body: list[ast.stmt], above: str) -> Iterator[tuple[str, set[str]]]:
        for node in body:
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef() if node.name.startswith("test"):
                    yield node.name, citations(node.name, _doc(node, above))
                case ast.ClassDef():
                    yield from inside(node.body, _doc(node, above))

    yield from inside(module.body, whole)


def cited() -> dict[str, set[str]]:
    """For each behaviour the test files that cite it."""
    places: dict[str, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if path == Path(__file__):
            continue
        for _, codes in cases_in(path.read_text(encoding="utf-8")):
            for code in codes:
                places[code].add(path.relative_to(ROOT).as_posix())
    return places


def rewritten(page: str) -> str:
    """`page` with the last cell of every behaviour's row as it should be."""
    places = cited()

    def row(found: re.Match[str]) -> str:
        tests = "<br>".join(f"[{p}](../../{p})" for p in sorted(places[found["code"]]))
        return f"| {found['code']} | {found['text']} | {tests or '*none yet*'} |"

    return _ROW.sub(row, page)


def test_the_page_is_current() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == rewritten(page), "stale: run `make docs`"


def test_the_page_has_each_behaviour_once() -> None:
    page = PAGE.read_text(encoding="utf-8")
    expected = [f"{letter}{n}" for letter, last in LAST.items() for n in range(1, last + 1)]
    assert [row["code"] for row in _ROW.finditer(page)] == expected


def test_citations_are_found_in_names_and_docstrings() -> None:
    assert citations("test_k3_is_atomic", "") == {"K3"}
    assert citations("test_window_v3_r20", "") == {"V3", "R20"}
    assert citations("test_x", "K4 to K6, V2. Not TLS 1.3, T9, K30 or SHA256.") == {
        *("K4", "K5", "K6", "V2")
    }
    assert citations("test_v1beta_k2x", "") == set()


def test_a_file_and_a_class_speak_for_their_tests() -> None:
    source = '"""K1."""\nclass TestA:\n "V1."\n def test_a(self): "R1."\ndef test_b(): ...\n'
    assert dict(cases_in(source)) == {"test_a": {"K1", "V1", "R1"}, "test_b": {"K1"}}


def _doc(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, above: str) -> str:
    return f"{above}\n{ast.get_docstring(node) or ''}"


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(rewritten(text), encoding="utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)}: written\n")
