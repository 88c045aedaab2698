"""The corpus and Debian's package: read without loss, and as crossplane reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import crossplane  # type: ignore[import-untyped]
import pytest

from holdfast.conf.nginx import LUA_BLOCK, Directive, Token, Tree, dump, parse
from holdfast.conf.text import read_text, written

CORPUS = sorted((Path(__file__).parents[2] / "corpus" / "nginx").iterdir())
PACKAGE = Path("/etc/nginx")
INSTALLED = [path for path in sorted(PACKAGE.rglob("*")) if path.is_file()]

# What the oracle cannot read, and why.
BEYOND = {
    "lua-openresty.conf": "it takes a quote in a Lua comment for a string",
    "lua-long-strings.conf": "it knows no long brackets of Lua",
    "comments-everywhere.conf": "it takes the comment before { for the block's own",
}

Said = tuple[str, tuple[str, ...], "list[Said] | None"]


def test_the_corpus_is_large_enough() -> None:
    assert len(CORPUS) >= 25
    assert {path.name for path in CORPUS} >= BEYOND.keys()


@pytest.mark.parametrize("path", [*CORPUS, *INSTALLED], ids=lambda path: path.name)
def test_read_without_loss_and_problem(path: Path) -> None:
    data = path.read_bytes()
    tree = parse(read_text(data))
    assert written(dump(tree)) == data
    assert tree.problems == ()


@pytest.mark.parametrize(
    "path",
    [path for path in [*CORPUS, *INSTALLED] if path.name not in BEYOND],
    ids=lambda path: path.name,
)
def test_crossplane_agrees(path: Path) -> None:
    said = _oracle(path)
    assert said is not None, "crossplane cannot read it: name the reason in BEYOND"
    assert _ours(parse(path.read_text("utf-8", "replace"))) == said


@pytest.mark.parametrize("name", sorted(BEYOND))
def test_what_is_beyond_crossplane_still_is(name: str) -> None:
    """So that a newer crossplane takes these files up."""
    path = next(path for path in CORPUS if path.name == name)
    assert _oracle(path) != _ours(parse(path.read_text("utf-8", "replace")))


def _oracle(path: Path) -> list[Said] | None:
    payload = crossplane.parse(
        str(path), single=True, strict=False, check_ctx=False, check_args=False
    )
    if payload["status"] != "ok":
        return None
    return _theirs(payload["config"][0]["parsed"])


def _theirs(parsed: list[dict[str, Any]]) -> list[Said]:
    return [
        (
            one["directive"],
            tuple(one["args"][:-1] if one["directive"].endswith(LUA_BLOCK) else one["args"]),
            _theirs(one["block"]) if "block" in one else None,
        )
        for one in parsed
    ]


def _ours(of: Tree | Directive) -> list[Said]:
    """In crossplane's words: it leaves escapes in place, and takes the parentheses off `if`."""
    return [
        (
            one.name,
            _args(one),
            None if one.inner is None or one.name.endswith(LUA_BLOCK) else _ours(one),
        )
        for one in of.directives
    ]


def _args(one: Directive) -> tuple[str, ...]:
    args = [_as_theirs(word) for word in one.words[1:]]
    if one.name == "if" and args and args[0].startswith("(") and args[-1].endswith(")"):
        args[0] = args[0][1:].lstrip()
        args[-1] = args[-1][:-1].rstrip()
        args = [arg for n, arg in enumerate(args) if arg or 0 < n < len(args) - 1]
    return tuple(args)


def _as_theirs(word: Token) -> str:
    if word.kind != "quoted":
        return word.raw
    quote = word.raw[0]
    return word.raw[1:-1].replace("\\" + quote, quote)
