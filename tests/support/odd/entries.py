"""A TLS server that sends any bytes as the staple of any certificate, on Debian's GnuTLS.

TLS 1.3 has a place for a staple beside each certificate of the chain; gnutls-serv fills the first
alone, the library all. It is spoken to by ctypes and runs in a process of its own: `python
entries.py CHAIN KEY VERSION STAPLE... --port PORT`, each staple a file, or "none".
"""

from __future__ import annotations

import argparse
import ctypes
import socket
import threading
from pathlib import Path
from typing import Any

LIBRARY = "libgnutls.so.30"
# gnutls/gnutls.h
SERVER, CREDENTIALS_CERTIFICATE, PEM, SHUT_RDWR = 1, 1, 1, 0
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"
PATIENCE = 20_000  # milliseconds that a handshake may take
MAX_CERTIFICATES = 8


class Datum(ctypes.Structure):
    """gnutls_datum_t"""

    _fields_ = (("data", ctypes.c_char_p), ("size", ctypes.c_uint))


class PCert(ctypes.Structure):
    """gnutls_pcert_st"""

    _fields_ = (("pubkey", ctypes.c_void_p), ("cert", Datum), ("type", ctypes.c_int))


class OcspData(ctypes.Structure):
    """gnutls_ocsp_data_st; `exptime` 0: it does not end."""

    _fields_ = (
        ("version", ctypes.c_uint),
        ("response", Datum),
        ("exptime", ctypes.c_int64),
        ("padding", ctypes.c_ubyte * 32),
    )


_POINTER = ctypes.POINTER(ctypes.c_void_p)
_NUMBER = ctypes.POINTER(ctypes.c_uint)
RETRIEVE = ctypes.CFUNCTYPE(
    ctypes.c_int,
    *(ctypes.c_void_p, ctypes.c_void_p),  # the session, what it asks for
    *(_POINTER, _NUMBER),  # certificates
    *(_POINTER, _NUMBER),  # staples
    *(_POINTER, _NUMBER),  # key, flags
)


class Server:
    """What is shown to every client."""

    def __init__(self, chain: Path, key: Path, version: str, staples: list[bytes]) -> None:
        self._gnutls = gnutls = ctypes.CDLL(LIBRARY)
        self._count = ctypes.c_uint(MAX_CERTIFICATES)
        self._certificates = (PCert * MAX_CERTIFICATES)()
        _done(
            gnutls.gnutls_pcert_list_import_x509_file(
                self._certificates,
                ctypes.byref(self._count),
                str(chain).encode(),
                *(PEM, None, None, 0),
            )
        )
        self._staples = (OcspData * max(len(staples), 1))()
        for place, staple in zip(self._staples, staples, strict=False):
            place.response = Datum(staple, len(staple))
            place.exptime = 0 if staple else 1  # GnuTLS leaves out one that has ended
        self._staple_count = len(staples)
        self._key = ctypes.c_void_p()
        text = key.read_bytes()
        _done(gnutls.gnutls_privkey_init(ctypes.byref(self._key)))
        _done(
            gnutls.gnutls_privkey_import_x509_raw(
                self._key, ctypes.byref(Datum(text, len(text))), PEM, None, 0
            )
        )
        self._callback = RETRIEVE(self._retrieve)  # as long-lived as the credentials
        self._credentials = ctypes.c_void_p()
        _done(gnutls.gnutls_certificate_allocate_credentials(ctypes.byref(self._credentials)))
        gnutls.gnutls_certificate_set_retrieve_function3(self._credentials, self._callback)
        self._priority = f"NORMAL:-VERS-ALL:+VERS-TLS{version}".encode()

    def _retrieve(self, _session: int, _info: int, *out: Any) -> int:
        certificates, count, staples, staple_count, key, flags = out
        certificates[0] = ctypes.addressof(self._certificates)
        count[0] = self._count.value
        staples[0] = ctypes.addressof(self._staples)
        staple_count[0] = self._staple_count
        key[0] = self._key.value
        flags[0] = 0  # all of it stays ours
        return 0

    def talk(self, client: socket.socket) -> None:
        gnutls, session = self._gnutls, ctypes.c_void_p()
        with client:
            _done(gnutls.gnutls_init(ctypes.byref(session), SERVER))
            _done(gnutls.gnutls_priority_set_direct(session, self._priority, None))
            _done(
                gnutls.gnutls_credentials_set(session, CREDENTIALS_CERTIFICATE, self._credentials)
            )
            gnutls.gnutls_transport_set_int2(session, client.fileno(), client.fileno())
            gnutls.gnutls_handshake_set_timeout(session, PATIENCE)
            gnutls.gnutls_record_set_timeout(session, PATIENCE)
            if gnutls.gnutls_handshake(session) == 0:
                heard = ctypes.create_string_buffer(4096)
                if gnutls.gnutls_record_recv(session, heard, ctypes.c_size_t(len(heard))) > 0:
                    gnutls.gnutls_record_send(session, PAGE, ctypes.c_size_t(len(PAGE)))
                gnutls.gnutls_bye(session, SHUT_RDWR)
            gnutls.gnutls_deinit(session)


def _done(code: int) -> None:
    if code < 0:
        raise OSError(f"GnuTLS error {code}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("chain", type=Path)
    parser.add_argument("key", type=Path)
    parser.add_argument("version", choices=["1.2", "1.3"])
    parser.add_argument("staples", nargs="*")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    staples = [b"" if name == "none" else Path(name).read_bytes() for name in options.staples]
    server = Server(options.chain, options.key, options.version, staples)
    listener = socket.create_server(("127.0.0.1", options.port), backlog=64)
    while True:
        client, _ = listener.accept()
        client.settimeout(None)
        threading.Thread(target=server.talk, args=(client,), daemon=True).start()


if __name__ == "__main__":
    main()
