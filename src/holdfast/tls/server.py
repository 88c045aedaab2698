"""A TLS server's certificates: which one each client gets, and with which staple.

Laws: a handshake never waits for a staple, `staple_for` looks into memory (K2). Contexts are
frozen once used, so a reload is new contexts swapped in by one assignment; connections under way
keep theirs (T6). RFC 6066 3 and 8, RFC 8446 4.4.2.1.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto

from holdfast.errors import OperatorError
from holdfast.pki.certificate import Certificate
from holdfast.pki.keys import PrivateKey, fits
from holdfast.pki.names import any_covers
from holdfast.tls.pipe import Pipe, words

StapleFor = Callable[[bytes], bytes]
Version = Literal["1.2", "1.3"]

_Servable = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | dsa.DSAPrivateKey
)  # what pyOpenSSL takes
_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
# RFC 9325 4.2: forward secrecy and AEAD only
SERVER_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"


@dataclass(frozen=True, slots=True)
class Identity:
    """One certificate to serve: `chain` leaf first, and the leaf's private key."""

    chain: tuple[Certificate, ...]
    key: PrivateKey = field(repr=False)

    def __post_init__(self) -> None:
        if not self.chain:
            raise OperatorError("no certificate to serve", hint="give a PEM file with the chain")
        leaf = self.leaf
        if not fits(self.key, leaf):
            raise OperatorError(
                f"the private key does not belong to the certificate of {leaf.subject}"
                f" (serial {leaf.serial:x}, {leaf.key_type})",
                hint="give the key that was made for this certificate, in the same order"
                " as the certificates",
            )

    @property
    def leaf(self) -> Certificate:
        return self.chain[0]

    @property
    def tail(self) -> tuple[Certificate, ...]:
        """What is sent after the leaf: intermediates; a self-signed root helps nobody."""
        return tuple(c for c in self.chain[1:] if not c.self_issued)

    @property
    def kind(self) -> str:
        """OpenSSL holds one certificate of each kind in a context."""
        return self.leaf.key_type.split()[0]


class ServerTLS:
    """What a TLS server is: its identities, which of them each name gets, and their staples.

    `staple_for(leaf_der)` gives the staple's DER or b"" for none; it must not wait (K2), and an
    exception from it means no staple, never a broken handshake. `alpn`: protocols in the server's
    order of preference; a client that offers none of them is served all the same.
    """

    def __init__(
        self,
        identities: Sequence[Identity],
        *,
        staple_for: StapleFor,
        alpn: Sequence[str] = (),
        oldest: Version = "1.2",
        newest: Version = "1.3",
    ) -> None:
        self.staple_for = staple_for
        self._alpn = tuple(name.encode("ascii") for name in alpn)
        self._range = (_VERSIONS[oldest], _VERSIONS[newest])
        self._contexts = self._built(identities)

    @property
    def identities(self) -> tuple[Identity, ...]:
        return self._contexts.identities

    def reload(self, identities: Sequence[Identity]) -> None:
        """Serve `identities` from the next connection on; on an error nothing changes."""
        self._contexts = self._built(identities)

    def connection(self) -> Pipe:
        """A new connection, waiting for the client's first bytes."""
        connection = SSL.Connection(self._contexts.default, None)
        connection.set_accept_state()
        return Pipe(connection)

    def _built(self, identities: Sequence[Identity]) -> _Contexts:
        if not identities:
            raise OperatorError("no certificate to serve", hint="give --cert and --key")
        made: dict[tuple[int, ...], SSL.Context] = {}
        table = _Contexts(tuple(identities))

        def context(group: tuple[int, ...]) -> SSL.Context:
            if group not in made:
                made[group] = self._context([identities[i] for i in group], table)
            return made[group]

        for name in dict.fromkeys(n for identity in identities for n in _names(identity)):
            table.by_name[name] = context(_group(identities, name))
        first = next(iter(_names(identities[0])), "")
        table.fallback = context(_group(identities, first) if first else (0,))
        return table

    def _context(self, identities: Sequence[Identity], table: _Contexts) -> SSL.Context:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(self._range[0])
        context.set_max_proto_version(self._range[1])
        context.set_cipher_list(SERVER_CIPHERS)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # tickets alone: no memory per client
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        for identity in identities:
            try:
                context.use_certificate(identity.leaf.x509)
                context.use_privatekey(_servable(identity))
            except SSL.Error as error:
                raise OperatorError(
                    f"OpenSSL does not take the certificate of {identity.leaf.subject}"
                    f" ({identity.leaf.key_type}): {words(error)}",
                    hint="a key of at least RSA 2048 or P-256 is needed",
                ) from None
        _chain_into(context, identities)
        context.set_tlsext_servername_callback(functools.partial(_choose, table))
        if self._alpn:
            context.set_alpn_select_callback(functools.partial(_agree, self._alpn))
        context.set_ocsp_server_callback(functools.partial(_staple, self.staple_for))
        return context


class _Contexts:
    """One generation of contexts: by exact name, by "*.parent", and for whoever names nothing."""

    def __init__(self, identities: tuple[Identity, ...]) -> None:
        self.identities = identities
        self.by_name: dict[str, SSL.Context] = {}
        self.fallback: SSL.Context | None = None

    @property
    def default(self) -> SSL.Context:
        assert self.fallback is not None
        return self.fallback

    def named(self, host: str) -> SSL.Context:
        exact = self.by_name.get(host)
        if exact is not None:
            return exact
        return self.by_name.get("*." + host.partition(".")[2], self.default)


def _names(identity: Identity) -> list[str]:
    return [name.lower().rstrip(".") for name in identity.leaf.names]


def _group(identities: Sequence[Identity], name: str) -> tuple[int, ...]:
    """The identities that serve `name`: exact before wildcard, the first of each key type."""
    exact = [i for i, identity in enumerate(identities) if name in _names(identity)]
    wide = [
        i
        for i, identity in enumerate(identities)
        if i not in exact and any_covers(identity.leaf.names, name)
    ]
    group: dict[str, int] = {}
    for index in [*exact, *wide]:
        group.setdefault(identities[index].kind, index)
    return tuple(sorted(group.values()))


def _servable(identity: Identity) -> _Servable:
    if isinstance(identity.key, _Servable):
        return identity.key
    raise OperatorError(
        f"a certificate with an {identity.leaf.key_type} key cannot be served yet"
        f" ({identity.leaf.subject})",
        hint="use an ECDSA, RSA or Ed25519 key",
    )


def _chain_into(context: SSL.Context, identities: Sequence[Identity]) -> None:
    """Give `context` the intermediates.

    pyOpenSSL reaches only the list shared by every certificate of a context. Where the chains
    differ, OpenSSL builds each one itself from the context's store, at 60 us a handshake.
    """
    tails = {identity.tail for identity in identities}
    if len(tails) == 1:
        for certificate in tails.pop():
            context.add_extra_chain_cert(certificate.x509)
        return
    store = context.get_cert_store()
    assert store is not None
    for certificate in dict.fromkeys(c for tail in tails for c in tail):
        store.add_cert(crypto.X509.from_cryptography(certificate.x509))


# Callbacks: pyOpenSSL prints a traceback or ends the handshake for what they raise.


def _choose(table: _Contexts, connection: SSL.Connection) -> None:
    name = connection.get_servername()
    if name:
        connection.set_context(table.named(name.decode("ascii", "replace").lower().rstrip(".")))


def _agree(
    ours: tuple[bytes, ...], connection: SSL.Connection, theirs: list[bytes]
) -> bytes | SSL._NoOverlappingProtocols:
    return next((name for name in ours if name in theirs), SSL.NO_OVERLAPPING_PROTOCOLS)


def _staple(staple_for: StapleFor, connection: SSL.Connection, data: object) -> bytes:
    try:
        leaf = connection.get_certificate(as_cryptography=True)
        return staple_for(leaf.public_bytes(Encoding.DER)) if leaf is not None else b""
    except Exception:  # K2: an answer without a staple is better than no answer
        return b""
