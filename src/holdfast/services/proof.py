"""The proof that a server sends what it was given: a real handshake after each delivery (K21)."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.errors import DeliveryError, HoldfastError
from holdfast.net.dial import resolve
from holdfast.net.probe import probe
from holdfast.ocsp.staple import Staple
from holdfast.tls.client import Authentication


class Proof:
    """Asks the server at `places[name]` for a handshake, which must show the staple.

    `DeliveryError` when it does not. A server that is not in `places` is believed.
    """

    def __init__(self, places: Mapping[str, tuple[str, int]], *, timeout: float = 10.0) -> None:
        self._places = dict(places)
        self._timeout = timeout

    def covers(self, server: str) -> bool:
        """True when `server` is asked, not believed."""
        return server in self._places

    async def __call__(self, server: str, staple: Staple) -> None:
        place = self._places.get(server)
        if place is None:
            return
        host, port = place[0] or "localhost", place[1]
        where = f"{server}: the handshake with {host}:{port}"
        hint = "has the server read the staple? `holdfast check` says more"
        try:
            addresses = await resolve(host, port, timeout=self._timeout)
        except HoldfastError as error:
            raise DeliveryError(f"{where} failed: {error.message}", hint=error.hint) from error
        seen = await probe(
            addresses[0],
            server_name=_name(staple),
            authentication=_authentication(staple),
            host=host,
            timeout=self._timeout,
        )
        leaf = staple.subject.leaf
        if not seen.seen:
            problem = seen.error.problem if seen.error is not None else "no certificate was shown"
            raise DeliveryError(f"{where} failed: {problem}", hint=hint)
        if leaf is not None and seen.leaf != leaf.der:
            raise DeliveryError(
                f"{where} shows another certificate than {staple.subject.name}", hint=hint
            )
        if seen.staple is None:
            raise DeliveryError(f"{where} shows no staple", hint=hint)
        if seen.staple != staple.der:
            raise DeliveryError(f"{where} shows another staple than the one delivered", hint=hint)


def _name(staple: Staple) -> str | None:
    """What to ask for by SNI: the first name, of a wildcard any that fits."""
    leaf = staple.subject.leaf
    if leaf is None or not leaf.names:
        return None
    return leaf.names[0].replace("*", "www", 1)


def _authentication(staple: Staple) -> Authentication:
    leaf = staple.subject.leaf
    kind = "" if leaf is None else leaf.key_type.lower()
    if kind.startswith("rsa"):
        return "rsa"
    return "ecdsa" if kind.startswith("ec") else "any"
