"""`holdfast proxy` as a process, under load: reloads, restarts, settings. T4, T5, T6, T7.

The clients are curl, OpenSSL by Python and our own prober, in loops, while SIGHUPs come.
"""

from __future__ import annotations

import signal
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.ocsp.certid import Subject
from holdfast.pki.issue import Issued
from holdfast.stores.files import FileStore
from support.cli import holdfast
from support.pki import written
from support.plain_upstream import Upstream
from support.proxy_process import Responder, Running, running
from support.tls_caller import Caller
from support.tls_world import a_ca, a_loop, a_site, curl, openssl, roots_file, run

CA = a_ca()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
RELOADS = 15


@pytest.fixture(scope="module")
def responder() -> Iterator[Responder]:
    with a_loop() as loop:
        responder = Responder(loop, CA)
        yield responder
        responder.close()


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    return roots_file(CA, tmp_path)


class Load:
    """Clients in threads, each until told to end; every failure is kept."""

    def __init__(self, port: int, roots: Path) -> None:
        self.port, self._roots = port, roots
        self.done: Counter[str] = Counter()
        self.failures: list[str] = []
        self.serials: set[str] = set()
        self._ended = threading.Event()
        works = (self._new, self._kept, self._kept, self._resumed, self._asking, self._curl)
        self._threads = [threading.Thread(target=self._loop, args=(work,)) for work in works]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(timeout=30)

    def _loop(self, work: object) -> None:
        assert callable(work)
        while not self._ended.is_set():
            try:
                work()
            except Exception as error:
                self.failures.append(f"{getattr(work, '__name__', work)}: {error!r}")

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self._roots))

    def _meet(
        self, context: ssl.SSLContext, session: ssl.SSLSession | None = None
    ) -> ssl.SSLSocket:
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        return context.wrap_socket(sock, server_hostname="localhost", session=session)

    def _ask(self, sock: ssl.SSLSocket) -> None:
        sock.sendall(GET)
        answer = b""
        while not answer.endswith(b"ok"):
            data = sock.recv(1000)
            assert data, "cut off"
            answer += data
        assert answer.startswith(b"HTTP/1.1 200")

    def _new(self) -> None:
        """A handshake for each request."""
        with self._meet(self._context()) as sock:
            self._ask(sock)
            told = sock.getpeercert()
            assert told
            self.serials.add(str(told["serialNumber"]))
        self.done["new"] += 1

    def _kept(self) -> None:
        """One connection through many reloads."""
        with self._meet(self._context()) as sock:
            while not self._ended.is_set():
                self._ask(sock)
                self.done["kept"] += 1
                time.sleep(0.005)

    def _resumed(self) -> None:
        """A session offered again and again, also after the reload that has ended it."""
        context = self._context()
        session: ssl.SSLSession | None = None
        for _ in range(20):
            with self._meet(context, session) as sock:
                self._ask(sock)
                session = sock.session
                self.done["resumed" if sock.session_reused else "fresh"] += 1

    def _asking(self) -> None:
        """It must be stapled, each time."""
        with Caller(self.port) as caller:
            assert caller.tls.staple, "no staple"
            caller.send(GET)
            caller.read_until(b"ok")
        self.done["asking"] += 1

    def _curl(self) -> None:
        code, out = curl(self.port, self._roots)
        assert (code, out) == (0, "ok"), (code, out)
        self.done["curl"] += 1


def hup(proxy: Running, count: int) -> None:
    """SIGHUP, and wait until it has been followed `count` times in all."""
    proxy.process.send_signal(signal.SIGHUP)
    proxy.said("reloaded certificates=", times=count)


@pytest.mark.parametrize("mode", ["tcp", "http"])
def test_t6_certificates_and_staples_are_replaced_under_load_without_one_dropped_connection(
    responder: Responder, roots: Path, tmp_path: Path, mode: str
) -> None:
    """Must-staple ones, so that one moment without a staple would be a failed handshake (T4)."""
    sites = [responder.site(f"/{mode}{n}", must_staple=True) for n in range(3)]
    chain, key = written(sites[0], tmp_path)
    with Upstream(OK) as upstream:
        words = ["--cert", chain, "--key", key, "--upstream", upstream.url, "--mode", mode]
        with running(tmp_path, *words) as proxy, Load(proxy.port, roots) as load:
            time.sleep(0.5)
            for number in range(1, RELOADS + 1):
                written(sites[number % 3], tmp_path)
                hup(proxy, number)
                time.sleep(0.1)
            time.sleep(0.5)
        log = proxy.log
    assert load.failures == []
    assert "handshake-failed" not in log
    assert "not-served" not in log
    for kind in ("new", "kept", "asking", "curl", "fresh", "resumed"):
        assert load.done[kind] > 3, load.done
    seen = {int(serial, 16) for serial in load.serials}
    assert seen == {one.certificate.serial for one in sites}


def test_t6_t4_a_connection_of_before_a_reload_is_stapled_after_it(
    responder: Responder, tmp_path: Path
) -> None:
    """Its certificate is the old one, whose staple must not have gone yet."""
    old, new = responder.site("/was", must_staple=True), responder.site("/is", must_staple=True)
    chain, key = written(old, tmp_path)
    with (
        running(tmp_path, "--cert", chain, "--key", key) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as early,
    ):
        with Caller(proxy.port):  # so that the one before it has been accepted
            pass
        written(new, tmp_path)
        hup(proxy, 1)
        with Caller(proxy.port, sock=early) as caller:
            assert caller.tls.chain[0] == old.certificate.der
            assert caller.tls.staple
        with Caller(proxy.port) as caller:
            assert caller.tls.chain[0] == new.certificate.der
            assert caller.tls.staple


def test_red_t6_a_reload_that_fails_under_load_changes_nothing(
    responder: Responder, roots: Path, tmp_path: Path
) -> None:
    site = responder.site("/bad")
    chain, key = written(site, tmp_path)
    with Upstream(OK) as upstream:
        words = ["--cert", chain, "--key", key, "--upstream", upstream.url]
        with running(tmp_path, *words) as proxy, Load(proxy.port, roots) as load:
            for _ in range(5):
                chain.write_text("rubbish")
                proxy.process.send_signal(signal.SIGHUP)
                time.sleep(0.1)
            proxy.said("reload-failed")
    assert load.failures == []


def test_t6_sigterm_lets_requests_under_way_end(
    responder: Responder, roots: Path, tmp_path: Path
) -> None:
    chain, key = written(responder.site("/slow"), tmp_path)

    def slow(request: bytes) -> bytes:
        time.sleep(1)
        return OK

    with Upstream(slow) as upstream:
        words = ["--cert", chain, "--key", key, "--upstream", upstream.url, "--mode", "http"]
        with running(tmp_path, *words) as proxy, Caller(proxy.port) as caller:
            caller.send(GET)
            time.sleep(0.3)
            proxy.process.send_signal(signal.SIGTERM)
            answer = caller.read()
            assert answer.startswith(b"HTTP/1.1 200")
            assert b"Connection: close" in answer
            assert proxy.process.wait(timeout=10) == 0


# -- its own staples, across a restart ------------------------------------------------------------


def test_k3_t4_a_restart_with_the_responder_down_is_stapled_from_its_state_folder(
    responder: Responder, roots: Path, tmp_path: Path
) -> None:
    site = responder.site("/kept", must_staple=True)
    chain, key = written(site, tmp_path)
    state = tmp_path / "state"
    words = ["--cert", chain, "--key", key, "--state", state]
    with running(tmp_path, *words) as proxy:
        assert curl(proxy.port, roots)[0] == 0
    del responder.sites["/kept"]
    with running(tmp_path, *words) as proxy:
        assert proxy.announced["certificates"][0]["staple"] == "staple good"
        assert curl(proxy.port, roots)[0] == 0


def test_red_k3_without_one_or_with_another_answer_in_it_there_is_no_staple(
    responder: Responder, roots: Path, tmp_path: Path
) -> None:
    site = a_site(CA)  # its responder is never there
    chain, key = written(site, tmp_path)
    words = ["--cert", chain, "--key", key]
    with running(tmp_path, *words) as proxy:
        assert "no response sent" in openssl(proxy.port, roots)[1]
    other, state = responder.site("/other"), tmp_path / "state"
    other_chain, other_key = written(other, tmp_path, "other")
    with running(tmp_path, "--cert", other_chain, "--key", other_key, "--state", state):
        pass
    (kept,) = (state / "staples").glob("*.der")
    # Under the name of ours it is a claim, which does not hold
    ours = FileStore(state / "staples").path(Subject.of(site.certificate, CA.certificate).certid)
    ours.write_bytes(kept.read_bytes())
    with running(tmp_path, *words, "--state", state) as proxy:
        assert "no response sent" in openssl(proxy.port, roots)[1]


def test_red_t5_a_session_of_before_a_restart_is_a_full_handshake(
    responder: Responder, roots: Path, tmp_path: Path
) -> None:
    chain, key = written(responder.site("/again"), tmp_path)
    with running(tmp_path, "--cert", chain, "--key", key) as one:
        context = ssl.create_default_context(cafile=str(roots))
        session = met(context, one.port)[0]
        assert met(context, one.port, session)[1]
        with running(tmp_path, "--cert", chain, "--key", key) as two:
            assert not met(context, two.port, session)[1]


def met(
    context: ssl.SSLContext, port: int, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLSession | None, bool]:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as sock,
        context.wrap_socket(sock, server_hostname="localhost", session=session) as wrapped,
    ):
        wrapped.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        wrapped.recv(1000)
        return wrapped.session, bool(wrapped.session_reused)


# -- settings -------------------------------------------------------------------------------------

SETTINGS = """
[keeper]
state = "elsewhere"

[proxy]
listen = ["127.0.0.1:0"]
certificates = [{{ chain = "server.pem", key = "server.key" }}]
upstream = "{upstream}"
mode = "http"
proxy_protocol = ""
state = "state"
trust_forwarded = ["127.0.0.0/8"]

[proxy.limits]
connections = 100
header_bytes = 2048
response = "2s"
"""


def settings(folder: Path, text: str) -> Path:
    path = folder / "holdfast.toml"
    path.write_text(text)
    return path


def test_the_settings_file_says_it_all_and_options_say_it_instead(
    responder: Responder, roots: Path, tmp_path: Path
) -> None:
    written(responder.site("/set"), tmp_path)
    with Upstream(OK) as upstream:
        file = settings(tmp_path, SETTINGS.format(upstream=upstream.url))
        with running(tmp_path, "-c", file, listen=False) as proxy:
            assert proxy.announced["mode"] == "http"
            big = ["-H", f"X: {'a' * 3000}", "-o", "/dev/null", "-w", "%{http_code}"]
            assert curl(proxy.port, roots, *big) == (0, "431")
            assert curl(proxy.port, roots, "-H", "X-Forwarded-For: 192.0.2.1") == (0, "ok")
            assert b"X-Forwarded-For: 192.0.2.1, 127.0.0.1" in upstream.requests[-1]
            assert list((tmp_path / "state" / "staples").glob("*.der"))
        with running(tmp_path, "-c", file, "--mode", "tcp", listen=False) as proxy:
            assert proxy.announced["mode"] == "tcp"
            assert curl(proxy.port, roots) == (0, "ok")
            assert b"X-Forwarded-For" not in upstream.requests[-1]


BAD = {
    "unknown key": ('[proxy]\nmod = "tcp"\n', ":2:1: unknown key 'mod'", "'mode'"),
    "mode": ('[proxy]\nmode = "udp"\n', ":2:1: mode", "tcp, http"),
    "listen": ('[proxy]\nlisten = ["nowhere"]\n', "'nowhere' is not an address", ":443"),
    "a limit's name": ("[proxy.limits]\nper_clent = 3\n", "unknown key 'per_clent'", "per_client"),
    "a limit's duration": ('[proxy.limits]\nidle = "soon"\n', "'soon' is not a duration", "90s"),
    "a negative limit": ("[proxy.limits]\nconnections = -1\n", "connections", ""),
    "a certificate's key": (
        '[proxy]\ncertificates = [{ chian = "a" }]\n',
        "unknown key 'chian'",
        "chain",
    ),
    "a network": ('[proxy]\ntrust_forwarded = ["10.1.1.1/8"]\n', "is not a network", "10.0.0.0/8"),
    "h2 in http mode": (
        '[proxy]\nmode = "http"\nalpn = ["h2"]\nupstream = "http://a"\n',
        "http mode speaks HTTP/1.1 only",
        'mode = "tcp"',
    ),
    "http without an upstream": ('[proxy]\nmode = "http"\n', "without an upstream", "upstream ="),
    "keeper and state": ('[proxy]\nkeeper = "a"\nstate = "b"\n', "not beside keeper", "leave"),
    "no certificates": ('[proxy]\nupstream = "http://a"\n', "no certificates in [proxy]", "--cert"),
}


@pytest.mark.parametrize("what", BAD)
def test_red_settings_that_are_wrong_are_told_with_place_and_cure(
    tmp_path: Path, what: str
) -> None:
    text, told, hint = BAD[what]
    outcome = holdfast("proxy", "-c", settings(tmp_path, text))
    assert outcome.code == 2
    assert told in outcome.err
    assert hint in outcome.err
    assert "holdfast.toml" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--mode", "http"], "http without an upstream"),
        (["--accept-proxy-protocol", "nowhere"], "is not a network"),
        (["--mode", "http", "--upstream", "tcp://a:1"], "http mode needs an http upstream"),
        (["--upstream", "tcp://a"], "name it"),
        (["--keeper", "a", "--state", "b"], "not beside keeper"),
        (["--alpn", "h2", "--mode", "http", "--upstream", "http://a"], "HTTP/1.1 only"),
    ],
)
def test_red_options_that_do_not_fit_together(
    responder: Responder, tmp_path: Path, words: list[str], told: str
) -> None:
    chain, key = written(responder.site("/options"), tmp_path)
    outcome = holdfast("proxy", "--cert", chain, "--key", key, *words)
    assert outcome.code == 2
    assert told in outcome.err
    assert "Traceback" not in outcome.err


def test_t4_the_command_refuses_a_bare_must_staple_certificate_and_its_option_serves_it(
    roots: Path, tmp_path: Path
) -> None:
    site: Issued = a_site(CA, must_staple=True)
    chain, key = written(site, tmp_path)
    words = ["--cert", chain, "--key", key]
    with running(tmp_path, *words) as proxy:
        assert openssl(proxy.port, roots)[0] == 1
        proxy.said("not-served")
    with running(tmp_path, *words, "--serve-unstapled") as proxy:
        assert openssl(proxy.port, roots)[0] == 0
        proxy.said("alarm")
    assert run(["openssl", "x509", "-in", chain, "-noout", "-ext", "tlsfeature"])[0] == 0
