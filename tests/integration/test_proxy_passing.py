"""Tcp mode with real peers: HTTP/2 by ALPN, the PROXY protocol both ways, limits. T7.

nginx and HAProxy are the judges of the PROXY protocol: they refuse a header that is wrong.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import HoldfastError
from holdfast.net.proxy_protocol import Ends, Version, write_header
from holdfast.services.proxy import Deadlines, Limits, Passing
from support.plain_upstream import Upstream
from support.ports import free_port
from support.servers.process import Process
from support.servers.shift import Shift
from support.tls_caller import Caller
from support.tls_world import Loop, a_ca, a_loop, a_proxy, a_site, roots_file, run

CA = a_ca()
SITE = a_site(CA)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
LOOPBACK = (ip_network("127.0.0.1/32"),)
CLIENT = "127.0.0.9"  # another address of this machine, which no load balancer has

NGINX = """
daemon off; {user}pid {folder}/pid; error_log {folder}/log; events {{}}
http {{ access_log off; client_body_temp_path {folder}/1; proxy_temp_path {folder}/2;
  fastcgi_temp_path {folder}/3; uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{ listen 127.0.0.1:{port} {listen};
    location / {{ return 200 '{answer}'; }}
    location /file {{ root {folder}; }} }} }}
"""
HAPROXY = """
global
  log stderr local0
defaults
  timeout connect 5s
  timeout client 5s
  timeout server 5s
{sections}
"""
ENDS = (
    "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr "
    "$proxy_protocol_server_port $server_protocol"
)


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with a_loop() as loop:
        yield loop


@contextlib.contextmanager
def nginx(folder: Path, *, listen: str, answer: str = "") -> Iterator[int]:
    port = free_port()
    place = folder / "nginx"
    place.mkdir()
    (place / "file").write_bytes(bytes(range(256)) * 20_000)
    configuration = place / "nginx.conf"
    configuration.write_text(
        NGINX.format(user="user root; ", folder=place, port=port, listen=listen, answer=answer)
    )
    words = ["/usr/sbin/nginx", "-p", place, "-c", configuration]
    with Process(place, words, port, shift=Shift(folder / "time")):
        yield port


@contextlib.contextmanager
def haproxy(folder: Path, sections: str, port: int) -> Iterator[None]:
    place = folder / "haproxy"
    place.mkdir()
    configuration = place / "haproxy.cfg"
    configuration.write_text(HAPROXY.format(sections=sections))
    words = ["/usr/sbin/haproxy", "-db", "-f", configuration]
    with Process(place, words, port, shift=Shift(folder / "time")):
        yield


def curl(port: int, folder: Path, *more: object, path: str = "/") -> tuple[int, str]:
    return run(
        [
            *("curl", "-sS", "--max-time", 10, "--cacert", roots_file(CA, folder)),
            *("--resolve", f"localhost:{port}:127.0.0.1", "--interface", CLIENT, *more),
            f"https://localhost:{port}{path}",
        ]
    )


# -- HTTP/2 ---------------------------------------------------------------------------------------


def test_t7_http2_passes_by_alpn_to_an_upstream_that_speaks_it_in_the_clear(
    loop: Loop, tmp_path: Path
) -> None:
    with nginx(tmp_path, listen="http2", answer="$server_protocol") as port:
        url = f"http://127.0.0.1:{port}"
        with a_proxy(SITE, upstream=url, loop=loop, alpn=("h2", "http/1.1")) as stand:
            assert curl(stand.port, tmp_path, "--http2") == (0, "HTTP/2.0")
            code, out = curl(
                stand.port, tmp_path, "--http2", "-w", "%{http_version} %{size_download}",
                "-o", "/dev/null", path="/file",
            )  # fmt: skip
            assert (code, out) == (0, "2 5120000")


def test_red_t7_without_h2_in_alpn_nobody_speaks_it(loop: Loop, tmp_path: Path) -> None:
    with (
        nginx(tmp_path, listen="", answer="$server_protocol") as port,
        a_proxy(SITE, upstream=f"http://127.0.0.1:{port}", loop=loop) as stand,
    ):
        assert curl(stand.port, tmp_path, "--http2") == (0, "HTTP/1.1")


def test_t7_an_unreachable_upstream_is_told_in_the_protocol_or_not_at_all(loop: Loop) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    with a_proxy(SITE, upstream=gone, loop=loop, alpn=("h2", "http/1.1")) as stand:
        with Caller(stand.port) as caller:
            caller.send(GET)
            assert caller.read().startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
        with Caller(stand.port, alpn=("h2",)) as caller:
            caller.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            assert caller.read() == b""


# -- the PROXY protocol to the upstream -----------------------------------------------------------


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("mode", ["tcp", "http"])
def test_t7_nginx_believes_the_header(
    loop: Loop, tmp_path: Path, version: Version, mode: Any
) -> None:
    passing = Passing(mode=mode, proxy_protocol=version)
    with nginx(tmp_path, listen="proxy_protocol", answer=ENDS) as port:
        url = f"http://127.0.0.1:{port}"
        with a_proxy(SITE, upstream=url, loop=loop, passing=passing) as stand:
            code, out = curl(stand.port, tmp_path, "-w", " %{local_port}")
            assert code == 0, out
            source, source_port, target, target_port, _, own_port = out.split(" ")
            assert (source, source_port) == (CLIENT, own_port)
            assert (target, target_port) == ("127.0.0.1", str(stand.port))


def test_red_t7_without_it_nginx_refuses(loop: Loop, tmp_path: Path) -> None:
    with nginx(tmp_path, listen="proxy_protocol", answer=ENDS) as port:
        url = f"http://127.0.0.1:{port}"
        with a_proxy(SITE, upstream=url, loop=loop) as stand:
            assert curl(stand.port, tmp_path)[0] != 0


ECHO = """
frontend echo
  mode http
  bind 127.0.0.1:{port} accept-proxy
  http-request return status 200 content-type text/plain lf-string \
"%[src] %[src_port] %[dst_port] %[fc_pp_authority]"
"""


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_t7_haproxy_believes_the_header_and_reads_the_name_in_version_2(
    loop: Loop, tmp_path: Path, version: Version
) -> None:
    port = free_port()
    passing = Passing(proxy_protocol=version)
    with haproxy(tmp_path, ECHO.format(port=port), port):
        url = f"http://127.0.0.1:{port}"
        with a_proxy(SITE, upstream=url, loop=loop, passing=passing) as stand:
            code, out = curl(stand.port, tmp_path, "-w", " %{local_port}")
            assert code == 0, out
            source, source_port, target_port, *name, own_port = out.split(" ")
            assert (source, source_port, target_port) == (CLIENT, own_port, str(stand.port))
            assert name == ["localhost" if version == "v2" else ""]


def test_red_t7_in_http_mode_no_client_gets_a_connection_that_tells_of_another(
    loop: Loop, tmp_path: Path
) -> None:
    passing = Passing(mode="http", proxy_protocol="v2")
    with nginx(tmp_path, listen="proxy_protocol", answer="$proxy_protocol_port") as port:
        url = f"http://127.0.0.1:{port}"
        with a_proxy(SITE, upstream=url, loop=loop, passing=passing) as stand:
            for _ in range(3):
                code, out = curl(stand.port, tmp_path, "-w", " %{local_port}\n")
                assert code == 0, out
                told, own = out.split()
                assert told == own
            with Caller(stand.port) as caller:  # one client's requests share theirs
                for _ in range(3):
                    caller.send(GET.replace(b"Connection: close\r\n", b""))
                    own_port = str(caller.sock.getsockname()[1]).encode()
                    caller.read_until(b"\r\n\r\n" + own_port)


# -- the PROXY protocol from a load balancer ------------------------------------------------------

BALANCER = """
listen balancer
  mode tcp
  bind 127.0.0.1:{port}
  server proxy 127.0.0.1:{proxy} {send}
"""


@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn"])
def test_t7_haproxy_in_front_says_for_whom_it_connects(
    loop: Loop, tmp_path: Path, send: str
) -> None:
    passing = Passing(mode="http", headers_from=LOOPBACK)
    port = free_port()
    with Upstream(OK) as upstream:
        with (
            a_proxy(SITE, upstream=upstream.url, loop=loop, passing=passing) as stand,
            haproxy(tmp_path, BALANCER.format(port=port, proxy=stand.port, send=send), port),
        ):
            assert curl(port, tmp_path) == (0, "ok")
        assert f"X-Forwarded-For: {CLIENT}\r\n".encode() in upstream.requests[0]


def test_t7_the_balancers_health_checks_are_its_own(loop: Loop) -> None:
    """LOCAL in version 2, UNKNOWN in version 1."""
    passing = Passing(mode="http", headers_from=LOOPBACK)
    with Upstream(OK) as upstream:
        with a_proxy(SITE, upstream=upstream.url, loop=loop, passing=passing) as stand:
            for version in ("v1", "v2"):
                header = write_header(version, Ends(("", 0), ("", 0)))  # type: ignore[arg-type]
                with Caller(stand.port, before=header) as caller:
                    caller.send(GET)
                    assert caller.read().startswith(b"HTTP/1.1 200")
        assert all(b"X-Forwarded-For: 127.0.0.1\r\n" in one for one in upstream.requests)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_red_t7_who_is_no_balancer_cannot_say_it_is_another(loop: Loop, version: Version) -> None:
    header = write_header(version, Ends(("192.0.2.1", 1), ("192.0.2.2", 443)))
    with Upstream(OK) as upstream:
        passing = Passing(mode="http", headers_from=(ip_network("192.0.2.0/24"),))
        with a_proxy(SITE, upstream=upstream.url, loop=loop, passing=passing) as stand:
            with pytest.raises((HoldfastError, OSError)):
                Caller(stand.port, before=header)
            with Caller(stand.port) as caller:
                caller.send(GET)
                assert caller.read().startswith(b"HTTP/1.1 200")
        (request,) = upstream.requests
        assert b"192.0.2" not in request


@pytest.mark.parametrize("before", [b"", b"PROXY TCP4 rubbish\r\n", b"PROXY " + b"A" * 200])
def test_red_t7_a_balancer_must_say_it_and_say_it_right(loop: Loop, before: bytes) -> None:
    passing = Passing(headers_from=LOOPBACK)
    with a_proxy(SITE, upstream="http://127.0.0.1:9", loop=loop, passing=passing) as stand:
        with pytest.raises((HoldfastError, OSError)):
            Caller(stand.port, before=before)
        assert any("PROXY header" in str(facts) for _, facts in stand.events)


def test_t7_a_balancer_that_says_nothing_is_cut_off_in_time(loop: Loop) -> None:
    passing = Passing(headers_from=LOOPBACK, deadlines=Deadlines(handshake=0.3))
    with a_proxy(SITE, upstream="http://127.0.0.1:9", loop=loop, passing=passing) as stand:
        begun = time.monotonic()
        with pytest.raises((HoldfastError, OSError)):
            Caller(stand.port, before=b"PROXY TCP4 127.0.0.1 ")
        assert time.monotonic() - begun < 3


# -- limits ---------------------------------------------------------------------------------------


def test_one_client_gets_no_more_than_its_share_and_others_still_do(
    loop: Loop, tmp_path: Path
) -> None:
    passing = Passing(limits=Limits(connections=10, per_client=3))
    with (
        Upstream(OK) as upstream,
        a_proxy(SITE, upstream=upstream.url, loop=loop, passing=passing) as stand,
    ):
        with contextlib.ExitStack() as held:
            for _ in range(3):
                held.enter_context(Caller(stand.port))
            with pytest.raises((HoldfastError, OSError)):
                Caller(stand.port)
            assert curl(stand.port, tmp_path) == (0, "ok")  # from another address
            refusals = [facts for name, facts in stand.events if name == "connection-refused"]
            assert refusals[0]["peer"] == "127.0.0.1"
        for _ in range(200):
            if not stand.proxy.open_connections:
                break
            time.sleep(0.01)
        with Caller(stand.port) as caller:  # they are gone, and uncounted
            caller.send(GET)
            assert caller.read_until(b"ok").startswith(b"HTTP/1.1 200")


def test_behind_a_balancer_the_share_is_each_clients(loop: Loop) -> None:
    passing = Passing(limits=Limits(per_client=2), headers_from=LOOPBACK)

    def header(host: str) -> bytes:
        return write_header("v2", Ends((host, 1), ("192.0.2.2", 443)))

    with (
        a_proxy(SITE, upstream="http://127.0.0.1:9", loop=loop, passing=passing) as stand,
        contextlib.ExitStack() as held,
    ):
        for host in ("192.0.2.10", "192.0.2.10", "192.0.2.11", "192.0.2.11"):
            held.enter_context(Caller(stand.port, before=header(host)))
        with pytest.raises((HoldfastError, OSError)):
            Caller(stand.port, before=header("192.0.2.10"))


def test_t7_many_streams_at_once_lose_no_request(loop: Loop, tmp_path: Path) -> None:
    """200 requests of HTTP/2 by curl, 50 at a time."""
    with nginx(tmp_path, listen="http2", answer="0123456789") as port:
        url = f"http://127.0.0.1:{port}"
        with a_proxy(SITE, upstream=url, loop=loop, alpn=("h2", "http/1.1")) as stand:
            urls = [f"https://localhost:{stand.port}/{n}" for n in range(200)]
            words = ["curl", "-sS", "--http2", "--parallel", "--parallel-max", "50"]
            words += ["--cacert", str(roots_file(CA, tmp_path)), "--max-time", "20"]
            words += ["--resolve", f"localhost:{stand.port}:127.0.0.1"]
            words += ["-w", '{"code": %{http_code}, "version": "%{http_version}"}\\n']
            for one in urls:
                words += ["-o", "/dev/null", one]
            done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)
            told = [json.loads(line) for line in done.stdout.split("\n") if line]
            assert told == [{"code": 200, "version": "2"}] * 200
