"""A TLS client that looks: it asks for a staple, records what it gets, and trusts nothing.

Laws: no resumption, no policy of its own, bounded bytes; verdicts are made elsewhere from what it
saw.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Literal

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from OpenSSL._util import lib

from holdfast.errors import PeerError
from holdfast.pki.names import is_address, wire_name
from holdfast.tls.pipe import Pipe

Authentication = Literal["any", "rsa", "ecdsa"]
Version = Literal["1.2", "1.3", "any"]

MAX_HANDSHAKE = 1 << 20  # bytes a server may send before its Finished; chains are a few KiB
# A checker looks at servers as they are, so a client here refuses nothing by policy
CLIENT_CIPHERS: dict[str, bytes] = {
    "any": b"ALL:!aNULL:!eNULL:@SECLEVEL=0",
    "rsa": b"aRSA:!aNULL:!eNULL:@SECLEVEL=0",
    "ecdsa": b"aECDSA:!aNULL:!eNULL:@SECLEVEL=0",
}
CLIENT_SIGNATURES: dict[str, bytes] = {
    "rsa": b"rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:"
    b"RSA+SHA256:RSA+SHA384:RSA+SHA512",
    "ecdsa": b"ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512",
}


class ClientTLS(Pipe):
    """A client that asks for a staple, looks at what it gets, and trusts nothing.

    `server_name` None or an address: no SNI, and `named` is False. `authentication` asks for an RSA
    or an ECDSA certificate. Never resumes, so that every handshake shows the certificates (curl
    CVE-2024-0853).
    `captured` is what the server sent up to its Finished, and `secrets` the key log lines, both
    for `tap`, and both of use also when the handshake failed.
    """

    def __init__(
        self,
        server_name: str | None = None,
        *,
        version: Version = "any",
        authentication: Authentication = "any",
        alpn: Sequence[str] = (),
        want_staple: bool = True,
    ) -> None:
        connection = SSL.Connection(_client_context(version, authentication), None)
        super().__init__(connection)
        self.captured = bytearray()
        self.secrets: list[bytes] = []
        self.staple = b""
        connection.set_app_data(self)
        connection.set_connect_state()
        self.named = bool(server_name) and not is_address(server_name or "")
        if server_name and self.named:
            connection.set_tlsext_host_name(wire_name(server_name).encode("ascii"))
        if alpn:
            connection.set_alpn_protos([name.encode("ascii") for name in alpn])
        if want_staple:
            connection.request_ocsp()

    def receive(self, data: bytes) -> bytes:
        if not self.established:
            self.capture(data)
        return super().receive(data)

    def capture(self, data: bytes) -> None:
        """Keep `data` for the tap, and nothing else: OpenSSL has given up before it came."""
        self.captured += data
        if len(self.captured) > MAX_HANDSHAKE:
            raise PeerError(f"the server's handshake is longer than {MAX_HANDSHAKE} bytes")

    @property
    def chain(self) -> tuple[bytes, ...]:
        """The certificates the server sent, DER, as it sent them; empty before they came."""
        return tuple(
            certificate.public_bytes(Encoding.DER)
            for certificate in self._connection.get_peer_cert_chain(as_cryptography=True) or ()
        )

    def forget(self) -> None:
        """Drop what was captured once it was read: it is key material."""
        self.captured.clear()
        self.secrets.clear()


@functools.cache
def _client_context(version: Version, authentication: Authentication) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_verify(SSL.VERIFY_NONE)
    # "1.2" accepts older ones too: a server that has nothing newer is seen, and reported
    oldest = SSL.TLS1_3_VERSION if version == "1.3" else SSL.TLS1_VERSION
    newest = SSL.TLS1_2_VERSION if version == "1.2" else SSL.TLS1_3_VERSION
    context.set_min_proto_version(oldest)
    context.set_max_proto_version(newest)
    context.set_cipher_list(CLIENT_CIPHERS[authentication])
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if authentication != "any" and version != "1.2":
        # In TLS 1.2 the cipher list decides, and a shorter list would hide chains whose
        # intermediates are signed by the other kind of key
        done = lib.SSL_CTX_set1_sigalgs_list(context._context, CLIENT_SIGNATURES[authentication])
        assert done == 1
    context.set_keylog_callback(_keep_secret)
    context.set_ocsp_client_callback(_keep_staple)
    return context


def _keep_secret(connection: SSL.Connection, line: bytes) -> None:
    client = connection.get_app_data()
    if isinstance(client, ClientTLS):
        client.secrets.append(line)


def _keep_staple(connection: SSL.Connection, staple: bytes, data: object) -> bool:
    client = connection.get_app_data()
    if isinstance(client, ClientTLS):
        client.staple = staple
    return True
