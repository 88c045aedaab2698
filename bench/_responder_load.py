"""Load for the responder's benchmark: wrk and h2load, and a caller that opens a connection for each
request and never one without.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 64
TICKS = os.sysconf("SC_CLK_TCK")

LUA = """
local reqs = {}
local at = 0
function init(args)
  local f = assert(io.open(args[1], "rb"))
  while true do
    local n = f:read("*n")
    if not n then break end
    f:read(1)
    reqs[#reqs + 1] = f:read(n)
  end
  f:close()
  at = (tonumber(args[2]) or 0) % #reqs
end
function request()
  at = at + 1
  if at > #reqs then at = 1 end
  return reqs[at]
end
"""


@dataclass(frozen=True, slots=True)
class Rate:
    """What one run gave: answers a second by the clock and a second of the server's processor."""

    answers: int
    by_clock: float
    by_cpu: float


def missing() -> str:
    """What has to be installed, "" when nothing is."""
    wanted = {"wrk": "wrk", "h2load": "nghttp2-client", "nginx": "nginx", "taskset": "util-linux"}
    lacks = [package for program, package in wanted.items() if shutil.which(program) is None]
    return f"apt-get install {' '.join(lacks)}" if lacks else ""


def cpu_seconds(pid: int) -> float:
    """Of the process and its children that live."""
    total = 0.0
    for one in _tree(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def anonymous_kib(pid: int) -> int:
    """RssAnon of the largest of the processes."""
    found = 0
    for one in _tree(pid):
        text = Path(f"/proc/{one}/status").read_text()
        match = re.search(r"RssAnon:\s+(\d+)", text)
        found = max(found, int(match[1]) if match else 0)
    return found


def _tree(pid: int) -> list[int]:
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(one for word in words for one in _tree(int(word)))]


def wrk(
    port: int,
    pid: int,
    requests: Path,
    *,
    seconds: float,
    core: int,
    path: str = "/",
    after: int = 0,
) -> Rate:
    """`CONNECTIONS` that ask in a loop what is in the file `requests`, first what comes `after` so
    many."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(LUA)
        script.flush()
        whole = max(1, round(seconds))
        command = ["taskset", "-c", str(core), "wrk", "-t", "1", "-c", str(CONNECTIONS)]
        command += ["-d", f"{whole}s", "-s", script.name, f"http://127.0.0.1:{port}{path}", "--"]
        before = cpu_seconds(pid)
        command += [str(requests), str(after)]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        taken = cpu_seconds(pid) - before
    said = re.search(r"(\d+) requests in ([\d.]+)(m?s)", done.stdout)
    assert said, done.stdout
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    answers = int(said[1]) - (int(bad[1]) if bad else 0)
    elapsed = float(said[2]) / (1000 if said[3] == "ms" else 1)
    return Rate(answers, answers / elapsed, answers / max(taken, 1 / TICKS))


def one_by_one(port: int, pid: int, requests: Sequence[bytes], *, seconds: float) -> Rate:
    """A connection for each request, until the time is over."""
    answers = 0
    before = cpu_seconds(pid)
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        with _connected(port) as caller:
            caller.sendall(requests[answers % len(requests)])
            got = b""
            while chunk := caller.recv(65536):
                got += chunk
        assert b"200" in got[:20], got[:200]
        answers += 1
    elapsed = time.perf_counter() - begun
    taken = max(cpu_seconds(pid) - before, 1 / TICKS)
    return Rate(answers, answers / elapsed, answers / taken)


def _connected(port: int) -> socket.socket:
    """Tried again while it is refused: this server is asked nothing before."""
    until = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=10)
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def p99(port: int, paths: Path, *, rate: float, seconds: float, core: int) -> float:
    """Milliseconds that 99 of 100 requests take at most, at `rate` a second."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = ["taskset", "-c", str(core), "h2load", "--h1", "-c", str(CONNECTIONS)]
        command += ["-D", str(max(1, round(seconds))), "--warm-up-time=1"]
        command += [f"--rps={rate / CONNECTIONS:.1f}", f"--log-file={log}"]
        command += ["-i", str(paths), "-B", f"http://127.0.0.1:{port}"]
        subprocess.run(command, capture_output=True, check=True, text=True)
        taken = [int(line.rsplit("\t", 1)[1]) for line in log.read_text().splitlines()]
    return statistics.quantiles(taken, n=100)[98] / 1000
