"""A small service on `services.workers`, for its tests: run with the path of a JSON file.

{"workers": 2, "listen": [["127.0.0.1", 0] or "/path"], "text": "one", "fail": "", "grace": 5}

`GET /` gives the text, `/pid` the worker's, `/slow` the text after a second, `/count` the sum of
all workers' counters, `/crash` ends the worker as a bug in C would.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from holdfast.errors import HoldfastError, OperatorError
from holdfast.net.answer_server import AnswerServer
from holdfast.net.http_server import Reply, Request
from holdfast.net.notify import Notify, given_sockets
from holdfast.net.sockets import Bound, Place
from holdfast.services.responder_tally import Tallies
from holdfast.services.worker import Plan, Served, Worker
from holdfast.services.workers import Workers

SETTINGS = Path(sys.argv[1])


class NothingKnown:
    """Nothing is answered before it is parsed."""

    def tick(self, epoch: int, /) -> None:
        pass

    def get(self, line: bytes, peer: str, /) -> bytes | None:
        return None

    def post(self, line: bytes, body: bytes, peer: str, /) -> bytes | None:
        return None


def place(given: object) -> Place:
    if isinstance(given, str):
        return Place(given=given[6:]) if given.startswith("given:") else Place(path=given)
    assert isinstance(given, list)
    return Place(given[0], given[1])


def read() -> Plan:
    settings = json.loads(SETTINGS.read_text())
    if settings.get("refuse"):
        raise OperatorError(settings["refuse"], hint="mend the file")

    async def build(worker: Worker) -> Served:
        if settings.get("fail"):
            raise OperatorError(settings["fail"], hint="mend it")
        if settings.get("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        if settings.get("hang"):
            await asyncio.sleep(3600)

        async def slow() -> Reply:
            await asyncio.sleep(1.0)
            return Reply(200, settings["text"].encode())

        def handle(request: Request) -> object:
            worker.tally.count("get")
            match request.path:
                case b"/pid":
                    return Reply(200, str(os.getpid()).encode())
                case b"/slow":
                    return slow()
                case b"/count":
                    return Reply(200, json.dumps(worker.tallies.total()).encode())
                case b"/crash":
                    os.kill(os.getpid(), signal.SIGSEGV)
            return Reply(200, settings["text"].encode())

        server = AnswerServer(handle, NothingKnown())  # type: ignore[arg-type]
        return Served(servers={"": server})

    return Plan(
        build=build,
        listen=tuple(place(one) for one in settings["listen"]),
        workers=settings["workers"],
        grace=settings.get("grace", 5),
    )


def ready(bound: Sequence[Bound]) -> None:
    print(json.dumps({"ports": [b.port for b in bound], "names": [b.name for b in bound]}))
    sys.stdout.flush()


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    notify = Notify.from_environment()
    try:
        given = given_sockets()
        workers = Workers(
            read,
            tallies=Tallies(),
            ready=ready,
            notify=notify,
            given=given,
            start_within=float(os.environ.get("START_WITHIN", "20")),
        )
        return workers.run()
    except HoldfastError as error:
        print(f"{error.message} ({error.hint})", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
