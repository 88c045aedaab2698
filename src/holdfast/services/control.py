"""The keeper's control socket: one JSON document a line, asked and answered, in the state folder.

    {"do": "status"} {"do": "refresh", "name": "web"} {"do": "reload"}
    {"do": "wait", "name": "web", "timeout": 60} {"do": "staple", "name": "web"}

Laws: the socket is the owner's alone (0600); a question is bounded in bytes and an answer always
comes, {"ok": ...} or {"error": {"class", "message", "hint"}}.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from holdfast.errors import HoldfastError, NotFound, OperatorError, Unavailable
from holdfast.ocsp.staple import Staple
from holdfast.plan.keeping import wanted
from holdfast.seams import Clock
from holdfast.services.keeper import Keeper
from holdfast.services.keeper_state import certificate_row, status_document

SOCKET = "control.sock"
MAX_QUESTION = 64 * 1024  # bytes
MAX_WAIT = 86400.0  # seconds


class Control:
    """Answers on `path` for `keeper`; `reload` reads the settings again and says what it found."""

    def __init__(
        self,
        keeper: Keeper,
        path: Path,
        *,
        clock: Clock,
        reload: Callable[[], Awaitable[dict[str, Any]]] | None = None,
    ) -> None:
        self._keeper, self._path, self._clock, self._reload = keeper, path, clock, reload
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Control:
        """Listen. `OperatorError` when another keeper does so already."""
        if _somebody_listens(self._path):
            raise OperatorError(
                f"another keeper is running: it answers on {self._path}",
                hint="`holdfast status` shows what it holds; stop it first, or give this one "
                "another state folder",
            )
        before = os.umask(0o177)
        try:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
            self._server = await asyncio.start_unix_server(
                self._serve, str(self._path), limit=MAX_QUESTION
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise OperatorError(
                f"{self._path}: cannot listen: {reason}",
                hint="the state folder must be writable, and its path short (Linux allows a "
                "socket 107 bytes)",
            ) from error
        finally:
            os.umask(before)
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        with contextlib.suppress(OSError):
            self._path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ValueError, asyncio.IncompleteReadError):
            while line := await reader.readline():
                answer = await self._answer(line)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            question = json.loads(line)
            if not isinstance(question, dict):
                raise OperatorError("a question is a JSON object")
            return {"ok": await self._answered(question)}
        except HoldfastError as error:
            return _error(type(error).__name__, error.message, error.hint)
        except (ValueError, TypeError) as error:
            return _error("OperatorError", f"not a question: {error}", "")

    async def _answered(self, question: dict[str, Any]) -> Any:
        name = question.get("name")
        if name is not None and not isinstance(name, str):
            raise OperatorError("name: expected a string")
        match question.get("do"):
            case "status":
                return status_document(self._keeper, self._clock.now())
            case "refresh":
                return {"refreshing": list(self._keeper.refresh(name))}
            case "reload":
                if self._reload is None:
                    raise OperatorError("this keeper has no settings to read again")
                return await self._reload()
            case "wait" if name is not None:
                return await self._wait(name, float(question.get("timeout", 60)))
            case "staple" if name is not None:
                staple = self._held(name)
                return {"der": base64.b64encode(staple.der).decode()}
            case other:
                raise OperatorError(
                    f"cannot do {other!r}", hint="status, refresh, reload, wait, staple"
                )

    async def _wait(self, name: str, timeout: float) -> dict[str, Any]:
        try:
            async with asyncio.timeout(min(timeout, MAX_WAIT)):
                entry = await self._keeper.settled(name)
        except TimeoutError:
            found = self._keeper.entry(name)
            failures = [] if found is None else [found.last_failure]
            failures += [] if found is None else [h.last_failure for h in found.holders]
            why = "; ".join(failure.message for failure in failures if failure is not None)
            raise Unavailable(
                f"{name}: no staple held and delivered within {timeout:.3g} s"
                + (f": {why}" if why else ""),
                failure="timeout",
                hint="`holdfast status` shows what it waits for",
            ) from None
        return certificate_row(entry, self._clock.now(), self._keeper)

    def _held(self, name: str) -> Staple:
        entry = self._keeper.entry(name)
        if entry is None:
            raise NotFound(f"no certificate {name!r} is kept", hint="`holdfast status` lists them")
        staple = wanted(entry, self._clock.now(), self._keeper.rules)
        if staple is None:
            failure = entry.last_failure
            raise NotFound(
                f"{entry.name}: no staple is held" + (f": {failure.message}" if failure else ""),
                hint="`holdfast refresh` asks the responder again",
            )
        return staple


def _somebody_listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as knock:
        knock.settimeout(1.0)
        try:
            knock.connect(str(path))
        except OSError:
            return False
    return True


def _error(kind: str, message: str, hint: str) -> dict[str, Any]:
    return {"error": {"class": kind, "message": message, "hint": hint}}
