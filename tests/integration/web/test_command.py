"""`holdfast web` as a command: it says where it is, ends by SIGTERM, and errors help."""

from __future__ import annotations

import http.client
import json
import socket
import time
import urllib.request
from pathlib import Path

from support.cli import holdfast
from support.processes import HOLDFAST, first_json, ran, running
from support.web_world import FORM


def test_it_says_where_it_is_and_ends_when_it_is_told(roots: Path, tmp_path: Path) -> None:
    settings = tmp_path / "holdfast.toml"
    settings.write_text(
        f'[web]\nlisten = "127.0.0.1:0"\nca_file = "{roots}"\nstate = "state"\n'
        '[web.limits]\ncheck = "5s"\n'
    )
    command = [*HOLDFAST, "web", "-c", settings, "--json"]
    with running(command, until=b"\n}\n") as started:
        told = first_json(started)
        assert told["schema"] == "holdfast.web/1"
        assert told["url"] == f"http://127.0.0.1:{told['port']}/"
        with urllib.request.urlopen(f"{told['url']}api/check?target=127.0.0.1:9") as reply:
            document = json.load(reply)
        assert document["reports"][0]["verdict"] == "unreachable"
        assert "loopback" in document["reports"][0]["findings"][0]["message"]
        assert (tmp_path / "state" / "web.sqlite").is_file()
        assert started.stop() == 0


def test_it_ends_in_time_while_a_check_is_under_way(roots: Path) -> None:
    """A target that says nothing, and somebody who watches."""
    words = ("web", "--listen", "127.0.0.1:0", "--ca-file", roots, "--allow-private-targets")
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        running([*HOLDFAST, *words, "--json"], until=b"\n}\n") as started,
    ):
        port = first_json(started)["port"]
        ask = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        target = f"target=127.0.0.1:{silent.getsockname()[1]}"
        ask.request("POST", "/check", target, {"Content-Type": FORM})
        place = ask.getresponse().headers["Location"]
        watch = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        watch.request("GET", f"{place}/events")
        events = watch.getresponse()
        assert events.readline() == b"event: part\n"
        begun = time.monotonic()
        assert started.stop() == 0
        assert time.monotonic() - begun < 6


def test_it_says_so_in_words_too(roots: Path) -> None:
    words = ("web", "--listen", "127.0.0.1:0", "--ca-file", roots)
    with running([*HOLDFAST, *words]) as started:
        assert started.first.startswith(b"serving the checker at http://127.0.0.1:")


def test_a_port_in_use_is_told(roots: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        done = ran([*HOLDFAST, "web", "--listen", place, "--ca-file", roots])
    assert done.returncode == 2
    assert b"the port is in use" in done.stderr
    assert b"Traceback" not in done.stderr


def test_options_that_cannot_be_are_told(tmp_path: Path) -> None:
    wrong = holdfast("web", "--trust-forwarded", "everybody")
    assert (wrong.code, "'everybody' is not a network" in wrong.err) == (2, True)
    missing = holdfast("web", "--listen", "127.0.0.1:0", "--ca-file", tmp_path / "none.pem")
    assert (missing.code, "none.pem" in missing.err) == (2, True)
