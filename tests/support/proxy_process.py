"""`holdfast proxy` as a process, and a responder for the certificates that it serves."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from holdfast.net.http_message import Reply, Request
from holdfast.net.http_server import serve
from holdfast.ocsp.statuses import GOOD, CertificateStatus
from holdfast.pki.issue import Authority, Issued
from support.answers import an_answer
from support.tls_world import NOW, Loop, a_site


class Responder:
    """Answers for the sites it knows, as told."""

    def __init__(self, loop: Loop, ca: Authority) -> None:
        self._ca = ca
        self.sites: dict[str, Issued] = {}
        self.says: CertificateStatus = GOOD
        self._loop = loop
        self._server = loop.run(serve("127.0.0.1", 0, self._answer))
        self.url = f"http://127.0.0.1:{self._server.port}"

    def _answer(self, request: Request) -> Reply:
        for path, site in self.sites.items():
            if request.path.startswith(f"{path}/".encode()):
                answer = an_answer(self._ca, site, self.says, at=NOW)
                return Reply(200, answer, ((b"Content-Type", b"application/ocsp-response"),))
        return Reply(500)

    def site(self, path: str, *names: str, **wishes: Any) -> Issued:
        site = self.sites[path] = a_site(
            self._ca, *names, responder_urls=[self.url + path], **wishes
        )
        return site

    def close(self) -> None:
        self._loop.run(self._server.close(grace=0))


class Running:
    """The process: what it announced, and its stderr in a file."""

    def __init__(self, process: subprocess.Popen[str], announced: dict[str, Any], log: Path):
        self.process, self.announced, self._log = process, announced, log
        self.port: int = announced["port"]

    @property
    def log(self) -> str:
        return self._log.read_text()

    def said(self, words: str, *, times: int = 1) -> None:
        """Wait until stderr has `words`, so many times."""
        for _ in range(1000):
            if self.log.count(words) >= times:
                return
            time.sleep(0.01)
        raise AssertionError(f"never said {words!r}: {self._log.read_text()}")


@contextlib.contextmanager
def running(folder: Path, *words: object, listen: bool = True) -> Iterator[Running]:
    """The command with `words`. `listen` False: they say where."""
    log = folder / "stderr"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "holdfast", "proxy", "--json"]
            + (["--listen", "127.0.0.1:0"] if listen else [])
            + [str(word) for word in words],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    assert process.stdout is not None
    lines = []
    try:
        for line in process.stdout:
            lines.append(line)
            if line == "}\n":
                break
        assert lines, log.read_text()
        yield Running(process, json.loads("".join(lines)), log)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
