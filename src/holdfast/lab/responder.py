"""The scripted responder: a CA's OCSP responder that goes wrong on demand.

It answers every CertID of its CA, whether or not it was issued, with the fault that is set for its
serial, or for all. Every request is kept in a bounded log. `control` sets and shows it all over
HTTP; the port that answers may be closed ("refused") while the control address stays.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import IO, Any

from holdfast.errors import Malformed
from holdfast.lab.forge import Forge
from holdfast.lab.replies import REDIRECTED, reply_for
from holdfast.lab.setting import Setting, known_fault, serial_number
from holdfast.net.clock import SystemClock
from holdfast.net.http_server import Answer, Limits, Request, Server, plain
from holdfast.ocsp.http import decode_get_path
from holdfast.ocsp.request import Request as OcspRequest
from holdfast.seams import Clock

LOG_ENTRIES = 10_000  # kept in memory; older ones are forgotten
GOOD = Setting()

_log = logging.getLogger("holdfast.lab")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request, as the log has it. `path`: the target's bytes, which are ASCII. `serials` and
    `hashes` are of its CertIDs, empty when it does not parse."""

    time: datetime
    method: str
    path: str
    serials: tuple[str, ...]
    hashes: tuple[str, ...]
    nonce: str | None
    fault: str
    peer: str

    def as_json(self) -> dict[str, Any]:
        return {
            "time": self.time.astimezone(UTC).isoformat(timespec="milliseconds"),
            "method": self.method,
            "path": self.path,
            "certids": [
                {"serial": serial, "hash": name}
                for serial, name in zip(self.serials, self.hashes, strict=True)
            ],
            "nonce": self.nonce,
            "fault": self.fault,
            "peer": self.peer,
        }


class LabResponder:
    """The responder, its settings and its log. Use it as an async context manager, or `start` it
    and `close` it."""

    def __init__(
        self,
        forge: Forge,
        *,
        setting: Setting = GOOD,
        clock: Clock | None = None,
        log_file: IO[str] | None = None,
        seed: int | None = None,
    ) -> None:
        """`log_file` gets a JSON line for each request. `seed`: of the jitter."""
        self.forge = forge
        self.setting = setting
        self.by_serial: dict[int, Setting] = {}
        self.log: deque[Seen] = deque(maxlen=LOG_ENTRIES)
        self.counts: Counter[str] = Counter()
        self._clock = clock or SystemClock()
        self._log_file = log_file
        self._random = random.Random(seed)  # noqa: S311 - not a secret, only a delay
        self._host, self._port = "127.0.0.1", 0
        self._server: Server | None = None
        self._changing = asyncio.Lock()

    async def __aenter__(self) -> LabResponder:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; `OperatorError` when the address cannot be had. A port is taken for good, also
        when the first fault is "refused"."""
        self._host, self._port = host, port
        await self._open()
        await self._open_or_shut()

    async def close(self) -> None:
        async with self._changing:
            await self._shut()

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    @property
    def listening(self) -> bool:
        return self._server is not None

    async def change(self, wishes: Mapping[str, Any]) -> Setting:
        """Set what `wishes` names (fault, window, delay, jitter, age, times), for all or, with
        `serial`, for one certificate; `OperatorError` when it is wrong."""
        rest = {name: value for name, value in wishes.items() if name != "serial"}
        serial = wishes.get("serial")
        if serial is None:
            self.setting = self.setting.changed(rest)
            await self._open_or_shut()
            return self.setting
        number = serial_number(serial)
        if "fault" in rest:
            known_fault(rest["fault"], serial=True)
        # What is not named for one serial is as for all at this moment, but never their fault.
        base = self.by_serial.get(number, replace(self.setting, fault="good"))
        changed = base.changed(rest)
        self.by_serial[number] = changed
        return changed

    async def restore(self) -> None:
        """All is good again, for every serial."""
        self.setting = GOOD
        self.by_serial.clear()
        await self._open_or_shut()

    def forget(self) -> None:
        """Empty the log."""
        self.log.clear()
        self.counts.clear()

    def as_json(self) -> dict[str, Any]:
        """The whole state."""
        return {
            "url": self.url,
            "listening": self.listening,
            "issuer": self.forge.authority.certificate.subject,
            "default": self.setting.as_json(),
            "serials": {f"{n:x}": s.as_json() for n, s in self.by_serial.items()},
            "requests": self.counts.total(),
            "faults_given": dict(self.counts),
        }

    # -- answering ------------------------------------------------------------------------------

    async def answer(self, request: Request) -> Answer:
        """Answer one HTTP request as the settings have it."""
        path = request.path.removeprefix(REDIRECTED)
        if request.method == "POST":
            body = request.body
        elif request.method in ("GET", "HEAD"):
            try:
                body = decode_get_path(path)
            except Malformed:
                body = b""
        else:
            return plain(405, "GET or POST", headers=((b"Allow", b"GET, HEAD, POST"),))
        if not body and path in (b"", b"/") and request.method != "POST":
            return plain(200, "the lab responder of holdfast")
        asked = _parsed(body)
        setting = self._setting_for(asked)
        self._note(request, asked, setting.fault)
        pause = setting.delay.total_seconds() + self._random.random() * (
            setting.jitter.total_seconds()
        )
        if pause > 0:
            await asyncio.sleep(pause)
        der = self.forge.body(body, setting, at=self._clock.now())
        return reply_for(setting.fault, der, request.target)

    def _setting_for(self, asked: OcspRequest | None) -> Setting:
        """The setting of the first serial that has one, else of all; counts its `times` down."""
        for single in asked.singles if asked is not None else ():
            own = self.by_serial.get(single.certid.serial)
            if own is not None:
                if own.times is not None:
                    self.by_serial[single.certid.serial] = _once_less(own)
                return own
        setting = self.setting
        if setting.times is not None:
            self.setting = _once_less(setting)
        return setting

    def _note(self, request: Request, asked: OcspRequest | None, fault: str) -> None:
        singles = () if asked is None else asked.singles
        seen = Seen(
            time=self._clock.now(),
            method=request.method,
            path=request.target.decode("latin-1"),
            serials=tuple(f"{single.certid.serial:x}" for single in singles),
            hashes=tuple(single.certid.hash_algorithm for single in singles),
            nonce=_nonce(asked),
            fault=fault,
            peer=request.peer,
        )
        self.log.append(seen)
        self.counts[fault] += 1
        if self._log_file is not None:
            try:
                self._log_file.write(json.dumps(seen.as_json()) + "\n")
                self._log_file.flush()
            except (OSError, ValueError) as error:
                _log.warning("the request log ends here: %s", error)
                self._log_file = None

    # -- the listening socket -------------------------------------------------------------------

    async def _open_or_shut(self) -> None:
        async with self._changing:
            if self.setting.fault == "refused":
                await self._shut()
            elif self._server is None and self._port:
                await self._open()

    async def _open(self) -> None:
        server = Server(self.answer, limits=Limits(), clock=self._clock)
        await server.listen(self._host, self._port)
        self._server = server
        self._port = server.port

    async def _shut(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.close(grace=0)


def _once_less(setting: Setting) -> Setting:
    assert setting.times is not None
    if setting.times > 1:
        return replace(setting, times=setting.times - 1)
    return replace(setting, fault="good", times=None)


def _parsed(body: bytes) -> OcspRequest | None:
    try:
        return OcspRequest.parse(body)
    except Malformed:
        return None


def _nonce(asked: OcspRequest | None) -> str | None:
    try:
        nonce = None if asked is None else asked.nonce
    except Malformed:
        return None
    return None if nonce is None else nonce.hex()
