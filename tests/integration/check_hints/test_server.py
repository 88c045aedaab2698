"""What ends TLS is told of real servers from outside, and of servers of this machine by their
process; servers that answer nothing, for ever, or too much cost a bounded time."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdfast.net.dial import Address
from holdfast.net.glimpse import DEADLINE, MAX_ANSWER, glimpse
from holdfast.net.listener import listener_at
from holdfast.plan.software import Software, recognised
from support.check_world import CA, Web, check, looked
from support.keep_world import soon
from support.ports import free_port
from support.servers.hinted import a_hinted
from support.servers.stock_haproxy import StockHAProxy
from support.servers.stock_nginx import NGINX
from support.tls_world import Loop, a_loop, a_proxy, a_site

NAMES = {"nginx": "nginx", "apache": "apache2", "haproxy": "haproxy"}


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with a_loop() as loop:
        yield loop


def from_outside(loop: Loop, port: int) -> Software:
    address = Address(socket.AF_INET, "127.0.0.1", port)
    return recognised(loop.run(glimpse(address, host="localhost")))


@pytest.mark.slow
@pytest.mark.parametrize("kind", NAMES)
def test_a_server_is_told_from_outside_and_from_within(
    kind: str, tmp_path: Path, loop: Loop, web: Web
) -> None:
    with a_hinted(kind, tmp_path, loop, web) as world, world.serving():
        port = world.server.port
        assert from_outside(loop, port).name == kind
        (report,) = world.check("--json").outcome.json["reports"]
        server = report["server"]
        assert server["name"] == kind
        assert server["version"], "its own program said it"
        assert server["here"]["certificate_files"], server
        found = listener_at("127.0.0.1", port, among=[NAMES[kind]])
        assert found is not None
        assert found.pid == server["here"]["pid"] == world.server_pid()
        assert not found.alone
        assert listener_at("127.0.0.1", port, among=["sshd"]) is None
        assert listener_at("192.0.2.1", port, among=[NAMES[kind]]) is None, "not of this machine"


@pytest.mark.slow
def test_haproxy_before_nginx_is_not_taken_for_nginx(tmp_path: Path, loop: Loop, web: Web) -> None:
    """The `Server` header is the hidden server's; who holds the certificate is another."""
    back, front = tmp_path / "back", tmp_path / "front"
    for folder in (back, front):
        folder.mkdir()
    with (
        a_hinted("nginx", back, loop, web) as behind,
        behind.serving(),
        a_hinted("haproxy", front, loop, web) as world,
    ):
        server = world.server
        assert isinstance(server, StockHAProxy)
        plain = behind.server.plain  # type: ignore[union-attr]
        server.change("\thttp-request return status 200\n", "\tdefault_backend hidden\n")
        text = server.config.read_text()
        server.config.write_text(f"{text}\nbackend hidden\n\tserver one 127.0.0.1:{plain}\n")
        with world.serving():
            found = from_outside(loop, server.port)
            assert (found.name, found.behind) == ("haproxy", "nginx/1.22.1")


def test_what_is_none_of_them_is_unknown_and_gets_the_short_set(loop: Loop, roots: Path) -> None:
    with a_proxy(a_site(CA), loop=loop) as stand:
        report = looked(stand, roots, "--no-fetch", "--first-address", "--tls", "1.3")
        assert report["server"]["name"] == "unknown"
        (missing,) = [one for one in report["findings"] if one["code"] == "staple-missing"]
        servers = [cure["server"] for cure in missing["cures"]]
        assert servers == ["apache", "nginx", "haproxy", "iis", "caddy"]
        told = check(stand, roots, "--no-fetch", "--tls", "1.3", "--server", "caddy").out
        assert "cure: Caddy" in told
        assert "cure: if it is" not in told


PRETENDER = """daemon off; worker_processes 1; pid {folder}/pid; error_log stderr;
events {{}}
http {{ access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;
  fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port}; }} }}
"""


@pytest.mark.parametrize("other", [False, True], ids=["ours", "another-users"])
def test_what_another_user_runs_is_not_believed(other: bool) -> None:
    """A program called nginx: `check` would have setup run it, as root. Green: this user's own."""
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="holdfast-pretender-"))
    folder.chmod(0o777)
    program, config = folder / "nginx", folder / "nginx.conf"
    shutil.copy(NGINX, program)
    config.write_text(PRETENDER.format(folder=folder, port=port))
    lower = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    words = [*(lower if other else []), str(program), "-c", str(config), "-e", "stderr"]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, cwd="/")
    try:
        soon(lambda: listening(port))
        found = listener_at("127.0.0.1", port, among=["nginx"])
        assert (found is None) is other
        if found is not None:
            assert (found.program, found.pid, found.alone) == (str(program), process.pid, False)
    finally:
        process.terminate()
        process.wait(timeout=10)
        shutil.rmtree(folder)


def listening(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def dripping(connection: socket.socket) -> None:
    for _ in range(1000):
        connection.sendall(b"H")
        time.sleep(0.05)


def flooding(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n")
    while True:
        connection.sendall(b"X-Filler: " + b"x" * 65536 + b"\r\n")


def silent(connection: socket.socket) -> None:
    connection.recv(1)
    time.sleep(60)


@contextmanager
def a_listener(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server that does that to everybody."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def one(connection: socket.socket) -> None:
            with connection:
                try:
                    behave(connection)
                except OSError:
                    return

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.slow
@pytest.mark.parametrize("behave", [dripping, flooding, silent], ids=lambda one: one.__name__)
def test_a_hostile_server_costs_a_bounded_time(
    behave: Callable[[socket.socket], None], loop: Loop
) -> None:
    with a_listener(behave) as port:
        address = Address(socket.AF_INET, "127.0.0.1", port)
        begun = time.monotonic()
        answers = loop.run(glimpse(address, host="localhost"))
        assert time.monotonic() - begun < DEADLINE + 1
        assert max(len(answers.head), len(answers.refusal), len(answers.plain)) <= MAX_ANSWER
        begun = time.monotonic()
        loop.run(glimpse(address, host="localhost", deadline=0.5))
        assert time.monotonic() - begun < 1.5
