"""What a client may ask for: a bucket of tokens for each, in a bounded table.

Laws: a client is an IPv4 address or the /64 of an IPv6 one, which is what a household is given; the
table never grows past its bound, and who falls out of it starts anew with a full bucket.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

MAX_CLIENTS = 20_000


def client_of(address: str) -> str:
    """What a limit counts by."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "?"
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False).network_address)
    return str(ip)


class Buckets:
    """`size` tokens for each client, which come back evenly within `seconds`."""

    def __init__(
        self,
        size: int,
        *,
        seconds: float,
        monotonic: Callable[[], float],
        clients: int = MAX_CLIENTS,
    ) -> None:
        self._size, self._rate = float(size), size / seconds
        self._monotonic, self._most = monotonic, clients
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def take(self, client: str) -> float:
        """Take a token of `client`: 0, or the seconds after which there is one again."""
        now = self._monotonic()
        left, since = self._left.pop(client, (self._size, now))
        left = min(self._size, left + (now - since) * self._rate)
        wait = 0.0 if left >= 1 else (1 - left) / self._rate
        self._left[client] = (left if wait else left - 1, now)
        if len(self._left) > self._most:
            self._left.popitem(last=False)
        return wait
