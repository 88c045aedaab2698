"""HAProxy's admin socket and what is said over it, before a socket that answers by a script.

The adapter before the real program is in tests/integration/servers/test_haproxy.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.errors import DeliveryError, OperatorError
from holdfast.ocsp.response import Response
from holdfast.ocsp.verify import examine
from holdfast.servers.haproxy import HaproxyServer, ended_response
from holdfast.servers.haproxy_admin import AdminSocket, NobodyListens
from support.clock import FakeClock
from support.pki import AT
from support.staples import a_desk

DESK = a_desk("localhost")
STAPLE = DESK.staple(AT - timedelta(hours=1))
CERTID = DESK.subject.certid


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("/run/haproxy/admin.sock", ("/run/haproxy/admin.sock", "", 0)),
        ("unix@/run/h", ("/run/h", "", 0)),
        ("127.0.0.1:9999", ("", "127.0.0.1", 9999)),
        ("ipv4@127.0.0.1:9999", ("", "127.0.0.1", 9999)),
        ("ipv6@[::1]:1", ("", "::1", 1)),
        ("lb1.example:65535", ("", "lb1.example", 65535)),
    ],
)
def test_addresses(text: str, place: tuple[str, str, int]) -> None:
    parsed = AdminSocket.parse(text)
    assert (parsed.path, parsed.host, parsed.port) == place


@pytest.mark.parametrize(
    "text",
    ["", "admin.sock", "abns@x", "unix@rel", "host", "h:0", "h:70000", "fd@3", "::1:9", "@"],
)
def test_what_is_no_address_is_the_operators_to_mend(text: str) -> None:
    with pytest.raises(OperatorError, match="not the address"):
        AdminSocket.parse(text)


Script = Callable[[str], bytes | None]


class Played:
    """A unix socket at `path` where `script` answers; None: never. `heard`: what was said."""

    def __init__(self, folder: Path, script: Script) -> None:
        self.path = folder / "s"
        self.heard: list[str] = []
        self.clock = FakeClock(AT)
        self._script = script

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = (await reader.readline()).decode()
        if said.endswith("<<\n"):
            while (line := (await reader.readline()).decode()).strip():
                said += line
        self.heard.append(said)
        answer = self._script(said)
        if answer is None:
            await asyncio.sleep(60)
        else:
            writer.write(answer)
        writer.close()

    async def __aenter__(self) -> Played:
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()

    def adapter(self, folder: Path) -> HaproxyServer:
        (folder / "x.pem").write_bytes(DESK.server.fullchain_pem)
        return HaproxyServer(
            "web",
            crt=str(folder / "x.pem"),
            sockets=[str(self.path)],
            clock=self.clock,
            deadline=0.5,
        )


async def delivered(folder: Path, script: Script) -> list[str]:
    async with Played(folder, script) as played:
        await played.adapter(folder).deliver(STAPLE)
        return played.heard


def shows(signature: bytes) -> bytes:
    lines = signature.hex(":")
    return f"OCSP Response Data:\n    {lines[:54]}\n    {lines[54:]}\n\n".encode()


def well(said: str) -> bytes:
    assert STAPLE.response.basic is not None
    if said.startswith("set"):
        return b"OCSP Response updated!\n\n"
    return shows(STAPLE.response.basic.signature)


def test_what_is_said(tmp_path: Path) -> None:
    heard = asyncio.run(delivered(tmp_path, well))
    assert [line.split("<<")[0].split(" 30")[0] for line in heard] == [
        "set ssl ocsp-response ",
        "show ssl ocsp-response",
    ]
    assert all(len(line) <= 80 for line in heard[0].splitlines())
    assert (tmp_path / "x.pem.ocsp").read_bytes() == STAPLE.der


def test_a_haproxy_before_2_5_cannot_be_asked_back(tmp_path: Path) -> None:
    asyncio.run(
        delivered(tmp_path, lambda s: well(s) if s[:3] == "set" else b"Unknown command: 'show'\n")
    )


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (lambda s: well(s) if s[:3] == "set" else shows(bytes(70)), "holds another"),
        (lambda s: well(s) if s[:3] == "set" else b"\n", "holds another"),
        (lambda _: b"", "HAProxy refuses the staple: it said nothing"),
        (lambda _: b"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0"),
        (lambda _: None, "no answer within 0.5 s"),
        (lambda _: b"x" * 5_000_000, "an answer of more than"),
        (lambda _: b"Permission denied\n\n", "permission denied"),
        (lambda _: b"\xff\xfe\n", "refuses"),
    ],
    ids=["another", "none", "silence", "ssh", "hangs", "endless", "no-right", "bytes"],
)
def test_k21_whatever_else_it_says_is_a_delivery_error(
    tmp_path: Path, script: Script, told: str
) -> None:
    with pytest.raises(DeliveryError, match=told) as refused:
        asyncio.run(delivered(tmp_path, script))
    assert str(tmp_path / "s") in refused.value.message
    assert refused.value.message.startswith("web: ")


def test_a_refused_staple_does_not_take_the_place_of_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "x.pem.ocsp").write_bytes(b"the one before")
    with pytest.raises(DeliveryError):
        asyncio.run(delivered(tmp_path, lambda _: b"OCSP single response: no longer valid.\n"))
    assert (tmp_path / "x.pem.ocsp").read_bytes() == b"the one before"


def test_nobody_listens(tmp_path: Path) -> None:
    socket = AdminSocket.parse(str(tmp_path / "none"))
    with pytest.raises(NobodyListens, match="none: No such file"):
        asyncio.run(socket.ask("show info"))


def test_the_ended_response_proves_nothing_and_has_ended() -> None:
    response = Response.parse(ended_response(CERTID, AT))
    codes = {found.code for found in examine(response, DESK.subject, at=AT).findings}
    assert "response-signer-unauthorised" in codes or "response-bad-signature" in codes
    later = examine(response, DESK.subject, at=AT + timedelta(minutes=6))
    assert "response-expired" in {found.code for found in later.findings}
    assert len(response.der) < 250


def test_withdrawing_where_haproxy_is_not_running_is_done(tmp_path: Path) -> None:
    async def withdrawn() -> list[str]:
        async with Played(tmp_path, well) as played:
            adapter = played.adapter(tmp_path)
            await adapter.deliver(STAPLE)
            await adapter.withdraw(CERTID)
            await adapter.withdraw(CERTID)
            (said,) = [line for line in played.heard[2:] if line.startswith("set")][:1]
        played.path.unlink(missing_ok=True)
        await adapter.withdraw(CERTID)
        return said.splitlines()

    lines = asyncio.run(withdrawn())
    assert lines[0] == "set ssl ocsp-response <<"
    assert (tmp_path / "x.pem.ocsp").read_bytes() == b""


def test_k4_a_socket_that_is_down_keeps_a_withdrawal_open_until_haproxy_stops_by_itself(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with Played(tmp_path, well) as played:
            adapter = played.adapter(tmp_path)
            await adapter.deliver(STAPLE)
        played.path.unlink(missing_ok=True)
        for _ in range(2):
            with pytest.raises(DeliveryError, match="No such file"):
                await adapter.withdraw(CERTID)
        assert STAPLE.next_update is not None
        end = STAPLE.next_update - timedelta(seconds=300)
        played.clock.jump(end - played.clock.now())
        await adapter.withdraw(CERTID)

    asyncio.run(run())
