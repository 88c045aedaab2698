"""The keeper under systemd's protocols, where no systemd runs: NOTIFY_SOCKET, the watchdog, socket
activation by `systemd-socket-activate`, and the units as `systemd-analyze` judges them."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest

from holdfast.cli.group import holdfast as commands
from support.cli import holdfast
from support.keep_world import TWO, World, a_world, soon
from support.notified import Ear, heard
from support.ports import free_port
from support.processes import HOLDFAST, ran

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "packaging" / "systemd"
SERVICES = ("holdfast.service", "holdfast-withdraw.service")
RESPONDER = ("holdfast-responder.service", "holdfast-presign.service")
ALL = (*SERVICES, *RESPONDER)
THRESHOLD = 15  # tenths: `systemd-analyze security` calls 1.5 "OK", 9 and more "UNSAFE"
GATED = TWO.replace('state = "state"', 'state = "state"\nready = "must-staple"')


@pytest.fixture
def world(tmp_path: Path) -> World:
    return a_world(tmp_path)


@pytest.fixture
def ear(tmp_path: Path) -> Ear:
    return Ear(tmp_path / "notify")


def keep(settings: Path) -> tuple[object, ...]:
    return (*HOLDFAST, "keep", "-c", settings)


def got(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_k1_ready_with_the_must_staple_staple_reload_and_stop(world: World, ear: Ear) -> None:
    """K1, K24: READY=1 only once mail's staple is there; a reload drops nothing."""
    port = free_port()
    settings = world.settings(GATED.replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    with heard(keep(settings), ear, cwd=world.folder) as child:
        waiting = ear.until("EXTEND_TIMEOUT_USEC")
        soon(lambda: world.state.joinpath("control.sock").exists())
        ear.listen(1.5)
        assert "waiting for" in waiting["STATUS"]
        assert ear.count("READY") == 0
        assert got(f"http://127.0.0.1:{port}/readyz") == (503, "not ready\n")
        assert got(f"http://127.0.0.1:{port}/healthz") == (200, "ok\n")
        with world.responder():
            holdfast("refresh", "-c", settings)
            ready = ear.until("READY")
            assert ready["STATUS"] == "keeping 2 certificates"
            assert got(f"http://127.0.0.1:{port}/readyz") == (200, "ready\n")
            assert holdfast("wait", "mail", "-c", settings, "--timeout", "20s").code == 0
        mail = world.folder / "mail.ocsp"
        before = mail.stat().st_mtime_ns, mail.read_bytes()
        asked = time.monotonic_ns() // 1000
        child.send_signal(signal.SIGHUP)
        reloading = ear.until("RELOADING")
        assert asked <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        if "READY" not in ear.heard[-1]:
            ear.until("READY")
        assert (mail.stat().st_mtime_ns, mail.read_bytes()) == before, "not dropped, not rewritten"
        world.settings("nonsense = 1\n")
        child.send_signal(signal.SIGHUP)
        ear.until("RELOADING")
        if "READY" not in ear.heard[-1]:
            ear.until("READY")
        assert mail.exists(), "settings that are wrong change nothing"
        child.send_signal(signal.SIGTERM)
        ear.until("STOPPING")
        assert child.wait(timeout=10) == 0
        assert mail.exists()


def test_signs_of_life_only_while_it_lives(world: World, ear: Ear) -> None:
    """K24: the watchdog is fed by the event loop, so a process that stands still is not alive."""
    settings = world.settings(TWO)
    with heard(keep(settings), ear, cwd=world.folder, WATCHDOG_USEC="600000") as child:
        ear.until("READY")
        ear.heard.clear()
        ear.listen(1.5)
        assert 4 <= ear.count("WATCHDOG") <= 9, "every third of the 0.6 s that systemd allows"
        child.send_signal(signal.SIGSTOP)
        ear.listen(0.3)
        ear.heard.clear()
        ear.listen(0.7)
        assert ear.count("WATCHDOG") == 0
        child.send_signal(signal.SIGCONT)
        ear.until("WATCHDOG")


def test_the_watchdog_of_another_process_is_not_fed(world: World, ear: Ear) -> None:
    settings = world.settings(TWO)
    environ = {"WATCHDOG_USEC": "300000", "WATCHDOG_PID": "1"}
    with heard(keep(settings), ear, cwd=world.folder, **environ):
        ear.until("READY")
        ear.listen(0.6)
        assert ear.count("WATCHDOG") == 0


def test_commands_that_are_run_cannot_speak_for_the_keeper(world: World, ear: Ear) -> None:
    told = world.folder / "environ.txt"
    text = TWO.replace("echo $HOLDFAST_ACTION >> told.log", f"env > {told}")
    settings = world.settings(text)
    with world.responder(), heard(keep(settings), ear, cwd=world.folder, WATCHDOG_USEC="9000000"):
        assert holdfast("wait", "web", "-c", settings, "--timeout", "20s").code == 0
    names = {line.partition("=")[0] for line in told.read_text().splitlines()}
    assert "HOLDFAST_ACTION" in names
    assert not names & {"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS"}


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_the_page_on_a_socket_that_was_given(world: World, ear: Ear, kind: str) -> None:
    """`systemd-socket-activate` starts the keeper at the first connection, which is answered."""
    path = world.folder / "status.sock"
    port = free_port()
    where = f"127.0.0.1:{port}" if kind == "tcp" else str(path)
    settings = world.settings(TWO.replace('listen = "127.0.0.1:0"', 'listen = "192.0.2.1:1"'))
    command = ["systemd-socket-activate", "-l", where, "--fdname=status", "-E", "NOTIFY_SOCKET"]
    with world.responder(), heard([*command, *keep(settings)], ear, cwd=world.folder) as child:
        curl = ["curl", "-sS", "--retry", "50", "--retry-connrefused", "--retry-delay", "0"]
        curl += [] if kind == "tcp" else ["--unix-socket", str(path)]
        base = f"http://127.0.0.1:{port}" if kind == "tcp" else "http://status"
        soon(lambda: kind == "tcp" or path.exists())
        first = ran([*curl, "-m", "20", f"{base}/healthz"])
        assert first.returncode == 0, first.stderr
        ear.until("READY")
        assert holdfast("wait", "web", "-c", settings, "--timeout", "20s").code == 0
        metrics = ran([*curl, f"{base}/metrics"]).stdout.decode()
        assert re.search(r'holdfast_staple_good\{name="web",serial="[0-9a-f]+"\} 1', metrics)
        page = ran([*curl, "-i", f"{base}/"]).stdout.decode()
        assert "script" not in page.lower().partition("\r\n\r\n")[2]
        child.send_signal(signal.SIGTERM)
        ear.until("STOPPING")
        assert child.wait(timeout=10) == 0


def test_a_descriptor_that_does_not_listen_is_the_operators_to_mend(world: World) -> None:
    settings = world.settings(TWO)
    start = (
        "import os, sys; os.dup2(os.open('/dev/null', os.O_RDONLY), 3, inheritable=True);"
        "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()));"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    done = ran([sys.executable, "-c", start, *keep(settings)])
    assert done.returncode == 2
    assert b"file descriptor 3 of LISTEN_FDS is not a listening stream socket" in done.stderr
    assert b"hint: the socket unit needs ListenStream=" in done.stderr


# -- the units -----------------------------------------------------------------------------------


def unit(name: str) -> configparser.ConfigParser:
    read = configparser.ConfigParser(strict=False, interpolation=None)
    read.optionxform = str  # type: ignore[assignment]
    read.read(UNITS / name)
    return read


def installed(folder: Path, *, dropin: str = "") -> list[Path]:
    """Every unit as a package would install it, with a program that exists."""
    program = folder / "holdfast"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for path in UNITS.glob("holdfast*"):
        text = path.read_text().replace("/usr/bin/holdfast", str(program))
        (folder / path.name).write_text(text)
    for service in SERVICES if dropin else ():
        there = folder / f"{service}.d"
        there.mkdir()
        shutil.copy(UNITS / "dropins" / dropin, there)
    return sorted(folder.glob("holdfast*.*"))


@pytest.mark.parametrize("dropin", ["", *sorted(p.name for p in (UNITS / "dropins").iterdir())])
def test_systemd_understands_every_line(tmp_path: Path, dropin: str) -> None:
    units = [path for path in installed(tmp_path, dropin=dropin) if path.is_file()]
    assert len(units) == 7
    done = ran(["systemd-analyze", "verify", "--man=no", *units])
    said = done.stderr.decode()
    assert done.returncode == 0, said
    assert str(tmp_path) not in said, said  # a line that it does not know is only a warning


def test_a_line_that_systemd_does_not_know_is_found(tmp_path: Path) -> None:
    """The red twin."""
    installed(tmp_path)
    service = tmp_path / "holdfast.service"
    text = service.read_text().replace("NoNewPrivileges=yes", "NoNewPriviliges=yes")
    service.write_text(text)
    done = ran(["systemd-analyze", "verify", "--man=no", service])
    assert "NoNewPriviliges" in done.stderr.decode()


def exposure(path: Path) -> subprocess.CompletedProcess[bytes]:
    words = ["security", "--offline=true", "--no-pager", f"--threshold={THRESHOLD}", path]
    return ran(["systemd-analyze", *words])


@pytest.mark.parametrize("name", ALL)
def test_the_services_are_hardened(name: str) -> None:
    done = exposure(UNITS / name)
    assert done.returncode == 0, done.stdout.decode()


@pytest.mark.parametrize("line", ["User", "SystemCallFilter", "CapabilityBoundingSet"])
def test_a_service_that_loses_a_line_is_caught(tmp_path: Path, line: str) -> None:
    """The red twin."""
    weak = tmp_path / "holdfast.service"
    text = (UNITS / "holdfast.service").read_text()
    weak.write_text(re.sub(rf"^{line}=.*\n", "", text, flags=re.MULTILINE))
    assert exposure(weak).returncode != 0


@pytest.mark.parametrize("name", ALL)
def test_what_the_units_run_exists(name: str) -> None:
    """Every command and option in ExecStart and ExecReload."""
    service = unit(name)["Service"]
    for key in ("ExecStart", "ExecReload"):
        if key not in service:
            continue
        if service[key] == "/bin/kill -HUP $MAINPID":
            continue
        program, command, *options = shlex.split(service[key])
        assert program == "/usr/bin/holdfast"
        with click.Context(commands) as context:
            found = commands.get_command(context, command)
            assert found is not None
            known = {opt for param in found.get_params(context) for opt in param.opts}
        assert {word for word in options if word.startswith("-")} <= known


def test_both_services_are_the_same_user_with_the_same_state() -> None:
    """What one writes the other must be able to take away (K27)."""
    keeper, timer = (unit(name)["Service"] for name in SERVICES)
    same = ("User", "Group", "StateDirectory", "StateDirectoryMode", "ProtectSystem")
    assert {key: keeper[key] for key in same} == {key: timer[key] for key in same}
    assert keeper["Type"] == "notify"
    assert keeper["Restart"] == "always"


def test_the_responder_and_what_fills_its_stores_are_one_user_who_is_not_the_keeper() -> None:
    """Readers of the store write beside it too; who reads the signer's key answers for the CA."""
    answers, fills = (unit(name)["Service"] for name in RESPONDER)
    same = ("User", "Group", "StateDirectory", "StateDirectoryMode", "UMask")
    assert {key: answers[key] for key in same} == {key: fills[key] for key in same}
    assert answers["User"] != unit("holdfast.service")["Service"]["User"]
    assert answers["Type"] == "notify"


def test_k27_the_timer_looks_twice_within_the_margin() -> None:
    """A staple is withdrawn 60 s before its end: a look 30 s late, that takes 25 s, is in time."""
    timer = unit("holdfast-withdraw.timer")["Timer"]
    assert timer["OnUnitInactiveSec"] == "30s"
    assert timer["AccuracySec"] == "1s"
    assert unit("holdfast-withdraw.timer")["Install"]["WantedBy"] == "timers.target"


NO_NEW_CODE = """
import ctypes, os, sys
PR_SET_MDWE, REFUSE_EXEC_GAIN = 65, 1  # Linux 6.3; what MemoryDenyWriteExecute= is there
if ctypes.CDLL(None).prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) != 0:
    print("this kernel has no PR_SET_MDWE", file=sys.stderr)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_k27_what_the_timer_runs_takes_ended_staples_from_a_dead_keeper(world: World) -> None:
    """The unit's own command, as hardened as the kernel can, and the keeper killed."""
    service = unit("holdfast-withdraw.service")["Service"]
    assert service["MemoryDenyWriteExecute"] == "yes"
    words = shlex.split(service["ExecStart"])[1:]
    settings = world.settings(TWO)
    words[words.index("-c") + 1] = str(settings)
    command = [sys.executable, "-c", NO_NEW_CODE, *HOLDFAST, *words]
    with world.responder(), world.keeper("-c", settings) as started:
        for name in ("web", "mail"):
            assert holdfast("wait", name, "-c", settings, "--timeout", "20s").code == 0
        before = ran(command)
        assert (before.returncode, before.stdout) == (0, b"nothing to withdraw\n"), before.stderr
        started.child.send_signal(signal.SIGKILL)
        started.child.wait(timeout=10)
    at = (datetime.now(UTC) + timedelta(minutes=9, seconds=45)).strftime("%Y-%m-%dT%H:%M:%SZ")
    done = ran([*command, "--at", at])
    assert done.returncode == 0, done.stderr
    assert not list(world.folder.glob("*.ocsp"))
    assert not list((world.state / "staples").glob("*.der"))


def test_status_json_is_the_page_and_names_what_comes_next(world: World) -> None:
    settings = world.settings(TWO)
    with world.responder(), world.keeper("-c", settings) as started:
        assert holdfast("wait", "mail", "-c", settings, "--timeout", "20s").code == 0
        url = json.loads(started.first)["url"]
        document = json.loads(got(f"{url}status.json")[1])
        assert sum(document["counts"].values()) == 2
        row = next(row for row in document["certificates"] if row["name"] == "mail")
        assert [one["do"] for one in row["upcoming"]] == ["refresh", "withdraw"]
        assert os.path.exists(world.state)
