"""A TLS server's certificates: which one each client gets, and with which staple.

Laws: a handshake never waits for a staple, `staple_for` looks into memory (K2). Contexts are
frozen once used, so a reload is new contexts swapped in by one assignment; connections under way
keep theirs (T6). A session is resumed only by the context that made it: tickets of another name's
certificates, or of before a reload, lead to a full handshake (T5). A must-staple certificate
without a staple is left out, whoever asks (T4). RFC 6066 3 and 8, RFC 7633, RFC 8446 4.4.2.1.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto
from OpenSSL._util import lib

from holdfast.errors import HoldfastError, OperatorError, PeerError
from holdfast.pki import issue
from holdfast.pki.certificate import Certificate
from holdfast.pki.keys import PrivateKey, fits
from holdfast.pki.names import any_covers
from holdfast.tls.hello import read_hello
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
UNSTAPLED = "unstapled"  # PeerError.failure of a handshake that wanted what is not served
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
    `serve_unstapled`: must-staple certificates are served without a staple too.
    """

    def __init__(
        self,
        identities: Sequence[Identity],
        *,
        staple_for: StapleFor,
        alpn: Sequence[str] = (),
        serve_unstapled: bool = False,
        oldest: Version = "1.2",
        newest: Version = "1.3",
    ) -> None:
        self.staple_for = staple_for
        self._alpn = tuple(name.encode("ascii") for name in alpn)
        self.serve_unstapled = serve_unstapled
        self._range = (_VERSIONS[oldest], _VERSIONS[newest])
        self._contexts = self._built(identities)

    @property
    def identities(self) -> tuple[Identity, ...]:
        return self._contexts.identities

    def reload(self, identities: Sequence[Identity]) -> None:
        """Serve `identities` from the next connection on; on an error nothing changes."""
        self._contexts = self._built(identities)

    def forget_sessions(self) -> None:
        """Whoever comes next must see a certificate, and its staple: no ticket is good any more."""
        self._contexts = self._built(self.identities)

    def connection(self) -> ServerPipe:
        """A new connection, waiting for the client's first bytes."""
        return ServerPipe(self, self._contexts)

    def lacking(self, group: Group) -> tuple[Identity, ...]:
        """The must-staple ones of `group` for which there is no staple now."""
        return tuple(one for one in group.must_staple if not self._staple(one.leaf.der))

    def without(self, group: Group, lacking: tuple[Identity, ...]) -> SSL.Context:
        """A context that shows what is left of `group`, which may be nothing."""
        context = group.variants.get(lacking)
        if context is None:
            left = [one for one in group.identities if one not in lacking]
            context = self._context(left) if left else self._refusing()
            group.variants[lacking] = context
        return context

    def _staple(self, leaf_der: bytes) -> bytes:
        try:
            return self.staple_for(leaf_der)
        except Exception:  # K2: an answer without a staple is better than no answer
            return b""

    def _built(self, identities: Sequence[Identity]) -> _Contexts:
        if not identities:
            raise OperatorError("no certificate to serve", hint="give --cert and --key")
        made: dict[tuple[int, ...], Group] = {}

        def group(members: tuple[int, ...]) -> Group:
            if members not in made:
                chosen = tuple(identities[i] for i in members)
                made[members] = Group(self._context(chosen), identities=chosen)
            return made[members]

        by_name = {
            name: group(_group(identities, name))
            for name in dict.fromkeys(n for identity in identities for n in _names(identity))
        }
        first = next(iter(_names(identities[0])), "")
        fallback = group(_group(identities, first) if first else (0,))
        only = fallback if len(made) == 1 else None
        return _Contexts(tuple(identities), by_name, fallback, only)

    def _refusing(self) -> SSL.Context:
        """A context that resumes sessions and shows nobody a certificate: handshake_failure."""
        stand_in = _stand_in()
        context = self._context([stand_in])
        # It can make no signature of this kind; without any certificate OpenSSL would not speak
        # TLS 1.3 at all, and refuse sessions too
        done = lib.SSL_CTX_set1_sigalgs_list(context._context, b"rsa_pss_rsae_sha256")
        assert done == 1
        return context

    def _context(self, identities: Sequence[Identity]) -> SSL.Context:
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
        if self._alpn:
            context.set_alpn_select_callback(functools.partial(_agree, self._alpn))
        only = identities[0].leaf.der if len(identities) == 1 else b""
        context.set_ocsp_server_callback(functools.partial(_stapled, self.staple_for, only))
        return context


class ServerPipe(Pipe):
    """A server's end. OpenSSL begins when the client's first message is whole, with the context of
    the name in it; or at once, where every name has the same."""

    def __init__(self, tls: ServerTLS, contexts: _Contexts) -> None:
        super().__init__(None)
        self._tls = tls
        self._contexts = contexts
        self._early = b""
        self._lacking: tuple[Identity, ...] = ()
        self._refusing = False

    @property
    def lacking(self) -> tuple[Identity, ...]:
        """Must-staple certificates for that name that had no staple, unless nothing was to be
        shown, since a session was resumed."""
        return () if self._refusing and self.established else self._lacking

    def _first(self, data: bytes) -> bytes:
        group = self._contexts.only
        if group is None:
            data = self._early + data
            hello = read_hello(data)
            if hello is None:
                self._early = data
                return b""
            self._early = b""
            group = self._contexts.named(hello.server_name)
        self._choose(group)
        return data

    def _choose(self, group: Group) -> None:
        connection = SSL.Connection(group.context, None)
        if group.must_staple:
            lacking = self._lacking = self._tls.lacking(group)
            if lacking and not self._tls.serve_unstapled:
                # The tickets stay those of the first context, and a resumption shows none (T5)
                connection.set_context(self._tls.without(group, lacking))
                self._refusing = lacking == group.identities
        connection.set_accept_state()
        self._begin_with(connection)

    def _failed(self, error: HoldfastError) -> HoldfastError:
        if not self._lacking or self._tls.serve_unstapled:
            return error
        told = ", ".join(
            f"{one.leaf.names[0] if one.leaf.names else one.leaf.subject}"
            f" (serial {one.leaf.serial:x})"
            for one in self._lacking
        )
        return PeerError(
            f"must-staple and no staple to send, so not served: {told}; {error.message}",
            failure=UNSTAPLED,
            hint="see why its responder gives none (`holdfast fetch`), or set serve_unstapled",
        )


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The certificates that one name gets, one of each key type, and their context."""

    context: SSL.Context
    identities: tuple[Identity, ...] = field(kw_only=True)
    must_staple: tuple[Identity, ...] = field(init=False)
    variants: dict[tuple[Identity, ...], SSL.Context] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "must_staple", _must_staple(self.identities))


def _must_staple(identities: tuple[Identity, ...]) -> tuple[Identity, ...]:
    return tuple(identity for identity in identities if identity.leaf.must_staple)


@dataclass(frozen=True, slots=True)
class _Contexts:
    """One generation of contexts: by exact name, by "*.parent", and for whoever names nothing."""

    identities: tuple[Identity, ...]
    by_name: dict[str, Group]
    fallback: Group
    only: Group | None = None  # for whatever name

    def named(self, host: str) -> Group:
        exact = self.by_name.get(host)
        if exact is not None:
            return exact
        return self.by_name.get("*." + host.partition(".")[2], self.fallback)


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


@functools.cache
def _stand_in() -> Identity:
    """What a context that refuses has for a certificate; nobody ever sees it."""
    made = issue.root("refused", key_type="ed25519", at=datetime(2026, 1, 1, tzinfo=UTC))
    return Identity((made.certificate,), key=made.key)


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
    if len(tails) <= 1:
        for certificate in next(iter(tails), ()):
            context.add_extra_chain_cert(certificate.x509)
        return
    store = context.get_cert_store()
    assert store is not None
    for certificate in dict.fromkeys(c for tail in tails for c in tail):
        store.add_cert(crypto.X509.from_cryptography(certificate.x509))


# Callbacks: pyOpenSSL prints a traceback or ends the handshake for what they raise.


def _agree(
    ours: tuple[bytes, ...], connection: SSL.Connection, theirs: list[bytes]
) -> bytes | SSL._NoOverlappingProtocols:
    return next((name for name in ours if name in theirs), SSL.NO_OVERLAPPING_PROTOCOLS)


def _stapled(staple_for: StapleFor, only: bytes, connection: SSL.Connection, data: object) -> bytes:
    """`only`: the leaf of a context that has no other."""
    try:
        if only:
            return staple_for(only)
        leaf = connection.get_certificate(as_cryptography=True)
        return staple_for(leaf.public_bytes(Encoding.DER)) if leaf is not None else b""
    except Exception:  # K2: an answer without a staple is better than no answer
        return b""
