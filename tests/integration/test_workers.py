"""Workers and their master, as processes: nobody is refused while they change (R27)."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.processes import Running, first_json, ran, running

TESTS = Path(__file__).resolve().parents[1]
PROGRAM = (sys.executable, "-m", "support.workers_program")


@dataclass
class Site:
    """A running service and its settings."""

    running: Running
    settings: Path
    port: int

    def ask(self, path: str = "/", *, timeout: float = 10.0) -> bytes:
        caller = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            caller.request("GET", path)
            return caller.getresponse().read()
        finally:
            caller.close()

    def write(self, **wishes: object) -> None:
        document = json.loads(self.settings.read_text()) | wishes
        self.settings.write_text(json.dumps(document))

    def reload(self) -> None:
        self.running.child.send_signal(signal.SIGHUP)

    def pids(self) -> set[int]:
        """The workers."""
        pid = self.running.child.pid
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return set(map(int, words))


def until(true: Callable[[], bool], *, within: float = 15.0) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


@contextmanager
def served(folder: Path, **wishes: object) -> Iterator[Site]:
    settings = folder / "settings.json"
    document = {"workers": 2, "listen": [["127.0.0.1", 0]], "text": "one"} | wishes
    settings.write_text(json.dumps(document))
    with running([*PROGRAM, settings], cwd=TESTS) as started:
        yield Site(started, settings, first_json(started)["ports"][0])


def test_workers_share_the_clients_and_their_counts(tmp_path: Path) -> None:
    with served(tmp_path) as site:
        seen = {int(site.ask("/pid")) for _ in range(64)}
        assert seen == site.pids()
        assert len(seen) == 2
        assert json.loads(site.ask("/count"))["get"] == 65
        assert site.running.stop() == 0
    for pid in seen:
        assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_dies_is_started_again_and_nobody_is_refused(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Whoever connects meanwhile waits on a socket that the master holds."""
    with served(tmp_path, workers=1) as site:
        (before,) = site.pids()
        os.kill(before, number)
        assert site.ask() == b"one"
        (after,) = site.pids()
        assert after != before
        assert json.loads(site.ask("/count"))["get"] == 2  # what was counted is not lost
        site.running.stop()
        assert site.running.child.stderr is not None
        assert number.name.encode() in site.running.child.stderr.read()


def test_a_reload_serves_on_with_the_new_settings(tmp_path: Path) -> None:
    """New workers first; an answer under way at an old one is given whole."""
    with served(tmp_path, grace=10) as site:
        old = site.pids()
        stop, failures, answers = threading.Event(), [], []

        def keep_asking() -> None:
            while not stop.is_set():
                try:
                    answers.append(site.ask())
                except Exception as error:
                    failures.append(error)

        slow: list[bytes] = []
        threads = [threading.Thread(target=keep_asking) for _ in range(4)]
        threads.append(threading.Thread(target=lambda: slow.append(site.ask("/slow"))))
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        site.write(text="two", workers=3)
        site.reload()
        until(lambda: len(site.pids()) == 3 and not site.pids() & old)
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert slow == [b"one"]
        assert set(answers) == {b"one", b"two"}
        assert {site.ask() for _ in range(20)} == {b"two"}
        site.write(text="three", workers=1)  # fewer: the sockets that are left over are shared
        site.reload()
        until(lambda: len(site.pids()) == 1)
        assert {site.ask() for _ in range(20)} == {b"three"}


@pytest.mark.parametrize(
    "wishes", [{"refuse": "line 3 is wrong"}, {"fail": "no such key"}, {"die": True}]
)
def test_a_reload_that_fails_leaves_the_old_workers(tmp_path: Path, wishes: dict[str, Any]) -> None:
    with served(tmp_path) as site:
        old = site.pids()
        site.write(text="two", **wishes)
        site.reload()
        time.sleep(1.0)
        until(lambda: site.pids() == old)
        assert site.ask() == b"one"
        site.write(refuse="", fail="", die=False)
        site.reload()
        until(lambda: not site.pids() & old)
        assert site.ask() == b"two"
        site.running.stop()
        assert site.running.child.stderr is not None
        said = site.running.child.stderr.read().decode()
        assert "reload failed, the old workers go on" in said
        assert str(next(iter(wishes.values()))) in said or "SIGKILL" in said


def test_workers_that_are_never_ready_end_the_start(tmp_path: Path) -> None:
    for wishes, said in (
        ({"fail": "no such key"}, b"no such key (mend it)"),
        ({"hang": True}, b"not all workers were ready within 1 s"),
        ({"die": True}, b"was killed by SIGKILL while it started"),
    ):
        settings = tmp_path / "settings.json"
        settings.write_text(
            json.dumps({"workers": 2, "listen": [["127.0.0.1", 0]], "text": "", **wishes})
        )
        done = subprocess.run(
            [*PROGRAM, str(settings)],
            cwd=TESTS,
            capture_output=True,
            timeout=30,
            check=False,
            env={**os.environ, "START_WITHIN": "1"},
        )
        assert done.returncode == 2
        assert said in done.stderr


def test_workers_end_when_their_master_is_killed(tmp_path: Path) -> None:
    with served(tmp_path) as site:
        pids = site.pids()
        site.running.child.kill()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_sigterm_lets_answers_under_way_end(tmp_path: Path) -> None:
    with served(tmp_path, workers=1) as site:
        slow: list[bytes] = []
        thread = threading.Thread(target=lambda: slow.append(site.ask("/slow")))
        thread.start()
        time.sleep(0.3)
        begun = time.monotonic()
        assert site.running.stop() == 0
        thread.join()
        assert slow == [b"one"]
        assert time.monotonic() - begun < 5


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    """SO_REUSEPORT alone would let a second master take half of the clients."""
    with served(tmp_path) as site:
        second = tmp_path / "second.json"
        wishes = {"workers": 1, "listen": [["127.0.0.1", site.port]], "text": "two"}
        second.write_text(json.dumps(wishes))
        done = ran([*PROGRAM, second], cwd=TESTS)
        assert done.returncode == 2
        assert b"the port is in use" in done.stderr
        assert b"Traceback" not in done.stderr
        assert {site.ask() for _ in range(20)} == {b"one"}


def test_a_unix_socket_is_served_and_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    path.touch()
    path.unlink()
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()  # its file stays, as after a kill
    with served(tmp_path, listen=[["127.0.0.1", 0], str(path)]) as site:
        assert path.stat().st_mode & 0o777 == 0o660
        for _ in range(4):
            with socket.socket(socket.AF_UNIX) as caller:
                caller.connect(str(path))
                caller.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                got = b""
                while chunk := caller.recv(4096):
                    got += chunk
            assert got.endswith(b"one")
        second = tmp_path / "second.json"
        second.write_text(json.dumps({"workers": 1, "listen": [str(path)], "text": "two"}))
        done = ran([*PROGRAM, second], cwd=TESTS)
        assert done.returncode == 2
        assert b"somebody answers there already" in done.stderr
        assert site.running.stop() == 0
    assert not path.exists()


def test_sockets_that_systemd_gives_are_used(tmp_path: Path) -> None:
    """LISTEN_FDS, as systemd-socket-activate and a socket unit pass it."""
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"workers": 2, "listen": ["given:web"], "text": "one"}))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        start = (
            "import os, sys\n"
            "os.dup2(int(sys.argv[1]), 3)\n"
            "os.set_inheritable(3, True)\n"
            "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES='web')\n"
            "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])\n"
        )
        child = subprocess.Popen(
            [
                *(sys.executable, "-c", start, str(listener.fileno())),
                *("-m", "support.workers_program", str(settings)),
            ],
            cwd=TESTS,
            pass_fds=[listener.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    assert child.stdout is not None
    site = Site(Running(child, child.stdout.readline()), settings, port)
    try:
        assert first_json(site.running)["ports"] == [port]
        assert {site.ask() for _ in range(8)} == {b"one"}
        site.write(text="two")
        site.reload()
        until(lambda: site.ask() == b"two")
        assert site.running.stop() == 0
    finally:
        site.running.stop(signal.SIGKILL)
        child.communicate()
