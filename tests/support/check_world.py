"""For tests of `holdfast check`: a CA, an HTTP server for responders and CRLs, and a run's report.

The fixtures `loop`, `roots` and `web` are made known by `tests/integration/conftest.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.net.http_message import Reply, Request
from holdfast.net.http_server import serve
from support.cli import Outcome, holdfast
from support.tls_world import Loop, Stand, a_ca, a_loop, roots_file

CA = a_ca()


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with a_loop() as loop:
        yield loop


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    return roots_file(CA, tmp_path)


class Web:
    """An HTTP server of ours: `answers[path prefix]` is the body, or a Reply."""

    def __init__(self, loop: Loop) -> None:
        self.answers: dict[str, bytes | Reply] = {}
        self.asked = 0
        self._server = loop.run(serve("127.0.0.1", 0, self._answer))
        self.url = f"http://127.0.0.1:{self._server.port}"
        self._loop = loop

    def _answer(self, request: Request) -> Reply:
        self.asked += 1
        for prefix, body in self.answers.items():
            if request.path.startswith(prefix.encode()):
                if isinstance(body, Reply):
                    return body
                return Reply(200, body, ((b"Content-Type", b"application/ocsp-response"),))
        return Reply(404, b"nothing\n")

    def close(self) -> None:
        self._loop.run(self._server.close(grace=0))


@pytest.fixture
def web(loop: Loop) -> Iterator[Web]:
    web = Web(loop)
    yield web
    web.close()


def check(stand: Stand | int, roots: Path | None, *more: object) -> Outcome:
    port = stand if isinstance(stand, int) else stand.port
    trust = [] if roots is None else ["--ca-file", roots]
    return holdfast("check", f"localhost:{port}", "--address", "127.0.0.1", *trust, *more)


def looked(stand: Stand | int, roots: Path | None, *more: object) -> dict[str, Any]:
    outcome = check(stand, roots, "--json", *more)
    document = outcome.json
    assert document["schema"] == "holdfast.check/1", outcome.err
    report: dict[str, Any] = document["reports"][0]
    report["exit"] = outcome.code
    return report


def codes(report: dict[str, Any]) -> set[str]:
    return {found["code"] for found in report["findings"]}
