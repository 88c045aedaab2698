"""What the operator gave is wrong: one clear line, a hint, exit 2 and no traceback, everywhere."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support.cli import holdfast
from support.pki import a_root, a_server, private, written
from support.processes import HOLDFAST

BEGIN = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)

GARBAGE = {  # what stands in a file, and what no command takes for anything else
    "empty": b"",
    "blank": b" \n\n",
    "text": b"this is no certificate, key, list or answer\n",
    "binary": bytes(range(128, 256)) * 20,
    "html": b"<!DOCTYPE html><html><body>Not found</body></html>",
    "half-pem": b"-----BEGIN CERTIFICATE-----\nMIIB\n",
    "not-base64.pem": b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
    "not-der.pem": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
}

# The place of a file in a command line; FILE stands for the file.
PLACES = {
    "verify": "verify FILE --cert chain.pem",
    "verify --cert": "verify good.der --cert FILE",
    "verify --issuer": "verify good.der --issuer FILE",
    "verify --trust": "verify good.der --cert chain.pem --trust FILE",
    "show": "show FILE",
    "urls": "urls ./FILE",
    "bundle": "bundle FILE",
    "fetch": "fetch FILE",
    "fetch --issuer": "fetch leaf.pem --issuer FILE",
    "ca issue --csr": "ca issue --ca ca --csr FILE",
    "check --ca-file": "check localhost --ca-file FILE",
    "responder --ca": "responder --ca FILE --index index.txt",
    "responder --signer": "responder --ca ca.pem --signer FILE --index index.txt",
    "responder --key": "responder --ca ca.pem --key FILE --index index.txt",
    "responder --crl": "responder --ca both.pem --crl FILE",
    "responder --crl-issuer": "responder --ca both.pem --crl x.crl --crl-issuer FILE",
    "responder --ledger-query": "responder --ca both.pem --ledger x.db --ledger-query FILE",
    "responder --responses": "responder --ca ca.pem --responses FILE",
    "keep --certificate": "keep --check --state st --certificate FILE",
    "keep --issuer": "keep --check --state st --certificate leaf.pem --issuer FILE",
    "lab responder --ca": "lab responder --ca FILE",
    "proxy --cert": "proxy --listen 127.0.0.1:0 --cert FILE --key leaf.key",
    "proxy --key": "proxy --listen 127.0.0.1:0 --cert chain.pem --key FILE",
}

# What is no file that can be read: a path, and a word of the message.
NO_FILES = {
    "missing": ("none.pem", "no such file"),
    "a directory": ("folder", "director"),
    "below a file": ("leaf.pem/x", "not a directory"),
    "a loop of links": ("loop", "symbolic links"),
}

# Everything else that can be wrong in one line; a word of the message after the arrow.
ROWS = """
verify good.der                                                -> no issuer given
verify good.der --cert leaf.pem                                -> is the issuer of
verify good.der --cert leaf.pem --issuer strangers.pem         -> is the issuer of
verify leaf.pem --cert chain.pem                               -> not a
verify leaf.key --cert chain.pem                               -> private key
verify good.der --cert leaf.key                                -> private key
verify good.der --cert chain.pem --at yesterday                -> is not an instant
verify good.der --cert chain.pem --at 2026-01-01T00:00:00      -> no time zone
verify good.der --cert chain.pem --max-age 5                   -> is not a duration
verify good.der --cert chain.pem --max-age -5m                 -> is not a duration
verify good.der --cert chain.pem --skew 5y                     -> is not a duration
verify good.der --cert chain.pem --profile lax                 -> 'lax'
verify good.der --cert chain.pem --fail-on never               -> 'never'
verify good.der --cert chain.pem --colour                      -> --colour
verify fifo --cert chain.pem                                   -> fifo
verify                                                         -> RESPONSE
show                                                           -> FILE
show index.txt                                                 -> index.txt
urls gopher://example.test/                                    -> 'gopher'
urls https://                                                  -> no host
bundle                                                         -> SOURCE
bundle chain.pem -o folder/none/out.pem                        -> out.pem
bundle empty-folder                                            -> no file in it
fetch leaf.pem --method put                                    -> 'put'
fetch leaf.pem --hash md5                                      -> 'md5'
fetch leaf.pem --timeout 0                                     -> 0
fetch leaf.pem --timeout nan                                   -> 'nan'
urls example.test --timeout nan                                -> 'nan'
bundle chain.pem --timeout inf                                 -> 'inf'
check example.test --timeout nan                               -> 'nan'
fetch chain.pem --url ftp://x                                  -> --url 'ftp://x'
fetch chain.pem --url ''                                       -> --url ''
fetch chain.pem --url http://[::1                              -> --url 'http://[::1'
fetch chain.pem --url http://127.0.0.1:1/ --proxy nonsense     -> nonsense
ca list --ca none                                              -> holds no CA
ca issue --ca none a.test                                      -> holds no CA
ca init --ca ca                                                -> nothing is overwritten
ca init --ca new --key-type dsa                                -> 'dsa'
ca init --ca new --responder-url ocsp.test                     -> is not an address
ca init --ca new --crl-url http://[::1                         -> is not an address
ca init --ca leaf.pem/ca                                       -> not a directory
ca issue --ca ca                                               -> no name
ca issue --ca ca 'a b'                                         -> neither a DNS name
ca issue --ca ca aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test -> 63 c
ca issue --ca ca localhost                                     -> nothing is overwritten
ca issue --ca ca a.test --lifetime forever                     -> is not a duration
ca issue --ca ca a.test --lifetime 9999999d                    -> after the year 9999
ca issue --ca ca a.test --passphrase-file empty                -> no passphrase
ca issue --ca locked a.test                                    -> encrypted
ca issue --ca locked a.test --passphrase-file text             -> passphrase
ca issue --ca misfit a.test                                    -> does not fit
ca issue --ca exposed a.test                                   -> others can read
ca issue --ca spoiled a.test                                   -> ca.json
ca revoke --ca ca nobody                                       -> nobody
ca revoke --ca ca stranger.pem                                 -> stranger.pem
ca revoke --ca ca localhost --reason boredom                   -> boredom
ca unrevoke --ca ca localhost                                  -> is not revoked
ca import --ca ca text                                         -> text:1
ca signer --ca ca ca                                           -> own files
ca crl --ca ca --lifetime 1                                    -> is not a duration
ca trust --ca ca --nssdb leaf.pem                              -> leaf.pem
ca trust --ca ca --bundle folder                               -> folder
ca trust --ca ca --system-dir none                             -> there is no such folder
ca explode                                                     -> explode
check                                                          -> no target
check example.test --address example.test                      -> IP address
check example.test --timeout 0                                 -> 0
check example.test --handshakes 0                              -> 0
check -f hosts                                                 -> hosts
responder --ca ca.pem --key other.key --index index.txt        -> belong
responder --ca ca.pem --index index.txt                        -> key
responder --ca both.pem                                        -> ledger
responder --ca both.pem --index none.txt                       -> none.txt
responder --ca both.pem --index text                           -> text:1
responder --ca both.pem --crl ca.pem                           -> certificate
responder --ca both.pem --crl none.crl --never-issued revoked  -> does not tell what was issued
responder --ca both.pem --index index.txt --crl a.crl          -> two ledgers
responder --ca both.pem --ledger mysql://me:secret@h/d         -> me:***@h/d
responder --ca both.pem --ledger postgresql://127.0.0.1:1/d    -> refused
responder --ca both.pem --ledger-query text                    -> --ledger
responder --ca both.pem --responses text --key leaf.key        -> signed already
responder --ca ca.pem --responses text                         -> text
responder --ca both.pem --ledger none.sqlite                   -> none.sqlite
responder --ca both.pem --ledger leaf.pem                      -> leaf.pem
responder --ca both.pem --ledger mysql://h/d                   -> mysql
responder --ca both.pem --index index.txt --ledger l.sqlite    -> two ledgers
responder --ca both.pem --index index.txt --listen 127.0.0.1   -> is not an address
responder --ca both.pem --index index.txt --listen :99999      -> is not an address
responder --ca both.pem --index index.txt --listen TAKEN       -> TAKEN
responder --ca both.pem --index index.txt --validity week      -> is not a duration
lab responder --fault gremlins                                 -> gremlins
lab responder --listen TAKEN                                   -> TAKEN
proxy --listen 127.0.0.1:0                                     -> --cert
proxy --listen 127.0.0.1:0 --cert chain.pem                    -> key
proxy --listen 127.0.0.1:0 --cert chain.pem --key other.key    -> belong
proxy --listen TAKEN --cert plain.pem --key plain.key          -> TAKEN
keep --state st                                                -> no settings
keep -c none.toml                                              -> none.toml
keep -c folder                                                 -> folder
keep -c text                                                   -> text:1
keep -c unknown-key.toml                                       -> frobnicate
keep --check --state st --certificate none.pem                 -> none.pem
keep --check --state st --certificate leaf.pem --recheck often -> is not a duration
keep --check --state st --certificate leaf.pem --listen here   -> is not an address
withdraw --state none x                                        -> no settings
explode                                                        -> explode
verfy good.der                                                 -> 'verify'
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The files that the rows name, as the current directory."""
    folder = tmp_path_factory.mktemp("errors")
    for name, content in GARBAGE.items():
        (folder / name).write_bytes(content)
    ca = a_root("Error Test CA", at=BEGIN)
    leaf = a_server(ca, "leaf.test", at=BEGIN, responder_urls=["http://127.0.0.1:1/"])
    written(leaf, folder, "leaf")
    written(a_server(ca, "plain.test", at=BEGIN), folder, "plain")  # names no responder
    written(a_root("Other"), folder, "other")
    for name, content in {
        "leaf.pem": leaf.pem,
        "chain.pem": leaf.pem + ca.issued.pem,
        "ca.pem": ca.issued.pem,
        "stranger.pem": a_server(a_root("Stranger"), "stranger.test").pem,
        "strangers.pem": a_root("Stranger").issued.pem + a_root("Other").issued.pem,
        "good.der": b"\x30\x03\x0a\x01\x03",
        "index.txt": b"",
        "hosts": b"example.test\ngopher://example.test/\n",
        "unknown-key.toml": b"[keeper]\nfrobnicate = 1\n",
        "phrase": b"correct horse\n",
    }.items():
        (folder / name).write_bytes(content)
    private(folder / "both.pem", ca.issued.pem + ca.issued.key_pem())
    os.mkfifo(folder / "fifo")
    for name in ("folder", "empty-folder"):
        (folder / name).mkdir()
    (folder / "loop").symlink_to("loop")
    _authorities(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def _authorities(folder: Path) -> None:
    for name in ("ca", "misfit", "exposed", "spoiled"):
        assert holdfast("ca", "init", "--ca", folder / name).code == 0
    assert holdfast("ca", "issue", "--ca", folder / "ca", "localhost").code == 0
    words = ("--passphrase-file", folder / "phrase")
    assert holdfast("ca", "init", "--ca", folder / "locked", *words).code == 0
    (folder / "misfit" / "ca.key").write_bytes((folder / "ca" / "ca.key").read_bytes())
    (folder / "exposed" / "ca.key").chmod(0o644)
    (folder / "spoiled" / "ca.json").write_text("{}")


@pytest.fixture(scope="module")
def taken() -> Iterator[str]:
    """An address that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def refused(words: list[str], says: str) -> None:
    done = holdfast(*words)
    assert done.code == 2, f"exit {done.code}: {done.err or done.out}"
    lines = done.err.splitlines()
    assert lines[0].startswith("holdfast: ")
    assert says.lower() in done.err.lower()
    assert any(line.startswith("hint: ") and len(line) > 10 for line in lines), done.err
    assert len(lines) <= 2, done.err
    assert "Traceback" not in done.err + done.out
    assert "unexpected" not in lines[0]
    assert done.out == ""


def rows() -> list[tuple[str, str]]:
    found = []
    for line in ROWS.strip().splitlines():
        command, _, says = line.partition("->")
        found.append((command.strip(), says.strip()))
    return found


@pytest.mark.parametrize(("command", "says"), rows(), ids=[command for command, _ in rows()])
def test_one_line_a_hint_and_exit_2(folder: Path, taken: str, command: str, says: str) -> None:
    import shlex

    words = [word.replace("TAKEN", taken) for word in shlex.split(command)]
    refused(words, says.replace("TAKEN", taken))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_in_every_place_that_takes_a_file(folder: Path, place: str, garbage: str) -> None:
    refused(PLACES[place].replace("FILE", garbage).split(), garbage)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_in_every_place_that_takes_one(folder: Path, place: str, kind: str) -> None:
    path, says = NO_FILES[kind]
    if kind == "a directory" and place in ("bundle", "keep --certificate"):
        path, says = "none", "none"  # a directory is welcome there
    refused(PLACES[place].replace("FILE", path).split(), says)


def test_the_table_is_long_enough() -> None:
    assert len(rows()) >= 40


def test_with_json_the_error_is_a_document(folder: Path) -> None:
    done = holdfast("show", "none.pem", "--json")
    assert done.code == 2
    assert done.json["schema"] == "holdfast.error/1"
    assert "none.pem" in done.json["error"]["message"]


def test_what_a_terminal_would_obey_is_shown(folder: Path) -> None:
    done = holdfast("show", "\x1b[31mred.pem")
    assert "\x1b" not in done.err
    assert r"\x1b[31mred.pem" in done.err


def test_a_package_that_is_not_installed_is_named(tmp_path: Path) -> None:
    """As after `make demo`, which installs what it needs and no more."""
    (tmp_path / "lmdb.py").write_text("raise ModuleNotFoundError(name='lmdb')\n")
    ca = a_root()
    private(tmp_path / "ca.pem", ca.issued.pem + ca.issued.key_pem())
    (tmp_path / "index.txt").touch()
    words = ["presign", "--ca", "ca.pem", "--index", "index.txt", "--store", "answers.mdb"]
    done = subprocess.run(
        [*HOLDFAST, *words],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "need the package lmdb" in done.stderr
    assert "hint: pip install 'holdfast[responder]'" in done.stderr
    assert "Traceback" not in done.stderr
