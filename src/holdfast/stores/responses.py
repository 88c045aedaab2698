"""Answers signed elsewhere, served as they are: what an offline CA hands over.

A file of base64 responses between white space, one a line as cfssl's `ocspserve -responses` takes
it, or a directory of files (DER, PEM or base64). Laws: each response is verified against its CA
when it is read, and one that fails is passed over and told with its place; of several about one
certificate the newest that has begun decides, and when it has ended, or its signer has, the answer
is tryLater, never an older one, which could say good of what was revoked since; nothing is signed.
Read again on change: a file at each question, a directory at most once in `LOOK_EVERY`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import structlog

from holdfast.errors import HoldfastError, StoreError
from holdfast.net.files import read_bounded
from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import MAX_RESPONSE, Response, SingleResponse
from holdfast.ocsp.statuses import ResponseStatus, Revoked
from holdfast.ocsp.verdict import Verdict
from holdfast.ocsp.verify import examine
from holdfast.pki import pem
from holdfast.pki.certificate import Certificate
from holdfast.pki.kind import Kind
from holdfast.plan.answering import Answer, read_request, refusal
from holdfast.seams import Clock

log = structlog.get_logger("holdfast.responses")

MAX_FILE = 1 << 30  # bytes; about a million responses in base64
MAX_FILES = 1_000_000  # of a directory
LOOK_EVERY = 1.0  # seconds between two looks into a directory
MAX_TOLD = 10  # of those passed over, each time something is read
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Held:
    """One verified response about one certificate. `ends`: its own end or its signer's."""

    single: SingleResponse
    response: Response
    ends: datetime


@dataclass(frozen=True, slots=True)
class Piece:
    """One response as it lies there; `place` is what messages call it."""

    place: str
    der: bytes
    problem: str = ""


Seen = tuple[int, int, int]


class ReadyAnswers:
    """Implements `services.responder.Answering` over the file or directory `path`, for `ca`."""

    def __init__(self, path: str | os.PathLike[str], *, ca: Certificate, clock: Clock) -> None:
        self.path = Path(path)
        self.ca = ca
        self._clock = clock
        self._lock = asyncio.Lock()
        self._looked = float("-inf")
        self._seen: object = None
        self._trouble: StoreError | None = None
        self._held: dict[CertID, list[Held]] = {}
        self._verified: dict[bytes, tuple[Held, ...]] = {}
        self._files: dict[str, tuple[Seen, bytes, str]] = {}

    def __len__(self) -> int:
        """Certificates that are spoken of."""
        return len(self._held)

    async def answer_bytes(self, data: bytes, /) -> Answer:
        """The answer to the request in `data`, whatever `data` is."""
        request = read_request(data)
        if isinstance(request, Answer):
            return request
        try:
            await self.look()
        except StoreError as error:
            log.error("responses cannot be read", why=error.message, hint=error.hint)
            return refusal(ResponseStatus.tryLater, error.message)
        return self._answer(request)

    async def look(self) -> None:
        """Read again what changed; `StoreError` when it cannot be read."""
        async with self._lock:
            now = self._clock.monotonic()
            if now - self._looked >= (LOOK_EVERY if self.path.is_dir() else 0.0):
                await asyncio.to_thread(self.load)
                self._looked = now
            if self._trouble is not None:
                raise self._trouble.with_traceback(None)

    def load(self) -> None:
        """Read again what changed. What goes wrong is kept for `look`."""
        try:
            if self.path.is_dir():
                self._load_directory()
            else:
                self._load_file()
        except (OSError, HoldfastError) as error:
            if isinstance(error, OSError):
                self._seen = None
            reason = error.message if isinstance(error, HoldfastError) else error.strerror
            self._trouble = StoreError(
                f"{self.path}: {reason}" if str(self.path) not in str(reason) else str(reason),
                hint="give a file of base64 responses, one a line, or a directory of DER files",
            )

    def verdicts(self, limit: int) -> Iterator[tuple[str, Verdict]]:
        """(serial in hex, verdict at this instant) of the newest about each certificate."""
        at = self._clock.now()
        for certid, held in islice(self._held.items(), limit):
            newest = held[-1]
            yield (
                f"{certid.serial:x}",
                examine(newest.response, Subject(certid.serial, self.ca), at=at),
            )

    # -- below ------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Answer:
        at = self._clock.now()
        chosen: list[Held] = []
        for asked in request.singles:
            serial = asked.certid.serial
            held = self._held.get(asked.certid)
            if held is None:
                return refusal(
                    ResponseStatus.unauthorized, f"no response is there for serial {serial:x}"
                )
            begun = [one for one in held if one.single.this_update <= at]
            if not begun:
                return refusal(
                    ResponseStatus.tryLater, f"the response for serial {serial:x} has not begun"
                )
            if at >= begun[-1].ends:
                return refusal(
                    ResponseStatus.tryLater,
                    f"the newest response for serial {serial:x} ended at"
                    f" {begun[-1].ends:%Y-%m-%dT%H:%M:%SZ}",
                )
            chosen.append(begun[-1])
        if len({one.response.der for one in chosen}) != 1:
            return refusal(
                ResponseStatus.unauthorized, "no single response is there for all that is asked"
            )
        return Answer(
            chosen[0].response.der,
            ResponseStatus.successful,
            max(one.single.this_update for one in chosen),
            min(one.ends for one in chosen),
            singles=tuple(one.single for one in chosen),
            made_at=at,
        )

    def _load_file(self) -> None:
        seen = _identity(os.stat(self.path))
        if seen == self._seen:
            return
        data = read_bounded(self.path, MAX_FILE)
        self._seen = seen  # what is wrong with it is told again, not read again
        self._take(list(_pieces(data, str(self.path))))

    def _load_directory(self) -> None:
        files: dict[str, tuple[Seen, bytes, str]] = {}
        with os.scandir(self.path) as entries:
            listed = [e for e in islice(entries, MAX_FILES + 1) if not e.name.startswith(".")]
        if len(listed) > MAX_FILES:
            raise StoreError(f"{self.path}: more than {MAX_FILES} files")
        for entry in sorted(listed, key=lambda entry: entry.name):
            if not entry.is_file():
                continue
            seen = _identity(entry.stat())
            before = self._files.get(entry.name)
            if before is not None and before[0] == seen:
                files[entry.name] = before
                continue
            try:
                data = read_bounded(entry.path, 2 * MAX_RESPONSE)
                der = pem.single(data, Kind.OCSP_RESPONSE, name=entry.path)
                files[entry.name] = (seen, der, "")
            except HoldfastError as error:
                files[entry.name] = (seen, b"", error.message)
        seen_all = {name: seen for name, (seen, _, _) in files.items()}
        if seen_all != self._seen:
            self._files, self._seen = files, seen_all
            self._take(
                [Piece(str(self.path / name), der, why) for name, (_, der, why) in files.items()]
            )

    def _take(self, pieces: list[Piece]) -> None:
        """Hold what of `pieces` verifies; what was verified before is not verified again."""
        verified: dict[bytes, tuple[Held, ...]] = {}
        held: dict[CertID, list[Held]] = {}
        refused: list[tuple[str, str]] = []
        for piece in pieces:
            problem = piece.problem
            try:
                if not problem and piece.der not in verified:
                    known = self._verified.get(piece.der)
                    verified[piece.der] = self._proved(piece.der) if known is None else known
                    for one in verified[piece.der]:
                        held.setdefault(one.single.certid, []).append(one)
            except HoldfastError as error:
                problem = error.message
            if problem:
                refused.append((piece.place, problem))
        if not held:  # an empty file too: it may be half copied, and knows nobody
            why = f": {': '.join(refused[0])}" if refused else ""
            raise StoreError(
                f"{self.path}: holds no response that {self.ca.subject} stands for{why}"
            )
        for place, why in refused[:MAX_TOLD]:
            log.warning("response passed over", place=place, why=why)
        for several in held.values():
            # of two of one instant the one that revokes decides
            several.sort(
                key=lambda one: (
                    one.single.this_update,
                    isinstance(one.single.certificate_status, Revoked),
                )
            )
        self._held, self._verified, self._trouble = held, verified, None
        log.info(
            "responses read", path=str(self.path), certificates=len(held), refused=len(refused)
        )

    def _proved(self, der: bytes) -> tuple[Held, ...]:
        response = Response.parse(der)
        if response.basic is None:
            raise StoreError(f"an error response ({response.response_status.name})")
        now = self._clock.now()
        held = []
        for single in response.basic.singles:
            end = single.next_update
            if end is None:
                raise StoreError("a response without nextUpdate, which would never end")
            # One that has ended or not begun is judged within its window: it is served then only.
            at = max(min(max(now, single.this_update), end - _SECOND), single.this_update)
            verdict = examine(response, Subject(single.certid.serial, self.ca), at=at)
            if not verdict.valid or verdict.signer is None:
                worst = verdict.worst
                raise StoreError("does not verify" if worst is None else worst.message)
            held.append(Held(single, response, min(end, verdict.signer.not_after)))
        return tuple(held)


def _pieces(data: bytes, name: str) -> Iterator[Piece]:
    """The responses of a file: whitespace-separated base64, or one response of any form."""
    if (data[:1] == b"\x30" and data[1:2] >= b"\x80") or b"-----BEGIN" in data:
        yield Piece(name, pem.single(data, Kind.OCSP_RESPONSE, name=name))
        return
    for number, line in enumerate(data.splitlines(), start=1):
        for word in line.split():
            place = f"{name}:{number}"
            try:
                yield Piece(place, base64.b64decode(word, validate=True))
            except (binascii.Error, ValueError) as error:
                yield Piece(place, b"", f"not base64: {error}")


def _identity(found: os.stat_result) -> Seen:
    return found.st_mtime_ns, found.st_size, found.st_ino
