"""Two nodes and one PostgreSQL, as docs/how-to/responder-two-nodes.md sets them up: each node has a
signer and a store of its own, HAProxy in front asks each for its health. R32, R36."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support.keep_world import soon
from support.ports import free_port
from support.postgres import PostgreSQL
from support.processes import HOLDFAST, ran, running
from support.responder_service import got

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "how-to" / "responder-two-nodes.md"


class Way:
    """A TCP way to the database that can be cut, as a network can."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._cut = False
        self._open: set[socket.socket] = set()
        self._ear = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._ear.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._ear.accept()
            except OSError:
                return
            if self._cut:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._behind))
            except ConnectionRefusedError:  # the database is down
                near.close()
                continue
            self._open |= {near, far}
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=_pass, args=(one, other), daemon=True).start()

    def cut(self) -> None:
        self._cut = True
        for one in self._open:
            with suppress(OSError):  # closed a moment ago by its other end
                one.shutdown(socket.SHUT_RDWR)
        self._open = set()

    def mend(self) -> None:
        self._cut = False

    def close(self) -> None:
        self._ear.close()


def _pass(one: socket.socket, other: socket.socket) -> None:
    try:
        while data := one.recv(65536):
            other.sendall(data)
    except OSError:
        pass
    finally:
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                end.close()


@dataclass
class Node:
    """One machine: its port, the port of its pages, its way to the database."""

    name: str
    folder: Path
    way: Way
    port: int
    status: int

    def settings(self, database: str) -> Path:
        """As the guide has them, on this machine's ports and files."""
        text = block(GUIDE.read_text(), "toml")
        for there, here in {
            '"0.0.0.0:8888"': f'"127.0.0.1:{self.port}"',
            '"0.0.0.0:9121"': f'"127.0.0.1:{self.status}"',
            "/etc/holdfast/ca.pem": str(self.folder.parent / "ca" / "ca.pem"),
            "/etc/holdfast/signer": str(self.folder.parent / "ca" / self.name),
            "/var/lib/holdfast-responder/": f"{self.folder}/",
            "postgresql://holdfast@db.example.internal/pki": database,
        }.items():
            assert there in text, there
            text = text.replace(there, here)
        path = self.folder / "holdfast.toml"
        path.write_text(text.replace('delay = "1m"', 'delay = "2s"'))
        return path

    @contextmanager
    def running(self, database: str) -> Iterator[None]:
        settings = self.settings(database)
        follow = [*HOLDFAST, "presign", "-c", settings, "--follow", "--json"]
        with (
            running([*HOLDFAST, "responder", "-c", settings, "--json"], until=b"\n}\n"),
            running(follow, until=b"\n}\n"),
        ):
            yield

    @property
    def healthy(self) -> bool:
        return got(f"http://127.0.0.1:{self.status}/healthz")[0] == 200


def block(text: str, kind: str) -> str:
    """The first block of `kind` in a page."""
    return text.partition(f"```{kind}\n")[2].partition("```")[0]


@dataclass
class Two:
    folder: Path
    database: PostgreSQL
    url: str
    nodes: tuple[Node, Node]
    front: int

    def asked(self, port: int, name: str = "www.test") -> str:
        ca, leaf = self.folder / "ca" / "ca.pem", self.folder / "ca" / "issued" / f"{name}.pem"
        words = ["openssl", "ocsp", "-issuer", ca, "-cert", leaf, "-CAfile", ca, "-no_nonce"]
        done = ran([*words, "-url", f"http://127.0.0.1:{port}/"])
        text = (done.stdout + done.stderr).decode()
        for word in (": good", ": revoked", "trylater"):
            if word in text and ("verify OK" in text or word == "trylater"):
                return word.strip(": ")
        return text

    def ca(self, *words: object) -> None:
        done = ran([*HOLDFAST, "ca", words[0], "--ca", self.folder / "ca", *words[1:]])
        assert done.returncode == 0, done.stderr.decode()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    tmp_path = tmp_path_factory.mktemp("two")
    with ExitStack() as stack:
        database = stack.enter_context(PostgreSQL.running())
        url = database.fresh()
        nodes = []
        for name in ("signer-1", "signer-2"):
            folder = tmp_path / name
            folder.mkdir()
            way = Way(database.port)
            stack.callback(way.close)
            nodes.append(Node(name, folder, way, free_port(), free_port()))
        made = Two(tmp_path, database, url, (nodes[0], nodes[1]), free_port())
        made.ca("init", "--ledger", url, "--name", "Two Nodes")
        made.ca("issue", "www.test")
        made.ca("issue", "gone.test")
        made.ca("issue", "lost.test")
        made.ca("revoke", "lost.test")
        made.ca("signer", "signer-1")
        made.ca("signer", "signer-2")
        for node in nodes:
            parts = urlsplit(url)
            through = url.replace(f":{parts.port}/", f":{node.way.port}/")
            stack.enter_context(node.running(through))
        stack.enter_context(front(made))
        yield made


@contextmanager
def front(two: Two) -> Iterator[None]:
    """HAProxy as the guide has it."""
    text = block(GUIDE.read_text(), "haproxy")
    first, second = two.nodes
    for there, here in {
        "bind :80": f"bind 127.0.0.1:{two.front}",
        "192.0.2.1:8888 check port 9121": f"127.0.0.1:{first.port} check port {first.status}",
        "192.0.2.2:8888 check port 9121": f"127.0.0.1:{second.port} check port {second.status}",
    }.items():
        assert there in text, there
        text = text.replace(there, here)
    path = two.folder / "haproxy.cfg"
    path.write_text(text)
    with (two.folder / "haproxy.log").open("wb") as log:
        child = subprocess.Popen(["haproxy", "-db", "-f", path], stdout=log, stderr=log)
    try:
        yield
    finally:
        child.terminate()
        child.wait(timeout=20)


def test_two_nodes_answer_from_one_database(two: Two) -> None:
    first, second = two.nodes
    soon(lambda: first.healthy and second.healthy)
    for port in (first.port, second.port, two.front):
        soon(lambda port=port: two.asked(port, "gone.test") == "good")  # type: ignore[misc]
    two.ca("revoke", "gone.test", "--reason", "keyCompromise")
    begun = time.monotonic()
    for port in (first.port, second.port, two.front):
        soon(lambda port=port: two.asked(port, "gone.test") == "revoked")  # type: ignore[misc]
    assert time.monotonic() - begun < 10


def test_a_node_that_lost_its_way_to_the_database_is_left_out(two: Two) -> None:
    """It says tryLater and is unhealthy; who asks at the front hears of nothing but good."""
    first, second = two.nodes
    soon(lambda: two.asked(two.front) == "good")
    second.way.cut()
    soon(lambda: not second.healthy, within=20)
    soon(lambda: two.asked(second.port) == "trylater", within=20)
    time.sleep(2.5)  # HAProxy asks each second, and wants two failures
    assert [two.asked(two.front) for _ in range(6)] == ["good"] * 6
    assert first.healthy
    second.way.mend()
    soon(lambda: second.healthy, within=20)
    soon(lambda: two.asked(second.port) == "good", within=20)


def test_without_the_database_nothing_is_good_and_all_comes_back(two: Two) -> None:
    first, second = two.nodes
    soon(lambda: two.asked(two.front) == "good")
    two.database.kill()
    soon(lambda: not first.healthy and not second.healthy, within=20)
    for node in two.nodes:
        soon(lambda node=node: two.asked(node.port) == "trylater", within=20)  # type: ignore[misc]
    two.database.start()
    soon(lambda: first.healthy and second.healthy, within=20)
    for node in two.nodes:
        soon(lambda node=node: two.asked(node.port) == "good", within=20)  # type: ignore[misc]


def test_the_guides_settings_are_what_is_read(two: Two) -> None:
    """And `--check` finds nothing in what would be answered."""
    first, _ = two.nodes
    settings = first.folder / "holdfast.toml"
    soon(lambda: two.asked(first.port, "lost.test") == "revoked")
    done = ran([*HOLDFAST, "responder", "-c", settings, "--check", "--json"])
    assert done.returncode == 0, done.stderr
    kinds = {row["kind"].partition(":")[0] for row in json.loads(done.stdout)["answers"]}
    stored = {"good, stored", "revoked, stored"}  # presign follows
    assert kinds == {"good", "revoked", "never issued", *stored}
