"""sources/stored: responses in files."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.errors import NotFound, Unavailable
from holdfast.ocsp.response import Response
from holdfast.pki import pem
from holdfast.sources.stored import StoredSource
from support.pki import AT
from support.staples import a_desk

DESK = a_desk()
OTHER = a_desk("other.test")
NEW, OLD = DESK.response(), DESK.response(AT - timedelta(days=1))


def find(*paths: Path) -> Response:
    return asyncio.run(StoredSource(paths).response(DESK.subject))


@pytest.mark.parametrize(
    "form", [bytes, base64.b64encode, lambda d: pem.encode("OCSP RESPONSE", d)]
)
def test_der_pem_and_base64(tmp_path: Path, form: object) -> None:
    (tmp_path / "r").write_bytes(form(NEW.der))  # type: ignore[operator]
    assert find(tmp_path / "r").der == NEW.der


def test_the_newest_that_speaks_of_the_subject(tmp_path: Path) -> None:
    for name, response in (("1", OTHER.response()), ("2", NEW), ("3", OLD)):
        (tmp_path / name).write_bytes(response.der)
    (tmp_path / "4").write_bytes(b"garbage")
    (tmp_path / "dir").mkdir()
    assert find(tmp_path).der == NEW.der
    assert find(tmp_path / "3", tmp_path / "1").der == OLD.der


def test_none_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "1").write_bytes(OTHER.response().der)
    for path in (tmp_path, tmp_path / "1"):
        with pytest.raises(NotFound, match="none of the stored responses"):
            find(path)
    with pytest.raises(NotFound):
        find()


@pytest.mark.parametrize("content", [None, b"", b"garbage", NEW.der[:-1], NEW.der + b"x"])
def test_a_named_file_that_cannot_be_read_is_unavailable(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "r"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unavailable, match=str(path)) as caught:
        find(path)
    assert caught.value.failure == "unreadable"
    (tmp_path / "good").write_bytes(NEW.der)
    assert find(path, tmp_path / "good").der == NEW.der  # unless another has the answer
