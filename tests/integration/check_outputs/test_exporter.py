"""`holdfast exporter`: probes as Prometheus asks for them, and what it refuses."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from holdfast.ocsp.statuses import Revoked
from holdfast.services.checker import Looking
from holdfast.services.exporter import Limits
from holdfast.wiring_exporter import Exporting, exporting
from support.answers import a_staple, an_answer
from support.check_world import CA
from support.ports import free_port
from support.processes import HOLDFAST, ran, running
from support.tls_world import NOW, Loop, a_proxy, a_site

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "monitoring-check.md"


@dataclass(frozen=True, slots=True)
class Scraped:
    """One answer of the exporter."""

    status: int
    kind: str
    text: str
    took: float

    @property
    def values(self) -> dict[str, float]:
        """The last sample of each name."""
        families = text_string_to_metric_families(self.text)
        return {sample.name: sample.value for family in families for sample in family.samples}


def scrape(port: int, path: str = "/probe", /, timeout: float | str = 10, **query: str) -> Scraped:
    begun = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        headers = {"X-Prometheus-Scrape-Timeout-Seconds": str(timeout)}
        connection.request("GET", f"{path}?{urlencode(query)}" if query else path, headers=headers)
        reply = connection.getresponse()
        text = reply.read().decode()
        kind = reply.getheader("Content-Type", "")
        return Scraped(reply.status, kind, text, time.monotonic() - begun)
    finally:
        connection.close()


@contextmanager
def an_exporter(loop: Loop, *, private: bool = True, **limits: Any) -> Iterator[int]:
    wanted = Exporting(
        host="127.0.0.1",
        port=0,
        trusted=[CA.root],
        allow_private=private,
        ask=False,
        looking=Looking(handshakes=1, versions=("1.3",)),
        limits=Limits(**limits),
    )
    up = exporting(wanted)
    server = loop.run(up.__aenter__())
    try:
        yield server.port
    finally:
        loop.run(up.__aexit__(None, None, None))


@pytest.fixture
def good(loop: Loop) -> Iterator[int]:
    site = a_site(CA)
    with a_proxy(site, loop=loop) as stand:
        stand.deliver(a_staple(CA, site, at=NOW))
        yield stand.port


@pytest.fixture
def silent() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


class Counting:
    """A listener that counts who came."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.1)
        self.port = self._server.getsockname()[1]
        self.came, self._ended = 0, False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._ended:
            try:
                one, _ = self._server.accept()
            except TimeoutError:
                continue
            self.came += 1
            one.close()

    def close(self) -> None:
        self._ended = True
        self._thread.join(timeout=5)
        self._server.close()


def test_a_probe_of_a_right_server_is_what_promtool_reads(loop: Loop, good: int) -> None:
    with an_exporter(loop) as port:
        scraped = scrape(port, target=f"127.0.0.1:{good}")
    assert scraped.status == 200
    assert scraped.kind == "text/plain; version=0.0.4; charset=utf-8"
    values = scraped.values
    assert values["probe_success"] == values["holdfast_check_staple_good"] == 1
    assert 0 < values["probe_duration_seconds"] < 10
    assert "target=" not in scraped.text  # Prometheus's own labels tell it
    done = ran(["promtool", "check", "metrics"], stdin=scraped.text.encode())
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_revoked_staple_is_no_success_and_the_reason_stands_first(loop: Loop) -> None:
    site = a_site(CA)
    answer = an_answer(CA, site, Revoked(NOW - timedelta(hours=2)), at=NOW)
    with a_proxy(site, loop=loop, staple_for=lambda leaf: answer) as stand, an_exporter(loop) as at:
        scraped = scrape(at, target=f"127.0.0.1:{stand.port}")
    assert scraped.values["probe_success"] == 0
    assert scraped.values["holdfast_check_staple_good"] == 0
    assert scraped.text.startswith("# fault staple-revoked: ")


def test_a_missing_staple_is_a_failure_for_who_requires_one(loop: Loop) -> None:
    with (
        a_proxy(a_site(CA), loop=loop, serve_unstapled=True) as stand,
        an_exporter(loop) as port,
    ):
        target = f"127.0.0.1:{stand.port}"
        assert scrape(port, target=target).values["probe_success"] == 1
        assert scrape(port, target=target, require_staple="1").values["probe_success"] == 0
        other = scrape(port, target=target, servername="other.example.com")
    assert "certificate-name-mismatch" in other.text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"])
def test_private_addresses_are_not_dialled_unless_they_are_allowed(loop: Loop, host: str) -> None:
    server = Counting()
    try:
        with an_exporter(loop, private=False) as port:
            refused = scrape(port, target=f"{host}:{server.port}")
        assert refused.values["probe_success"] == 0
        assert "not dialled" in refused.text
        assert "--allow-private-targets" in refused.text
        assert server.came == 0
        with an_exporter(loop) as port:  # the red twin: allowed, it is dialled
            scrape(port, target=f"127.0.0.1:{server.port}")
        assert server.came > 0
    finally:
        server.close()


def test_metadata_addresses_are_not_dialled_even_when_private_ones_are(loop: Loop) -> None:
    with an_exporter(loop) as port:
        scraped = scrape(port, target="169.254.169.254:80")
    assert "a cloud metadata address" in scraped.text


def test_the_answer_leaves_before_prometheus_gives_up(loop: Loop, silent: int) -> None:
    with an_exporter(loop) as port:
        scraped = scrape(port, timeout=1.5, target=f"127.0.0.1:{silent}")
        assert scraped.status == 200
        assert scraped.values["probe_success"] == 0
        assert scraped.took < 1.5
        nonsense = scrape(port, "/metrics", timeout="nan")
    assert nonsense.status == 200


def test_more_than_run_and_wait_are_turned_away(loop: Loop, silent: int) -> None:
    with an_exporter(loop, at_once=1, waiting=1) as port:
        answers: list[Scraped] = []

        def one(timeout: float) -> None:
            answers.append(scrape(port, timeout=timeout, target=f"127.0.0.1:{silent}"))

        threads = [threading.Thread(target=one, args=(t,)) for t in (3, 1.5)]
        for thread in threads:
            thread.start()
            time.sleep(0.2)
        third = scrape(port, target=f"127.0.0.1:{silent}")
        for thread in threads:
            thread.join(timeout=15)
        own = scrape(port, "/metrics")
    assert third.status == 503
    assert third.took < 1
    # the one that waited in vain says that it had no turn, not that the target is down
    assert sorted(answer.status for answer in answers) == [200, 503]
    assert 'holdfast_exporter_refused_total{reason="busy"} 2' in own.text
    done = ran(["promtool", "check", "metrics"], stdin=own.text.encode())
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/probe", "no target"),
        ("/probe?target=", "no target"),
        ("/probe?target=a&target=b", "twice"),
        ("/probe?target=gopher%3A%2F%2Fa", "gopher"),
        ("/probe?target=a%20b", "not a host name"),
        ("/probe?target=a&module=x", "no parameter"),
        ("/probe?target=a&require_staple=yes", "require_staple"),
        ("/probe?" + "&".join(f"a{n}=1" for n in range(50)), "cannot be read"),
        ("/probe?target=a%0d%0aX-Evil%3A%201", "not a"),
        ("/probe?target=" + quote("\x1b[31m<script>"), "not a"),
    ],
)
def test_what_is_no_probe_is_told_in_one_line(loop: Loop, path: str, word: str) -> None:
    with an_exporter(loop) as port:
        scraped = scrape(port, path)
        assert scrape(port, "/-/healthy").status == 200
        assert scrape(port, "/nothing").status == 404
    assert scraped.status == 400
    assert word in scraped.text
    assert scraped.text.count("\n") == 1
    assert "\x1b" not in scraped.text


def test_the_command_serves_until_it_is_told_to_end(roots: Path, good: int) -> None:
    words = [*HOLDFAST, "exporter", "--listen", "127.0.0.1:0", "--ca-file", roots, "--no-fetch"]
    command = [*words, "--allow-private-targets", "--json"]
    with running(command, until=b"}\n") as child:
        port = json.loads(child.first)["port"]
        assert scrape(port, target=f"127.0.0.1:{good}").values["probe_success"] == 1
        assert child.stop(signal.SIGTERM) == 0


def test_a_real_prometheus_scrapes_it_by_the_page(
    loop: Loop, good: int, silent: int, tmp_path: Path
) -> None:
    """The configuration in the page, with this test's addresses, in Debian's prometheus."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    scraping, rules = blocks
    (tmp_path / "rules.yml").write_text(rules)
    assert ran(["promtool", "check", "rules", tmp_path / "rules.yml"]).returncode == 0
    with an_exporter(loop) as port:
        own = free_port()
        targets = f'["127.0.0.1:{good}", "127.0.0.1:{silent}"]'
        scraping = re.sub(r'\["www.*?\]', targets, scraping)
        scraping = scraping.replace("127.0.0.1:8481", f"127.0.0.1:{port}")
        scraping = scraping.replace("scrape_interval: 5m", "scrape_interval: 1500ms")
        scraping = scraping.replace("scrape_timeout: 30s", "scrape_timeout: 1500ms")
        config = tmp_path / "prometheus.yml"
        config.write_text("global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n" + scraping)
        assert ran(["promtool", "check", "config", config]).returncode == 0
        command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/db"]
        with program(command, own, tmp_path / "log"):
            assert queried(own, f'probe_success{{instance="127.0.0.1:{good}"}}') == 1
            assert queried(own, f'probe_success{{instance="127.0.0.1:{silent}"}}') == 0
            # the silent one was answered in time too: a scrape that timed out would be down
            assert queried(own, f'up{{instance="127.0.0.1:{silent}"}}') == 1
            assert queried(own, 'up{job="stapling_exporter"}') == 1


@contextmanager
def program(command: list[Any], port: int, log: Path) -> Iterator[None]:
    import subprocess

    with log.open("wb") as written:
        child = subprocess.Popen(
            [*map(str, command), f"--web.listen-address=127.0.0.1:{port}"],
            stdout=written,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
    finally:
        child.terminate()
        child.wait(timeout=15)


def queried(port: int, query: str) -> float:
    """The value of `query`, once there is one."""
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        try:
            with urlopen(
                f"http://127.0.0.1:{port}/api/v1/query?query={quote(query)}", timeout=5
            ) as r:
                found = json.load(r)["data"]["result"]
        except OSError:
            found = []
        if found:
            return float(found[0]["value"][1])
        time.sleep(0.1)
    raise AssertionError(f"{query}: no value within 20 s")
