"""Keys in a token that PKCS#11 leads to, as keys that `cryptography`'s can be exchanged for.

Laws: a session is used by one thread at a time, and there are never more than `sessions` of them;
one that fails is closed and the signature tried again on a new one (tokens are restarted, and fall
out of their slots); what a token cannot do is `Unavailable`, never an answer. The library is
loaded where it is used: after a fork it is started again. PKCS#11 2.40; the only user of `pkcs11`.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from contextlib import suppress
from queue import Empty, LifoQueue
from threading import Lock
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

from holdfast.errors import OperatorError, Unavailable
from holdfast.net.pkcs11_uri import Pkcs11Uri

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.pki.certificate import Certificate

SESSIONS = 4  # a guess that every token can serve; network HSMs like more
PATIENCE = 2.0  # seconds for a session to be free
# Seconds. A restarted token's old sessions fail once each. SoftHSM writes a token's file at each
# login, and who reads it in that moment takes the token for missing or broken until it looks again.
AGAIN_AFTER = (0.0, 0.05, 0.2)
_PROBE = b"holdfast: does this key belong to that certificate?"
_SEE = "`p11tool --provider MODULE --login --list-all` shows what is in it"

Signed = tuple[Any, Any]  # a session, and the private key as an object of it


class HsmKey:
    """A private key in a token, of which no more than signatures can be had."""

    blocking = True

    def __init__(self, token: Token, public: Any) -> None:
        self._token = token
        self._public = public

    def public_key(self) -> Any:
        return self._public

    @property
    def key_size(self) -> int:
        size: int = self._public.key_size
        return size

    @property
    def sessions(self) -> int:
        return self._token.sessions


class HsmRsa(HsmKey):
    """RSA, by PKCS#1 v1.5 and PSS; the token makes the hash."""

    def sign(self, data: bytes, pad: Any, algorithm: hashes.HashAlgorithm) -> bytes:
        from pkcs11 import MGF, Mechanism

        name = algorithm.name.upper()
        if not isinstance(pad, padding.PSS):
            mechanism = Mechanism[f"{name}_RSA_PKCS"]
            return self._token.sign(lambda key: key.sign(data, mechanism=mechanism))
        mechanism = Mechanism[f"{name}_RSA_PKCS_PSS"]
        parameters = (Mechanism[name], MGF[name], algorithm.digest_size)
        return self._token.sign(
            lambda key: key.sign(data, mechanism=mechanism, mechanism_param=parameters)
        )


class HsmEc(HsmKey):
    """ECDSA; the hash is made here, since not every token has the mechanisms that make it."""

    @property
    def curve(self) -> Any:
        return self._public.curve

    def sign(self, data: bytes, algorithm: Any) -> bytes:
        from pkcs11 import Mechanism

        digest = data
        if not isinstance(algorithm.algorithm, Prehashed):
            digest = hashlib.new(algorithm.algorithm.name, data).digest()
        raw = self._token.sign(lambda key: key.sign(digest, mechanism=Mechanism.ECDSA))
        half = len(raw) // 2
        return encode_dss_signature(
            int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big")
        )


class HsmEd25519(HsmKey):
    """Ed25519."""

    def sign(self, data: bytes) -> bytes:
        from pkcs11 import Mechanism

        return self._token.sign(lambda key: key.sign(data, mechanism=Mechanism.EDDSA))


# So that `isinstance`, by which keys are told apart, has it right.
rsa.RSAPrivateKey.register(HsmRsa)
ec.EllipticCurvePrivateKey.register(HsmEc)
ed25519.Ed25519PrivateKey.register(HsmEd25519)


def open_key(
    uri: Pkcs11Uri, certificate: Certificate, *, pin: bytes | None, sessions: int = SESSIONS
) -> HsmKey:
    """The private key that `uri` names, of `certificate`; `OperatorError` when it cannot be had or
    is another's, `Unavailable` when the token is away."""
    public = certificate.public_key
    kinds: tuple[tuple[type, type[HsmKey]], ...] = (
        (rsa.RSAPublicKey, HsmRsa),
        (ec.EllipticCurvePublicKey, HsmEc),
        (ed25519.Ed25519PublicKey, HsmEd25519),
    )
    for kind, made in kinds:
        if isinstance(public, kind):
            key = made(Token(uri, pin=pin, sessions=sessions), public)
            _prove(key, certificate, uri)
            return key
    raise OperatorError(
        f"{uri.shown}: keys of the kind in {certificate.subject} are not used from a token",
        hint="use an RSA, ECDSA or Ed25519 key there, or this one from a file",
    )


def _prove(key: Any, certificate: Certificate, uri: Pkcs11Uri) -> None:
    from holdfast.ocsp.algorithms import scheme_of, signing

    algorithm, make = signing(key)
    scheme = scheme_of(algorithm)
    if scheme is None or not scheme.verifies(certificate.public_key, make(_PROBE), _PROBE):
        raise OperatorError(
            f"{uri.shown}: that key does not belong to {certificate.subject}",
            hint=f"name the key of the certificate that signs; {_SEE}",
        )


class Token:
    """Sessions with the token that `uri` names, opened when they are needed."""

    def __init__(self, uri: Pkcs11Uri, *, pin: bytes | None, sessions: int = SESSIONS) -> None:
        self._uri = uri
        self._pin = None if pin is None else pin.decode(errors="replace")
        self.sessions = max(1, sessions)
        self._lock = Lock()
        self._refused: OperatorError | None = None
        self._forget()

    def _forget(self) -> None:
        self._process = os.getpid()
        self._opened = 0
        self._free: LifoQueue[Signed] = LifoQueue()

    def sign(self, with_key: Callable[[Any], bytes]) -> bytes:
        """What `with_key` makes of the private key; tried again on new sessions."""
        from pkcs11.exceptions import PKCS11Error

        for pause in (*AGAIN_AFTER, None):
            try:
                return self._once(with_key)
            except PKCS11Error as error:
                if pause is None:
                    raise Unavailable(
                        f"{self._uri.shown}: the token does not sign: {_said(error)}",
                        failure="hsm",
                        hint=f"see whether it is there and logged in; {_SEE}",
                    ) from error
            except Unavailable as error:
                if pause is None or error.failure != "hsm":
                    raise
            time.sleep(pause)
            self._start_again()
        raise AssertionError("the last try returns or raises")

    def _once(self, with_key: Callable[[Any], bytes]) -> bytes:
        from pkcs11.exceptions import PKCS11Error

        taken = self._take()
        free = self._free
        try:
            made = with_key(taken[1])
        except PKCS11Error:
            self._drop(taken)
            raise
        except BaseException:
            free.put(taken)
            raise
        free.put(taken)
        return made

    def _take(self) -> Signed:
        with self._lock:
            if self._process != os.getpid():  # what was opened belongs to the parent
                self._forget()
            fresh = self._free.empty() and self._opened < self.sessions
            if fresh:
                self._opened += 1
        if fresh:
            try:
                return self._open()
            except BaseException:
                with self._lock:
                    self._opened -= 1
                raise
        try:
            return self._free.get(timeout=PATIENCE)
        except Empty:
            raise Unavailable(
                f"{self._uri.shown}: none of {self.sessions} sessions was free within "
                f"{PATIENCE:g} s",
                failure="busy",
                hint="give it more sessions, if the token can",
            ) from None

    def _start_again(self) -> None:
        """Have the library look again at what is there, unless somebody uses it."""
        from pkcs11.exceptions import PKCS11Error

        with _STARTING:
            if not _opened[self._uri.module]:
                with suppress(PKCS11Error):  # the next try tells
                    _library(self._uri).reinitialize()

    def _drop(self, taken: Signed) -> None:
        from pkcs11.exceptions import PKCS11Error

        with suppress(PKCS11Error):  # it was gone already
            taken[0].close()
        with self._lock:
            self._opened -= 1
        with _STARTING:
            _opened[self._uri.module] -= 1

    def _open(self) -> Signed:
        from pkcs11.exceptions import PinIncorrect, PinLocked, PKCS11Error, UserAlreadyLoggedIn

        if self._refused is not None:  # once more would bring the token nearer to locking itself
            raise self._refused
        token = self._found()
        if self._pin is not None and is_last_try(token):
            raise OperatorError(
                f"{self._uri.shown}: a wrong PIN was given so often that the next locks the token",
                hint="see that the PIN is right by a login by hand, which counts anew: "
                "`p11tool --provider MODULE --login --list-all`",
            )
        try:
            if self._pin is None:
                session = token.open()
            else:
                try:
                    session = token.open(user_pin=self._pin)
                except UserAlreadyLoggedIn:  # a login is the process's, not the session's
                    session = token.open()
        except (PinIncorrect, PinLocked) as error:
            self._refused = OperatorError(
                f"{self._uri.shown}: the token refuses the PIN: {_said(error)}",
                hint="see the file that the passphrase or pin-source names; its first line "
                "counts, and a token locks itself after a few wrong ones",
            )
            raise self._refused from error
        try:
            key = self._key(session)
        except BaseException:
            with suppress(PKCS11Error):
                session.close()
            raise
        with _STARTING:
            _opened[self._uri.module] += 1
        return session, key

    def _found(self) -> Any:
        wanted = self._uri
        pairs = (("label", wanted.token), ("model", wanted.model), ("serial", wanted.serial))
        for slot in _library(wanted).get_slots(token_present=True):
            if wanted.slot is not None and slot.slot_id != wanted.slot:
                continue
            token = slot.get_token()
            has = {"label": token.label, "model": token.model, "serial": _text(token.serial)}
            made_by = (wanted.manufacturer, token.manufacturer_id)
            if all(value in (None, has[name].strip()) for name, value in pairs) and made_by[0] in (
                None,
                made_by[1].strip(),
            ):
                return token
        raise Unavailable(
            f"{wanted.shown}: no such token in any slot of {wanted.module}",
            failure="hsm",
            hint="`p11tool --provider MODULE --list-tokens` shows those that are there",
        )

    def _key(self, session: Any) -> Any:
        from pkcs11 import Attribute, ObjectClass

        asked: dict[Any, Any] = {Attribute.CLASS: ObjectClass.PRIVATE_KEY}
        if self._uri.label is not None:
            asked[Attribute.LABEL] = self._uri.label
        if self._uri.id is not None:
            asked[Attribute.ID] = self._uri.id
        found = list(session.get_objects(asked))
        if len(found) != 1:
            number = "no" if not found else str(len(found))
            login = "" if self._pin else "; without a PIN private keys are not seen"
            raise OperatorError(
                f"{self._uri.shown}: {number} private keys of that name in the token{login}",
                hint=f"name one by object= and id=; {_SEE}",
            )
        if not hasattr(found[0], "sign"):
            raise OperatorError(
                f"{self._uri.shown}: that key must not sign (its CKA_SIGN is false)",
                hint="make the key with the usage of signing",
            )
        return found[0]


_STARTING = Lock()
_opened: Counter[str] = Counter()  # sessions by library, in the process `_started_in`
_started_in = os.getpid()
_modules: set[str] = set()


def is_last_try(token: Any) -> bool:
    """A service that starts again and again must not be what locks a token: the last try is left
    to people."""
    from pkcs11 import TokenFlag

    return bool(token.flags & (TokenFlag.USER_PIN_FINAL_TRY | TokenFlag.USER_PIN_LOCKED))


def _library(uri: Pkcs11Uri) -> Any:
    try:
        import pkcs11
    except ImportError:
        raise OperatorError(
            f"{uri.shown}: keys in tokens need python-pkcs11, which is not installed",
            hint="pip install 'holdfast[hsm]'",
        ) from None
    global _started_in
    try:
        if _started_in != os.getpid():  # after a fork, which PKCS#11 has every child begin anew
            _started_in = os.getpid()
            _opened.clear()
            for module in tuple(_modules):
                with suppress(pkcs11.PKCS11Error):
                    pkcs11.lib(module).reinitialize()
        found = pkcs11.lib(uri.module)
    except (pkcs11.PKCS11Error, RuntimeError, OSError) as error:
        raise OperatorError(
            f"{uri.shown}: {uri.module} cannot be loaded: {_said(error)}",
            hint="module-path names the PKCS#11 library that came with the token",
        ) from error
    _modules.add(uri.module)
    return found


def _said(error: Exception) -> str:
    """The name of a PKCS#11 error says all that its text, which is mostly empty, does not."""
    return f"{type(error).__name__}{f' ({error})' if str(error) else ''}"


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
