"""The paths of plain GETs, read to the requests in them.

Nearly all requests about certificates of one CA begin alike: up to the serial they are the same
octets, spelled the same by clients of one kind. Such a beginning is decoded once. Laws: what is
read here `ocsp.http.decode_get_path` reads to the same, and what is not goes to it; what is
remembered is bounded, and only of requests that had an answer. R24.
"""

from __future__ import annotations

from binascii import Error, a2b_base64
from collections.abc import Iterable

MAX_HEADS = 64  # beginnings that are remembered
MAX_CUTS = 4  # lengths of them, each of which is tried
_PERCENT = ord("%")  # to look for a number costs an eighth of looking for octets
_HEAD = 88  # characters of base64: 66 octets, which of a request by SHA-1 hold all but the serial


class PlainPaths:
    """Reads them, and remembers how they begin."""

    def __init__(self) -> None:
        self._heads: dict[bytes, bytes] = {}
        self._cuts: tuple[int, ...] = ()

    def read_all(self, paths: Iterable[bytes]) -> list[bytes | None]:
        """What `plain_request` says of each; None too when it does not begin as one that is
        known."""
        heads, cuts = self._heads, self._cuts
        found: list[bytes | None] = []
        for path in paths:
            data: bytes | None = None
            for cut in cuts:
                head = heads.get(path[:cut])
                if head is not None:
                    text = path[cut:]
                    if _PERCENT in text:
                        text = _plain(text)
                    try:
                        data = head + a2b_base64(text, strict_mode=True)
                    except Error:
                        data = None
                    break
            found.append(data)
        return found

    def learn(self, path: bytes) -> None:
        """Remember how `path` begins, which `plain_request` has read."""
        cut = 1
        for _ in range(_HEAD):
            cut += 3 if path[cut : cut + 1] == b"%" else 1
        head = path[:cut]
        text = _plain(head[1:])
        if len(text) != _HEAD or b"=" in text:
            return  # it ends before, and nothing may follow it
        known = cut in self._cuts
        if len(self._heads) >= MAX_HEADS or (len(self._cuts) >= MAX_CUTS and not known):
            self._heads, self._cuts, known = {}, (), False
        self._heads[head] = a2b_base64(text, strict_mode=True)
        if not known:
            self._cuts += (cut,)


def plain_request(path: bytes) -> bytes | None:
    """The request in `path`, what follows the prefix, when it is spelled as most clients do: one
    `/`, base64 with its padding, `+ / =` raw or percent-encoded. None: read it the general way."""
    if path[:2] != b"/M":  # what base64 of a SEQUENCE begins with
        return None
    text = path[1:]
    try:
        return a2b_base64(_plain(text) if _PERCENT in text else text, strict_mode=True)
    except Error:
        return None


def _plain(text: bytes) -> bytes:
    return text.replace(b"%2B", b"+").replace(b"%2F", b"/").replace(b"%3D", b"=")
