"""What each command line loads, in a fresh process: start-up time is held by `sys.modules`.

Times are measured by `python -m bench.start`; here the cause is held, which does not vary.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.cli.group import COMMANDS
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.response import Good, SingleResponse
from holdfast.ocsp.sign import Signer
from support.pki import AT, a_root, a_server

HEAVY = {
    *("OpenSSL", "aiohttp", "asyncio", "httptools", "importlib.metadata", "jinja2", "lmdb"),
    *("logging", "rich", "sqlalchemy", "ssl", "structlog", "uvloop", "watchfiles", "yarl"),
}
NEEDED_TO_LOOK = {"OpenSSL", "asyncio", "httptools", "logging", "ssl"}
LOADED = """
import sys
from holdfast.cli.main import main
try:
    code = main(sys.argv[1:])
finally:
    sys.stderr.write("\\nLOADED " + " ".join(sorted(sys.modules)) + "\\n")
sys.exit(code)
"""


def modules_of(*words: object, codes: tuple[int, ...] = (0,)) -> set[str]:
    """The modules loaded by the time `holdfast words...` ends."""
    command = [sys.executable, "-c", LOADED, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in codes, done.stderr
    return set(done.stderr.rpartition("LOADED ")[2].split())


def test_version_loads_neither_click_nor_any_floor() -> None:
    loaded = modules_of("--version")
    ours = {name for name in loaded if name.startswith("holdfast")}
    assert ours == {"holdfast", "holdfast.version", "holdfast.cli", "holdfast.cli.main"}
    assert loaded & (HEAVY | {"click", "cryptography", "json", "dataclasses"}) == set()


@pytest.mark.parametrize("words", [(), ("--help",)], ids=["nothing", "help"])
def test_help_loads_no_command(words: tuple[str, ...]) -> None:
    loaded = modules_of(*words)
    assert loaded & HEAVY == set()
    assert {f"holdfast.cli.{row.module}" for row in COMMANDS.values()} & loaded == set()
    assert "cryptography" not in loaded


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command_is_light(name: str) -> None:
    assert modules_of(name, "--help") & (HEAVY | {"cryptography"}) == set()


def test_importing_the_library_is_lazy() -> None:
    command = [sys.executable, "-c", "import holdfast, sys; print(*sys.modules)"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert set(done.stdout.split()) & (HEAVY | {"cryptography", "click"}) == set()


def test_check_loads_what_looking_needs(tmp_path: Path) -> None:
    """No HTTP library, nothing of servers, the web or the keeper; for one target or several."""
    listed = tmp_path / "hosts.txt"
    listed.write_text("127.0.0.1:1\n127.0.0.1:2\n")
    for words in (("127.0.0.1:1",), ("-f", listed)):
        loaded = modules_of("check", *words, "--timeout", "1", codes=(3,))
        assert {"holdfast.services.checker", "holdfast.net.http_client", "OpenSSL"} <= loaded
        assert loaded & (HEAVY - NEEDED_TO_LOOK) == set()
        ours = {name.split(".")[1] for name in loaded if name.startswith("holdfast.")}
        assert ours & {"setup", "servers", "stores", "lab", "conf", "wiring_server"} == set()
        assert {name for name in loaded if name.startswith("holdfast.services.web")} == set()


def test_verify_loads_what_judging_needs(tmp_path: Path) -> None:
    ca = a_root()
    server = a_server(ca, "localhost")
    certid = CertID.of(server.certificate.serial, ca.certificate)
    response = Signer(certificate=ca.certificate, key=ca.key, issuer=ca.certificate).respond(
        [SingleResponse(certid, Good(), this_update=AT, next_update=None)], produced_at=AT
    )
    files = {"r": response, "c": server.certificate.der, "i": ca.certificate.der}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    at = AT.strftime("%Y-%m-%dT%H:%M:%SZ")
    words = ("verify", tmp_path / "r", "--cert", tmp_path / "c", "--issuer", tmp_path / "i")
    loaded = modules_of(*words, "--at", at)
    assert "holdfast.ocsp.verify" in loaded
    assert loaded & HEAVY == set()
