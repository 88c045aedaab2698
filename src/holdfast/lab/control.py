"""The control address of the scripted responder: JSON over HTTP, for scripts and for curl.

::

    GET    /state      what is set, and how much was asked
    GET    /faults     every fault there is
    POST   /fault      {"fault": "expired", "serial": "4f2a", "window": "10m", "delay": "0s",
    (PUT)               "jitter": "0s", "age": "5m", "times": 3}, each optional
    DELETE /fault      all is good again
    GET    /log        the requests, oldest first
    DELETE /log        forget them

A form does as well as JSON: `curl -d fault=expired -d times=3 http://127.0.0.1:PORT/fault`.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

from holdfast.errors import OperatorError
from holdfast.lab.faults import FAULTS
from holdfast.lab.responder import LabResponder
from holdfast.net.http_server import Reply, Request

_SEND = 'send {"fault": "expired"} or fault=expired'
_HEADERS = ((b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store"))
_ALLOWED = {
    b"/": "GET, PUT, POST",
    b"/state": "GET",
    b"/faults": "GET",
    b"/fault": "PUT, POST, DELETE",
    b"/log": "GET, DELETE",
}


class Control:
    """Answers for one `LabResponder`."""

    def __init__(self, responder: LabResponder) -> None:
        self._responder = responder

    async def __call__(self, request: Request) -> Reply:
        responder = self._responder
        match request.method, request.path:
            case "GET", b"/" | b"/state":
                return _reply(responder.as_json())
            case "GET", b"/faults":
                return _reply({"faults": faults_json()})
            case "PUT" | "POST", b"/" | b"/fault":
                return await self._change(request.body)
            case "DELETE", b"/fault":
                await responder.restore()
                return _reply(responder.as_json())
            case "GET", b"/log":
                return _reply({"requests": [seen.as_json() for seen in responder.log]})
            case "DELETE", b"/log":
                responder.forget()
                return _reply(responder.as_json())
            case _, path if path in _ALLOWED:
                return _error(405, f"{request.method} is not for {path.decode()}", _ALLOWED[path])
            case _:
                return _error(404, "there is nothing here", "try /state, /fault, /faults, /log")

    async def _change(self, body: bytes) -> Reply:
        try:
            wishes = _form(body) or json.loads(body)
        except (ValueError, RecursionError) as error:
            return _error(400, f"not JSON: {error}", _SEND)
        if not isinstance(wishes, dict):
            return _error(400, "not a JSON object", _SEND)
        try:
            await self._responder.change(wishes)
        except OperatorError as error:
            return _error(400, error.message, error.hint)
        return _reply(self._responder.as_json())


def _form(body: bytes) -> dict[str, str]:
    """The fields of a form; empty when `body` is none."""
    if b"=" not in body or body.lstrip()[:1] in (b"{", b"["):
        return {}
    return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=20))


def faults_json() -> list[dict[str, str]]:
    """The table of faults."""
    return [
        {
            "fault": fault.name,
            "stage": fault.stage.value,
            "does": fault.does,
            "seen": fault.seen.value,
            "word": fault.word,
        }
        for fault in FAULTS.values()
    ]


def _reply(document: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(document, indent=1).encode() + b"\n", _HEADERS)


def _error(status: int, message: str, hint: str) -> Reply:
    return _reply({"error": message, "hint": hint}, status)
