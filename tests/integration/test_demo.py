"""`holdfast demo` as a newcomer runs it: every step held, in a pipe and on a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import time
from pathlib import Path

from support.cli import holdfast
from support.processes import HOLDFAST, ran

STEPS = 10


def test_in_a_pipe_it_ends_after_its_steps() -> None:
    """K1, K2, K7, K11, K21, T1, T2, T3: each step proves its own; others' clients were asked."""
    done = ran([*HOLDFAST, "demo"])
    text = done.stdout.decode()
    assert done.returncode == 0, text + done.stderr.decode()
    assert f"all {STEPS} steps held" in text
    assert "4 handshakes, 4 good staples" in text
    assert "openssl s_client, gnutls-cli, curl --cert-status accept" in text
    assert "gnutls-cli, curl --cert-status refuse" in text
    assert "\x1b" not in text
    assert done.stderr == b""


def test_json_tells_each_step_and_a_folder_keeps_what_was_made(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    done = ran([*HOLDFAST, "demo", "--once", "--json", "--folder", str(folder)])
    document = json.loads(done.stdout)
    assert document["schema"] == "holdfast.demo/1"
    assert document["failed"] is None
    assert len(document["steps"]) == STEPS
    assert all(step["proved"] for step in document["steps"])
    assert (folder / "ca" / "root.pem").exists()
    assert len(list((folder / "keeper" / "staples").glob("*.der"))) == 2
    assert [p for p in folder.rglob("*.key") if p.stat().st_mode & 0o077] == []


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        base = taken.getsockname()[1]
        done = holdfast("demo", "--once", "--port-base", min(base, 65533))
    assert done.code == 2
    assert "port is in use" in done.err
    assert "hint: " in done.err
    assert "Traceback" not in done.err


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    done = holdfast("demo", "--once", "--folder", tmp_path)
    assert done.code == 2
    assert "is not empty" in done.err
    assert (tmp_path / "mine").read_text() == "precious"


def test_on_a_terminal_it_serves_until_ctrl_c() -> None:
    """The page answers and openssl sees the (revoked) staple while it stays."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [*HOLDFAST, "demo"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "PYTHONIOENCODING": "utf-8"},
        start_new_session=True,
    )
    os.close(theirs)
    try:
        text = read_until(ours, "Ctrl-C")
        assert "\x1b[" in text
        page = re.search(r"http://127\.0\.0\.1:\d+/(?=\r?\n)", text)
        https = re.search(r"-connect (127\.0\.0\.1:\d+)", text)
        assert page is not None
        assert https is not None
        assert b"localhost" in ran(["curl", "-sS", page.group()]).stdout
        shown = ran(["openssl", "s_client", "-connect", https.group(1), "-status"])
        assert b"Cert Status: revoked" in shown.stdout
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=10) == 0
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        os.close(ours)


def read_until(descriptor: int, until: str) -> str:
    found = b""
    deadline = time.monotonic() + 30
    while until.encode() not in found:
        ready, _, _ = select.select([descriptor], [], [], max(0, deadline - time.monotonic()))
        assert ready, found.decode(errors="replace")
        found += os.read(descriptor, 65536)
    return found.decode(errors="replace")
