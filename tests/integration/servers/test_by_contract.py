"""Exim and Envoy by what they read: the file is right, whole at every instant, and gone in time."""

from __future__ import annotations

import asyncio
import base64
import re
import stat
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.ocsp.response import Response
from holdfast.servers.command import CommandServer
from holdfast.servers.files import FilesServer
from support.processes import ran
from support.staples import a_desk
from support.tls_world import NOW, YESTERDAY, a_ca, roots_file

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "other-servers.md"
DESK = a_desk("www.test", ca=a_ca(), at=YESTERDAY)


def scripts() -> list[str]:
    """The shell scripts of the page."""
    return re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def exim(folder: Path) -> FilesServer:
    return FilesServer("exim", file=str(folder / "{name}.ocsp"), name_of=lambda _: "www")


@pytest.fixture
def envoy(tmp_path: Path) -> CommandServer:
    """By the page's own script."""
    (script,) = (text for text in scripts() if "tls_certificate:" in text)
    program = tmp_path / "holdfast-envoy"
    program.write_text(script)
    program.chmod(0o755)
    (tmp_path / "sds").mkdir()
    files = FilesServer(
        "envoy", file=str(tmp_path / "{name}.base64"), name_of=lambda _: "www", encoding="base64"
    )
    return CommandServer(files, run=[str(program), str(tmp_path / "sds")])


def test_exims_file_is_what_openssl_calls_good(tmp_path: Path) -> None:
    asyncio.run(exim(tmp_path).deliver(DESK.staple(NOW - HOUR, DAY)))
    file = tmp_path / "www.ocsp"
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    (tmp_path / "leaf.pem").write_bytes(DESK.server.pem)
    (tmp_path / "issuer.pem").write_bytes(DESK.ca.issued.pem)
    told = ran(
        [
            *("openssl", "ocsp", "-respin", file, "-no_nonce", "-issuer", tmp_path / "issuer.pem"),
            *("-cert", tmp_path / "leaf.pem", "-CAfile", roots_file(DESK.ca, tmp_path)),
        ]
    )
    assert b"Response verify OK" in told.stderr
    assert b": good" in told.stdout
    asyncio.run(exim(tmp_path).withdraw(DESK.subject.certid))
    assert not file.exists()


def test_exim_never_reads_half_a_file(tmp_path: Path) -> None:
    """As fast as it may look, while the staple is replaced a hundred times."""
    server, file = exim(tmp_path), tmp_path / "www.ocsp"
    staples = [DESK.staple(NOW - HOUR + timedelta(seconds=n), DAY) for n in range(100)]
    asyncio.run(server.deliver(staples[0]))
    whole = {staple.der for staple in staples}
    seen: list[bytes] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(file.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()

    async def replaced() -> None:
        for staple in staples:
            await server.deliver(staple)

    try:
        asyncio.run(replaced())
    finally:
        done.set()
        reader.join()
    assert set(seen) <= whole
    assert len(seen) > 100
    assert Response.parse(file.read_bytes()).der == staples[-1].der


def test_envoys_secret_holds_the_staple_and_then_none(tmp_path: Path, envoy: CommandServer) -> None:
    secret = tmp_path / "sds" / "www.yaml"
    staple = DESK.staple(NOW - HOUR, DAY)

    async def story() -> None:
        await envoy.deliver(staple)
        first = secret.stat().st_ino
        (held,) = re.findall(r"ocsp_staple: \{ inline_bytes: (\S+) \}", secret.read_text())
        assert base64.b64decode(held, validate=True) == staple.der
        assert "certificate_chain: { filename: /etc/ssl/www/fullchain.pem }" in secret.read_text()
        await envoy.withdraw(staple.certid)
        assert "ocsp_staple" not in secret.read_text()
        assert "private_key" in secret.read_text()
        assert secret.stat().st_ino != first, "moved into its place: that is what Envoy watches for"

    asyncio.run(story())
    assert [path.name for path in (tmp_path / "sds").iterdir()] == ["www.yaml"]
