"""The scripted responder: every fault as our own client, a raw client and openssl see it (K7)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import pytest

from holdfast.errors import OperatorError
from holdfast.lab.control import Control
from holdfast.lab.faults import FAULTS, Fault, Seen, Stage
from holdfast.lab.forge import Forge
from holdfast.lab.responder import LabResponder
from holdfast.lab.setting import Setting
from holdfast.net.http_client import Http
from holdfast.net.http_server import serve
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.findings import Severity
from holdfast.ocsp.http import get_url
from holdfast.ocsp.policy import Policy
from holdfast.ocsp.request import Request
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.verify import examine
from holdfast.sources.http import Exchange, HttpSource
from support.cli import holdfast
from support.http import split, talk
from support.pki import YEAR, a_root, a_server, a_signer, private, written

NOW = datetime.now(UTC)
CA = a_root(at=NOW - YEAR)
SERVER = a_server(CA, at=NOW - timedelta(days=30))
SIGNER = a_signer(CA, at=NOW - timedelta(days=1))
CERTIFICATE = SERVER.certificate


def forge(*, delegated: bool = False) -> Forge:
    signer = Signer(SIGNER.certificate, SIGNER.key, CA.certificate) if delegated else None
    return Forge(CA, at=NOW, signer=signer)


def subject_at(url: str) -> Subject:
    return Subject.of(CERTIFICATE, CA.certificate, (url,))


def run(coroutine: Awaitable[Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(60):
            return await coroutine

    return asyncio.run(bounded())


async def ask(lab: LabResponder, **how: Any) -> Exchange:
    """The last exchange of a whole question to the responder."""
    async with Http(timeout=how.pop("timeout", 1.0)) as http:
        source = HttpSource(http, **how)
        return [exchange async for exchange in source.exchanges(subject_at(lab.url))][-1]


@asynccontextmanager
async def running(**how: Any) -> AsyncIterator[LabResponder]:
    delegated = how.pop("delegated", False)
    async with LabResponder(forge(delegated=delegated), **how) as lab:
        yield lab


# -- the table ----------------------------------------------------------------------------------


def what_is_seen(exchange: Exchange, nonce: bytes | None = None) -> tuple[Seen, set[str]]:
    if exchange.error is not None:
        return Seen.FAILURE, {str(exchange.failure)}
    assert exchange.response is not None
    policy = Policy(nonce=nonce) if nonce else Policy()
    verdict = examine(exchange.response, subject_at(""), at=datetime.now(UTC), policy=policy)
    codes = {f.code for f in verdict.findings if f.severity >= Severity.WARNING}
    return (Seen.FINDING if codes else Seen.GOOD), codes


# What cannot but follow from a fault.
FOLLOWS = {
    "expired-signer": {"response-outlives-signer"},
    "contradictory-singles": {"response-revoked"},  # V1: of several, revoked wins
}


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_k7_every_fault_is_seen_as_what_it_is(fault: Fault, method: Any) -> None:
    """And as nothing else: each answer is wrong in one way."""

    async def main() -> Exchange:
        async with running(setting=Setting(fault=fault.name), delegated=method == "get") as lab:
            return await ask(lab, method=method, timeout=0.7)

    seen, codes = what_is_seen(run(main()))
    assert seen is fault.seen
    assert codes - FOLLOWS.get(fault.name, set()) == {fault.word} - {""}


@pytest.mark.parametrize("fault", FAULTS)
def test_good_is_seen_again_after_every_fault(fault: str) -> None:
    async def main() -> None:
        async with running() as lab:
            await lab.change({"fault": fault})
            await ask(lab, timeout=0.2, method="get")
            await lab.change({"fault": "good"})
            exchange = await ask(lab)
            assert what_is_seen(exchange) == (Seen.GOOD, set())

    run(main())


@pytest.mark.parametrize(
    ("fault", "codes"),
    [
        ("good", set()),
        ("wrong-nonce", {"response-nonce-mismatch"}),
        ("no-nonce", None),
    ],
)
def test_nonces(fault: str, codes: set[str] | None) -> None:
    async def main() -> None:
        async with running(setting=Setting(fault=fault)) as lab:
            exchange = await ask(lab, nonce=True)
            assert lab.log[-1].nonce == exchange.nonce.hex()  # type: ignore[union-attr]
            found = what_is_seen(exchange, exchange.nonce)[1]
            assert codes is None or found == codes

    run(main())


# -- as others see it ---------------------------------------------------------------------------


def raw(lab: LabResponder, *pieces: bytes) -> Awaitable[bytes]:
    return talk(lab.port, *pieces)


def test_a_raw_client_sees_the_lies() -> None:
    async def main() -> None:
        der = Request.build(subject_at("").certid).encode()
        url = get_url("", der)
        assert url is not None
        get = f"GET {url} HTTP/1.0\r\n\r\n".encode()
        async with running() as lab:
            await lab.change({"fault": "lying-content-length"})
            head, _, body = (await raw(lab, get)).partition(b"\r\n\r\n")
            assert f"Content-Length: {len(body) + 100}".encode() in head
            await lab.change({"fault": "chunked"})
            head, _, body = (await raw(lab, get)).partition(b"\r\n\r\n")
            assert body.startswith(b"7\r\n")
            assert body.endswith(b"0\r\n\r\n")
            await lab.change({"fault": "reset"})
            with pytest.raises(ConnectionResetError):
                await raw(lab, get)
            await lab.change({"fault": "redirect"})
            (reply,) = split(await raw(lab, get))
            assert reply.header("location") == f"/redirected{url}"
            await lab.change({"fault": "tryLater"})
            (reply,) = split(await raw(lab, get))
            assert reply.header("retry-after") == "30"
            await lab.change({"fault": "refused"})
            with pytest.raises(ConnectionRefusedError):
                await raw(lab, get)
            port = lab.port
            await lab.change({"fault": "good"})
            (reply,) = split(await raw(lab, get))
            assert reply.header("content-type") == "application/ocsp-response"
            assert lab.port == port
            (reply,) = split(await raw(lab, b"GET / HTTP/1.0\r\n\r\n"))
            assert reply.status == 200
            (reply,) = split(await raw(lab, b"PUT / HTTP/1.0\r\n\r\n"))
            assert reply.status == 405
            (reply,) = split(await raw(lab, b"GET /garbage HTTP/1.0\r\n\r\n"))
            assert reply.body == b"\x30\x03\x0a\x01\x01"  # malformedRequest

    run(main())


def test_another_issuers_certid_is_unauthorized() -> None:
    async def main() -> None:
        other = a_root("Another CA", at=NOW - YEAR)
        async with running() as lab, Http() as http:
            subject = Subject(1, other.certificate, None, (lab.url,))
            exchange = await HttpSource(http).exchange(subject, lab.url)
            assert exchange.failure == "unauthorized"

    run(main())


# -- settings -----------------------------------------------------------------------------------


def test_window_and_age_and_delay() -> None:
    async def main() -> None:
        setting = Setting(
            window=timedelta(minutes=10), age=timedelta(minutes=4), delay=timedelta(seconds=0.05),
            jitter=timedelta(seconds=0.01),
        )  # fmt: skip
        async with running(setting=setting) as lab:
            exchange = await ask(lab)
            assert exchange.response is not None
            assert exchange.response.basic is not None
            (single,) = exchange.response.basic.singles
            assert single.next_update is not None
            assert single.next_update - single.this_update == timedelta(minutes=10)
            age = datetime.now(UTC) - single.this_update
            assert timedelta(minutes=4) <= age < timedelta(minutes=4, seconds=5)
            assert exchange.timeline.first_byte is not None
            assert exchange.timeline.first_byte >= 49  # less what we were late ourselves

    run(main())


def test_a_fault_for_one_serial_and_for_some_times() -> None:
    async def main() -> None:
        async with running() as lab:
            await lab.change({"serial": f"{CERTIFICATE.serial:x}", "fault": "tryLater", "times": 2})
            other = Subject(77, CA.certificate, None, (lab.url,))
            async with Http() as http:
                source = HttpSource(http)
                got = [(await source.exchange(subject_at(""), lab.url)).failure for _ in range(3)]
                assert got == ["try-later", "try-later", None]
                assert (await source.exchange(other, lab.url)).failure is None
                await lab.change({"fault": "internalError", "times": 1})
                await lab.restore()
                await lab.change({"fault": "internalError", "times": 1})
                got = [(await source.exchange(other, lab.url)).failure for _ in range(2)]
                assert got == ["internal-error", None]
            assert [seen.fault for seen in lab.log] == [
                "tryLater", "tryLater", "good", "good", "internalError", "good"
            ]  # fmt: skip

    run(main())


def test_the_log_tells_what_was_asked(tmp_path: Path) -> None:
    async def main(file: IO[str]) -> None:
        async with running(log_file=file) as lab:
            await ask(lab, hash="sha256")
            await ask(lab, method="post")
            seen = [entry.as_json() for entry in lab.log]
            assert [entry["method"] for entry in seen] == ["GET", "POST"]
            assert seen[0]["path"].startswith("/M")
            serial = f"{CERTIFICATE.serial:x}"
            assert seen[0]["certids"] == [{"serial": serial, "hash": "sha256"}]
            assert seen[1]["certids"] == [{"serial": serial, "hash": "sha1"}]
            file.seek(0)
            assert [json.loads(line) for line in file] == seen
            lab.forget()
            assert not lab.log

    with open(tmp_path / "log", "w+") as file:
        run(main(file))


# -- the control address ------------------------------------------------------------------------


async def control_of(port: int, method: str, path: str, document: Any = None) -> tuple[int, Any]:
    body = document if isinstance(document, bytes) else b""
    if document is not None and not isinstance(document, bytes):
        body = json.dumps(document).encode()
    head = f"{method} {path} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    (reply,) = split(await talk(port, head + body))
    return reply.status, json.loads(reply.body)


def test_control() -> None:
    async def main() -> None:
        async with running() as lab:
            server = await serve("127.0.0.1", 0, Control(lab))

            async def call(*words: Any) -> tuple[int, Any]:
                return await control_of(server.port, *words)

            _, state = await call("GET", "/state")
            assert state["default"]["fault"] == "good"
            assert state["listening"] is True
            wishes = {"fault": "expired", "window": "10m", "delay": "1ms", "age": 30}
            status, state = await call("PUT", "/fault", wishes)
            assert status == 200
            assert state["default"] == {
                "fault": "expired", "window": "10m", "delay": "1ms", "jitter": "0s", "age": "30s",
                "times": None,
            }  # fmt: skip
            await call("POST", "/fault", b"fault=hang&times=3&jitter=2s")
            assert lab.setting.fault == "hang"
            assert (lab.setting.times, lab.setting.jitter) == (3, timedelta(seconds=2))
            await call("POST", "/fault", {"serial": "4F:2A", "fault": "revoked"})
            _, state = await call("GET", "/state")
            assert state["serials"]["4f2a"]["fault"] == "revoked"
            await call("POST", "/fault", {"fault": "refused"})
            _, state = await call("GET", "/state")
            assert state["listening"] is False
            _, state = await call("DELETE", "/fault")
            assert state["listening"] is True
            assert state["serials"] == {}
            await ask(lab)
            _, log = await call("GET", "/log")
            assert len(log["requests"]) == 1
            await call("DELETE", "/log")
            assert (await call("GET", "/log"))[1] == {"requests": []}
            _, table = await call("GET", "/faults")
            assert {row["fault"] for row in table["faults"]} == set(FAULTS)
            await server.close()

    run(main())


@pytest.mark.parametrize(
    ("method", "path", "document", "status", "said"),
    [
        ("POST", "/fault", b"{", 400, "not JSON"),
        ("POST", "/fault", b"[" * 100_000, 413, None),
        ("POST", "/fault", b"[" * 50_000, 400, "not JSON"),
        ("POST", "/fault", b"\xff", 400, "not JSON"),
        ("POST", "/fault", b"fault=expird", 400, "did you mean 'expired'"),
        ("POST", "/fault", b"=\xff", 400, "not JSON"),
        ("POST", "/fault", b"a=b&" * 100, 400, "not JSON"),
        ("POST", "/fault", b"times=x", 400, "not a positive number"),
        ("POST", "/fault", [], 400, "not a JSON object"),
        ("POST", "/fault", {"fault": "expird"}, 400, "did you mean 'expired'"),
        ("POST", "/fault", {"fault": 7}, 400, "not a fault"),
        ("POST", "/fault", {"falt": "good"}, 400, "did you mean 'fault'"),
        ("POST", "/fault", {"window": "soon"}, 400, "not a duration"),
        ("POST", "/fault", {"window": -1}, 400, "out of range"),
        ("POST", "/fault", {"window": "99999999d"}, 400, "out of range"),
        ("POST", "/fault", {"window": True}, 400, "not a duration"),
        ("POST", "/fault", {"times": 0}, 400, "not a positive number"),
        ("POST", "/fault", {"serial": "xyz"}, 400, "not a serial"),
        ("POST", "/fault", {"serial": 1.5}, 400, "not a serial"),
        ("POST", "/fault", {"serial": 1, "fault": "refused"}, 400, "one serial"),
        ("GET", "/fault", None, 405, "not for /fault"),
        ("GET", "/nowhere", None, 404, "nothing here"),
    ],
)
def test_control_says_what_is_wrong(
    method: str, path: str, document: Any, status: int, said: str | None
) -> None:
    async def main() -> None:
        async with running() as lab:
            server = await serve("127.0.0.1", 0, Control(lab))
            if said is None:
                body = document
                head = f"{method} {path} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n"
                (reply,) = split(await talk(server.port, head.encode() + body))
                assert reply.status == status
            else:
                got, answer = await control_of(server.port, method, path, document)
                assert got == status
                assert said in answer["error"]
                assert answer["hint"]
            assert lab.setting == Setting()
            await server.close()

    run(main())


def test_settings_refuse_what_is_no_fault() -> None:
    with pytest.raises(OperatorError):
        Setting().changed({"fault": "nonsense"})
    assert [f.name for f in FAULTS.values() if f.stage is Stage.LISTEN] == ["refused"]


# -- the command --------------------------------------------------------------------------------


@contextmanager
def command(*words: object) -> Iterator[dict[str, Any]]:
    """`holdfast lab responder words...` as a process; yields the document it begins with."""
    with subprocess.Popen(
        [sys.executable, "-m", "holdfast", "lab", "responder", "--json", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        text = b""
        try:
            while True:
                line = process.stdout.readline()
                assert line, process.stderr.read().decode()
                text += line
                try:
                    yield_this = json.loads(text)
                    break
                except ValueError:
                    continue
            yield yield_this
        finally:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=10)
        assert process.returncode == 0, errors.decode()
        assert b"Traceback" not in errors


def refused(*words: object) -> str:
    done = holdfast("lab", "responder", *words)
    assert done.code == 2, done
    assert "Traceback" not in done.err
    return done.err


def openssl_ocsp(url: str, ca: Path, certificate: Path) -> str:
    done = subprocess.run(
        ["openssl", "ocsp", "-issuer", ca, "-cert", certificate, "-CAfile", ca, "-url", url],
        capture_output=True,
        timeout=30,
        check=False,
    )
    return (done.stdout + done.stderr).decode()


def test_command_with_a_throw_away_ca_before_openssl(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with command("--write-ca", tmp_path / "ca", "--log", log) as told:
        files = {name: Path(path) for name, path in told["files"].items()}
        assert files["ca_key"].stat().st_mode & 0o777 == 0o600
        said = openssl_ocsp(told["url"], files["ca"], files["server"])
        assert "Response verify OK" in said
        assert ": good" in said
        for fault, expected in (
            ("revoked", "Reason: keyCompromise"),
            ("tryLater", "trylater"),
            ("bad-signature", "Response Verify Failure"),
            ("expired", "Status times invalid"),
            ("wrong-serial", "No Status found"),
        ):
            control = run(control_of(told["control_port"], "POST", "/fault", {"fault": fault}))
            assert control[0] == 200
            said = openssl_ocsp(told["url"], files["ca"], files["server"])
            assert expected.lower() in said.lower(), said
    assert len(log.read_text().splitlines()) == 6


def test_command_with_a_given_ca_and_signer(tmp_path: Path) -> None:
    ca, ca_key = written(CA, tmp_path, "ca")
    server, _ = written(SERVER, tmp_path, "server")
    signer = tmp_path / "signer.pem"
    private(signer, SIGNER.pem + SIGNER.key_pem())
    # the chain file of a root holds nothing but its own certificate
    ca.write_bytes(CA.issued.pem)
    with command("--ca", ca, "--key", ca_key, "--signer", signer, "--fault", "revoked") as told:
        said = openssl_ocsp(told["url"], ca, server)
        assert "Response verify OK" in said
        assert ": revoked" in said


def test_command_errors_are_one_line_and_exit_2(tmp_path: Path) -> None:
    ca, ca_key = written(CA, tmp_path, "ca")
    ca.write_bytes(CA.issued.pem)
    _, other_key = written(SERVER, tmp_path, "server")
    signer = tmp_path / "signer.pem"
    signer.write_bytes(SIGNER.pem)
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"\x00garbage")
    assert "not the key of" in refused("--ca", ca, "--key", other_key)
    assert "holds no private key" in refused("--ca", ca)
    assert "holds no private key" in refused("--ca", ca, "--key", ca_key, "--signer", signer)
    assert str(garbage) in refused("--ca", garbage)
    assert "missing" in refused("--ca", tmp_path / "missing")
    assert "belong to a --ca" in refused("--key", ca_key)
    assert "--write-ca" in refused("--ca", ca, "--write-ca", tmp_path)
    assert "did you mean 'expired'" in refused("--fault", "expird")
    assert "write 90s" in refused("--window", "soon")
    assert "cannot write" in refused("--log", tmp_path / "no" / "log")
    assert "cannot make" in refused("--write-ca", garbage)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert f"{address}: the port is in use" in refused("--listen", address)
        assert f"{address}: the port is in use" in refused("--control", address)


def test_command_lists_the_faults() -> None:
    words = [sys.executable, "-m", "holdfast", "lab", "responder", "--list-faults"]
    text = subprocess.run(words, capture_output=True, timeout=30, check=True).stdout.decode()
    assert all(name in text for name in FAULTS)
    document = json.loads(
        subprocess.run([*words, "--json"], capture_output=True, check=True).stdout
    )
    assert [row["fault"] for row in document["faults"]] == list(FAULTS)
