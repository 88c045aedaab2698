"""TLS servers that others wrote, and bare TCP ones, on free ports; stopped by process."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from holdfast.pki.issue import Issued
from support.pki import written
from support.ports import free_port


@contextlib.contextmanager
def gnutls_serv(site: Issued, folder: Path, staple: bytes, *more: str) -> Iterator[int]:
    chain, key = written(site, folder)
    (folder / "staple.der").write_bytes(staple)
    words = ["gnutls-serv", "--quiet", "--http", "--x509certfile", chain, "--x509keyfile", key]
    words += ["--ocsp-response", folder / "staple.der", "--ignore-ocsp-response-errors", *more]
    with program(words, lambda port: ["--port", str(port)]) as port:
        yield port


@contextlib.contextmanager
def openssl_server(site: Issued, folder: Path, staple: bytes, *more: str) -> Iterator[int]:
    chain, key = written(site, folder)
    above = folder / "above.pem"
    above.write_bytes(site.chain_pem)
    words = ["openssl", "s_server", "-quiet", "-www", "-cert", chain, "-key", key]
    words += ["-cert_chain", above, *more]
    if staple:
        (folder / "staple.der").write_bytes(staple)
        words += ["-status_file", folder / "staple.der"]
    with program(words, lambda port: ["-accept", f"127.0.0.1:{port}"]) as port:
        yield port


@contextlib.contextmanager
def program(words: list[Any], place: Callable[[int], list[str]]) -> Iterator[int]:
    """Run a server on a free port until it accepts; stop it by its process."""
    port = free_port()
    process = subprocess.Popen(
        [*map(str, words), *place(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(500):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, "the server did not start"
            time.sleep(0.01)
        yield port
    finally:
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()


@contextlib.contextmanager
def plain_server(play: Callable[[socket.socket], None]) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            client, _ = listener.accept()
            with client:
                client.settimeout(5)
                play(client)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()
        thread.join(timeout=6)


def relay(sock: socket.socket, port: int) -> None:
    """Carry bytes between `sock` and a port of this machine until one of them ends."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as other:

        def back() -> None:
            with contextlib.suppress(OSError):
                while data := other.recv(65536):
                    sock.sendall(data)

        thread = threading.Thread(target=back, daemon=True)
        thread.start()
        with contextlib.suppress(OSError):
            while data := sock.recv(65536):
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=5)
