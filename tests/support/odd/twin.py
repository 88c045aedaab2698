"""A TLS server that sends as a staple whatever bytes it is told, on an older OpenSSL than ours.

The OpenSSL that the proxy is built on (4.0) drops a staple that it does not like; libssl.so.3 sends
anything: garbage, nothing at all, another one in every handshake or on each address. It is spoken
to by ctypes and runs in a process of its own: `python twin.py SPEC --port PORT`, with SPEC as
`Spec` writes it.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import ctypes
import itertools
import json
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

LIBRARY = "libssl.so.3"
VERSIONS = {"1.2": 0x0303, "1.3": 0x0304}
# openssl/ssl.h and openssl/tls1.h
SET_MIN_PROTO, SET_MAX_PROTO, SET_STATUS_CB, SET_OCSP_RESPONSE, SESS_CACHE = 123, 124, 63, 71, 44
ERR_OK, ERR_NOACK = 0, 3
NO_TICKET = 1 << 14
FILETYPE_PEM = 1
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"
PATIENCE = 20  # seconds that a client may be silent

CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


def spec(
    chain: Path, key: Path, version: str, staples: Mapping[str, Sequence[bytes | None]]
) -> bytes:
    """`staples`: of each address, one for each handshake, again and again from the first."""
    coded = {
        address: [None if one is None else base64.b64encode(one).decode() for one in ones]
        for address, ones in staples.items()
    }
    told = {"chain": str(chain), "key": str(key), "version": version, "staples": coded}
    return json.dumps(told).encode()


class Library:
    """libssl, as far as a server needs it."""

    def __init__(self) -> None:
        self.ssl = ssl = ctypes.CDLL(LIBRARY)
        self.crypto = crypto = ctypes.CDLL("libcrypto.so.3")
        pointer, number, long = ctypes.c_void_p, ctypes.c_int, ctypes.c_long
        text = ctypes.c_char_p
        functions: tuple[tuple[Any, Any, list[Any]], ...] = (
            (ssl.TLS_server_method, pointer, []),
            (ssl.SSL_CTX_new, pointer, [pointer]),
            (ssl.SSL_CTX_ctrl, long, [pointer, number, long, pointer]),
            (ssl.SSL_CTX_callback_ctrl, long, [pointer, number, CALLBACK]),
            (ssl.SSL_CTX_set_options, ctypes.c_uint64, [pointer, ctypes.c_uint64]),
            (ssl.SSL_CTX_use_certificate_chain_file, number, [pointer, text]),
            (ssl.SSL_CTX_use_PrivateKey_file, number, [pointer, text, number]),
            (ssl.SSL_new, pointer, [pointer]),
            (ssl.SSL_free, None, [pointer]),
            (ssl.SSL_set_fd, number, [pointer, number]),
            (ssl.SSL_ctrl, long, [pointer, number, long, pointer]),
            (ssl.SSL_accept, number, [pointer]),
            (ssl.SSL_read, number, [pointer, pointer, number]),
            (ssl.SSL_write, number, [pointer, text, number]),
            (ssl.SSL_shutdown, number, [pointer]),
            (crypto.CRYPTO_malloc, pointer, [ctypes.c_size_t, text, number]),
            (crypto.OpenSSL_version, text, [number]),
        )
        for function, result, takes in functions:
            function.restype, function.argtypes = result, takes

    @property
    def version(self) -> str:
        told: bytes = self.crypto.OpenSSL_version(0)
        return " ".join(told.decode().split()[:2])

    def send_staple(self, connection: int, staple: bytes) -> None:
        """Hand `staple` over; OpenSSL frees it. The empty one too has an address."""
        place = self.crypto.CRYPTO_malloc(max(len(staple), 1), b"", 0)
        ctypes.memmove(place, staple, len(staple))
        self.ssl.SSL_ctrl(connection, SET_OCSP_RESPONSE, len(staple), place)


class Server:
    """One address. `staples` are sent by turns, to clients that ask for one."""

    def __init__(
        self, library: Library, files: tuple[str, str], version: str, staples: list[bytes | None]
    ) -> None:
        self._library, ssl = library, library.ssl
        self._staples: Iterator[bytes | None] = itertools.cycle(staples)
        self._turn = threading.Lock()
        self._callback = CALLBACK(self._asked)  # as long-lived as the context
        self._context = ssl.SSL_CTX_new(ssl.TLS_server_method())
        chain, key = (name.encode() for name in files)
        assert ssl.SSL_CTX_use_certificate_chain_file(self._context, chain) == 1
        assert ssl.SSL_CTX_use_PrivateKey_file(self._context, key, FILETYPE_PEM) == 1
        for what in (SET_MIN_PROTO, SET_MAX_PROTO):
            assert ssl.SSL_CTX_ctrl(self._context, what, VERSIONS[version], None) == 1
        ssl.SSL_CTX_ctrl(self._context, SESS_CACHE, 0, None)
        ssl.SSL_CTX_set_options(self._context, NO_TICKET)
        ssl.SSL_CTX_callback_ctrl(self._context, SET_STATUS_CB, self._callback)

    def _asked(self, connection: int, _: int) -> int:
        with self._turn:
            staple = next(self._staples)
        if staple is None:
            return ERR_NOACK
        self._library.send_staple(connection, staple)
        return ERR_OK

    def serve(self, listener: socket.socket) -> None:
        while True:
            client, _ = listener.accept()
            client.settimeout(None)
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        ssl = self._library.ssl
        # of a blocking socket: SSL_accept itself waits
        wait = PATIENCE.to_bytes(8, sys.byteorder) + bytes(8)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)
        connection = ssl.SSL_new(self._context)
        with client:
            ssl.SSL_set_fd(connection, client.fileno())
            if ssl.SSL_accept(connection) == 1:
                heard = ctypes.create_string_buffer(4096)
                if ssl.SSL_read(connection, heard, len(heard)) > 0:
                    ssl.SSL_write(connection, PAGE, len(PAGE))
                ssl.SSL_shutdown(connection)
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_WR)
            ssl.SSL_free(connection)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spec", type=Path)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    told = json.loads(options.spec.read_bytes())
    library = Library()
    threads = []
    # 127.0.0.1, at which the caller waits, listens last
    for address, coded in reversed(told["staples"].items()):
        staples = [None if one is None else base64.b64decode(one) for one in coded]
        server = Server(library, (told["chain"], told["key"]), told["version"], staples)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = socket.create_server((address, options.port), family=family, backlog=64)
        threads.append(threading.Thread(target=server.serve, args=(listener,), daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
