"""Bodies at paths of an HTTP server in a thread of its own, for commands run in this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from holdfast.net.http_message import Reply, Request
from holdfast.net.http_server import serve


@contextmanager
def serving(files: dict[bytes, bytes]) -> Iterator[str]:
    """An HTTP server of these paths, in a thread, because commands have loops of their own."""
    ready: dict[str, object] = {}
    started = threading.Event()

    async def handler(request: Request) -> Reply:
        body = files.get(request.target)
        return Reply(404) if body is None else Reply(200, body)

    async def run() -> None:
        server = await serve("127.0.0.1", 0, handler)
        stop = asyncio.Event()
        ready.update(url=f"http://127.0.0.1:{server.port}", stop=stop)
        ready["loop"] = asyncio.get_running_loop()
        started.set()
        await stop.wait()
        await server.close(grace=0)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert started.wait(10)
    try:
        yield str(ready["url"])
    finally:
        loop, stop = ready["loop"], ready["stop"]
        assert isinstance(loop, asyncio.AbstractEventLoop)
        assert isinstance(stop, asyncio.Event)
        loop.call_soon_threadsafe(stop.set)
        thread.join()
