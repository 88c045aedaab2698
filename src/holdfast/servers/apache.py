"""Apache's mod_ssl, which asks the relay: `SSLStaplingForceURL`.

mod_ssl asks within a handshake and keeps the answer for `SSLStaplingStandardCacheTimeout`; nothing
tells it of a new one but a restart. So that time is short (`cache_timeout`), and delivering is: let
the relay answer the new staple, and wait until Apache must have dropped the one before. With the
keeper gone nobody answers, and Apache sends nothing when its cache runs out, within `cache_timeout`
and never past nextUpdate (K27). What an earlier keeper answered is not known to a new one: that may
be sent for `cache_timeout`, too.

Laws: only what the relay answers within its holding end is ever sent; a staple from the future is
not answered before its time, since Apache is told to allow no skew.
"""

from __future__ import annotations

from datetime import timedelta

from holdfast.errors import DeliveryError
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import Good, Revoked
from holdfast.seams import Clock
from holdfast.servers.relay_shelf import RelayShelf, Turns

CACHE_TIMEOUT = timedelta(seconds=20)  # a recheck of 30 s, and this, is less than a minute (K11)
SLACK = timedelta(milliseconds=250)  # between the relay's answer and Apache's cache


class ApacheServer:
    """Implements `StapledServer`. `cache_timeout`: what Apache's configuration says."""

    patient = True

    def __init__(
        self,
        name: str,
        *,
        shelf: RelayShelf,
        clock: Clock,
        cache_timeout: timedelta = CACHE_TIMEOUT,
    ) -> None:
        self.name = name
        self._shelf = shelf
        self._clock = clock
        self._cache_timeout = cache_timeout
        self._turns = Turns(name)

    async def deliver(self, staple: Staple, /) -> None:
        refuse_unknown(self.name, staple)
        turn = self._turns.take(staple.certid)
        while staple.this_update > self._clock.now():
            await self._clock.sleep_until(staple.this_update)
            self._turns.check(staple.certid, turn)
        self._shelf.put(self.name, staple)
        await self._dropped(staple.certid, turn)

    async def withdraw(self, certid: CertID, /) -> None:
        turn = self._turns.take(certid)
        self._shelf.remove(self.name, certid)
        await self._dropped(certid, turn)
        self._shelf.forget(certid)

    async def _dropped(self, certid: CertID, turn: int) -> None:
        """Return when Apache has forgotten what the relay answered before."""
        while (answered := self._shelf.answered_else(certid)) is not None:
            until = answered + self._cache_timeout + SLACK
            if self._clock.now() >= until:
                return
            await self._clock.sleep_until(until)
            self._turns.check(certid, turn)


def refuse_unknown(server: str, staple: Staple) -> None:
    """`DeliveryError` for a staple that says neither good nor revoked (K12)."""
    if not isinstance(staple.certificate_status, Good | Revoked):
        raise DeliveryError(
            f"{server}: a staple that says unknown is not served",
            hint="the responder does not know this certificate: ask the CA",
        )


def apache_snippet(
    relay: str, *, cache_timeout: timedelta = CACHE_TIMEOUT, cache_bytes: int = 512_000
) -> str:
    """What Apache's configuration needs, outside every <VirtualHost>. `relay`: host:port."""
    return f"""\
# holdfast keeps the staples, mod_ssl asks it for them. Outside every <VirtualHost>.
<IfModule mod_ssl.c>
    # Shared by all of Apache's processes; there is one for the whole server.
    SSLStaplingCache shmcb:${{APACHE_RUN_DIR}}/ssl_stapling({cache_bytes})
    SSLUseStapling on
    # The keeper's relay, whatever responder the certificate names, if it names any.
    # It must be http: with https Apache starts, and then breaks handshakes.
    SSLStaplingForceURL http://{relay}/ocsp
    # How long Apache keeps what it was told, so how soon it sends a new staple, or none. The keeper
    # needs to know it: cache_timeout = "{cache_timeout.total_seconds():g}s" in its [[server]].
    SSLStaplingStandardCacheTimeout {cache_timeout.total_seconds():.0f}
    # The same for an answer that Apache did not like.
    SSLStaplingErrorCacheTimeout 1
    # Not one second past nextUpdate. The usual 300 are for other people's clocks.
    SSLStaplingResponseTimeSkew 0
    # Never tryLater in a handshake: no staple is better than a bad one.
    SSLStaplingReturnResponderErrors off
    SSLStaplingFakeTryLater off
    # The relay answers within a millisecond; a keeper that hangs must not hold up handshakes.
    SSLStaplingResponderTimeout 1
</IfModule>
"""
