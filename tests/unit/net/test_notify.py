"""What is told to a service manager, and the sockets that are taken from it."""

from __future__ import annotations

import os
import socket
import time
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.errors import OperatorError
from holdfast.net.notify import Notify, given_sockets
from support.notified import Ear


@pytest.fixture
def ear(tmp_path: Path) -> Ear:
    return Ear(tmp_path / "notify")


def test_what_is_said(ear: Ear) -> None:
    notify = Notify(str(ear.path))
    notify.ready("keeping 2\ncertificates")
    before = time.monotonic_ns() // 1000
    notify.reloading()
    notify.alive()
    notify.starting("waiting", within=timedelta(seconds=30))
    notify.stopping()
    ear.listen(0.1)
    ready, reloading, alive, starting, stopping = ear.heard
    assert ready == {"READY": "1", "STATUS": "keeping 2 certificates"}
    assert reloading["RELOADING"] == "1"
    assert 0 <= int(reloading["MONOTONIC_USEC"]) - before < 5_000_000
    assert alive == {"WATCHDOG": "1"}
    assert starting == {"STATUS": "waiting", "EXTEND_TIMEOUT_USEC": "30000000"}
    assert stopping["STOPPING"] == "1"


def test_an_abstract_address() -> None:
    name = f"holdfast-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        there.bind(f"\0{name}")
        Notify(f"@{name}").alive()
        assert there.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", ["", "vsock:2:1", "relative"])
def test_nobody_to_tell(address: str) -> None:
    notify = Notify(address)
    assert not notify
    notify.ready()


def test_a_manager_that_is_gone_or_deaf_costs_nothing(tmp_path: Path, ear: Ear) -> None:
    Notify(str(tmp_path / "nowhere")).ready()
    notify = Notify(str(ear.path))
    for _ in range(2000):  # more than its queue holds
        notify.alive()


def test_the_environment_is_read_once_and_not_passed_on() -> None:
    environ = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7", "PATH": "p"}
    notify = Notify.from_environment(environ, pid=7)
    assert notify.watchdog == timedelta(seconds=3)
    assert environ == {"PATH": "p"}
    other = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"}
    assert Notify.from_environment(other, pid=7).watchdog is None
    assert Notify.from_environment({"WATCHDOG_USEC": "soon"}).watchdog is None
    assert not Notify.from_environment({})


def test_sockets_of_another_process_are_left_alone() -> None:
    environ = {"LISTEN_FDS": "1", "LISTEN_PID": "8", "LISTEN_FDNAMES": "status"}
    assert given_sockets(environ, pid=7) == ()
    assert environ == {}


@pytest.mark.parametrize("count", ["x", "-1", "65", ""])
def test_a_count_that_is_none_is_refused(count: str) -> None:
    with pytest.raises(OperatorError, match="LISTEN_FDS"):
        given_sockets({"LISTEN_FDS": count, "LISTEN_PID": "7"}, pid=7)
