"""Plain requests answered from bytes to bytes, and replies kept to be given again.

Laws: a reply is kept only when it came from a shelf, only while nothing was committed there, and
only while every word of it stays true: one whose max-age shrinks, for its second alone. What is
kept is bounded in bytes. What is not plain is None: the general way reads it. R21, R24, R27.
"""

from __future__ import annotations

from binascii import Error, a2b_base64
from collections.abc import Callable, Container, Sequence

from holdfast.ocsp.http import MAX_GET_URL
from holdfast.services.responder_live import Due, LiveReplies
from holdfast.services.responder_mounts import Mount, Mounts
from holdfast.services.responder_refusals import Refusals
from holdfast.services.responder_replies import cacheable, max_age_of
from holdfast.services.responder_tally import Tally

KEPT_BYTES = 56 << 20  # of replies that are kept; 70,000 of those signed by P-256
ANEW_AFTER = 10  # seconds; when more is asked than can be kept, replacing costs more than it saves
_OVERHEAD = 280  # bytes of an entry beside its key and its value
_FOR_EVER = 1 << 62

Rest = tuple[bytes, bytes, int]
"""What follows the Date of a reply, in the part that many share and its own, and the counter of
what it says."""


class HotReplies:
    """Implements `net.answer_server.Quick` over the mounts of a responder."""

    def __init__(
        self,
        mounts: Mounts,
        *,
        pages: Container[bytes],
        max_age: int,
        tally: Tally,
        refusals: Refusals,
    ) -> None:
        self._mounts = mounts
        self._pages = pages
        self._max_age = max_age
        self._row = tally.row
        self._at = tally.at
        self._get, self._post = tally.at["get"], tally.at["post"]
        self._live = LiveReplies(max_age=max_age, tally=tally, refusals=refusals)
        self._refusals = refusals
        self._posts = {
            b"POST " + path: mount
            for mount in mounts.all
            for path in (mount.prefix, mount.prefix + b"/")
            if path and path not in pages
        }
        self._only = mounts.all[0] if len(mounts.all) == 1 and not mounts.all[0].prefix else None
        self._generation = _generation_of(mounts)
        self._seen: object = None
        self._epoch = 0
        self._kept: dict[bytes, Rest] = {}
        self._kept_bytes = 0
        self._until = _FOR_EVER  # the epoch second in which the first of `_kept` is true no longer
        self._forgot = 0
        self._brief: dict[bytes, Rest] = {}
        self._brief_bytes = 0

    def tick(self, epoch: int, /) -> None:
        if epoch != self._epoch:
            self._brief, self._brief_bytes = {}, 0
            if epoch >= self._until or epoch < self._epoch:  # the clock went back: read again
                self._forget()
        self._epoch = epoch
        for mount in self._mounts.all:
            if mount.shelf is not None:
                mount.shelf.tick(epoch)
        self._refusals.tick()

    def answers(self, due: Sequence[Due], /) -> list[bytes | None]:
        """The replies to what `get` and `post` could not tell from what is kept."""
        return self._live.answers(due, self._epoch)

    def get(self, line: bytes, peer: str, /) -> bytes | Due | None:
        seen = self._generation()
        if seen != self._seen:
            self._forget()
            self._seen = seen
        found = self._kept.get(line) or self._brief.get(line)
        if found is None:
            made = self._found(line, peer)
            if made is None or len(made) == 4:
                return made
            found = made
        row = self._row
        row[found[2]] += 1
        row[self._get] += 1
        return found[0] + found[1]

    def post(self, line: bytes, body: bytes, peer: str, /) -> bytes | Due | None:
        mount = self._posts.get(line)
        if mount is None:
            return None
        seen = self._generation()
        if seen != self._seen:
            self._forget()
            self._seen = seen
        key = mount.prefix + body  # a body never begins as a request line of GET does
        found = self._kept.get(key) or self._brief.get(key)
        if found is None:
            made = self._made(mount, body, key, "POST", peer)
            if len(made) == 4:
                return made
            found = made
        row = self._row
        row[found[2]] += 1
        row[self._post] += 1
        return found[0] + found[1]

    # -- below ------------------------------------------------------------------------------

    def _found(self, line: bytes, peer: str) -> Rest | Due | None:
        """Of a request line that was not seen since the shelf changed."""
        target = line[4:]
        mount = self._only or self._mounts.of(target)
        if mount is None or len(line) > MAX_GET_URL or target in self._pages:
            return None
        data = plain_request(target[len(mount.prefix) :] if mount.prefix else target)
        return None if data is None else self._made(mount, data, line, "GET", peer)

    def _made(self, mount: Mount, data: bytes, key: bytes, method: str, peer: str) -> Rest | Due:
        """`key`: to keep it under, the whole request line of a GET."""
        held = None if mount.shelf is None else mount.held_now(data, self._epoch)
        if held is not None:
            (der, this_update, next_update), said = held
            max_age = max_age_of(next_update, self._epoch, self._max_age)
            made = *cacheable(der, this_update, next_update, max_age), self._at[said]
            self._keep(key, made, next_update if max_age == self._max_age else 0)
            return made
        return mount, data, method, peer

    def _keep(self, key: bytes, made: Rest, next_update: int) -> None:
        """Until its max-age begins to shrink; `next_update` 0: for this second."""
        size = len(key) + len(made[1]) + _OVERHEAD
        if next_update:
            if self._kept_bytes + size > KEPT_BYTES:
                if self._epoch - self._forgot < ANEW_AFTER:
                    return
                self._forget()
            self._kept[key] = made
            self._kept_bytes += size
            self._until = min(self._until, next_update - self._max_age)
        else:
            if self._brief_bytes + size > KEPT_BYTES:
                self._brief, self._brief_bytes = {}, 0
            self._brief[key] = made
            self._brief_bytes += size

    def _forget(self) -> None:
        self._forgot = self._epoch
        self._kept, self._kept_bytes, self._until = {}, 0, _FOR_EVER
        self._brief, self._brief_bytes = {}, 0


def plain_request(path: bytes) -> bytes | None:
    """The request in `path`, what follows the prefix, when it is spelled as most clients do: one
    `/`, base64 with its padding, `+ / =` raw or percent-encoded. None: read it the general way."""
    if path[:2] != b"/M":  # what base64 of a SEQUENCE begins with
        return None
    text = path[1:]
    if b"%" in text:
        text = text.replace(b"%2B", b"+").replace(b"%2F", b"/").replace(b"%3D", b"=")
    try:
        return a2b_base64(text, strict_mode=True)
    except Error:
        return None


def _generation_of(mounts: Mounts) -> Callable[[], object]:
    shelves = [mount.shelf for mount in mounts.all if mount.shelf is not None]
    if not shelves:
        return lambda: None
    if len(shelves) == 1:
        shelf = shelves[0]
        return lambda: shelf.generation
    return lambda: [shelf.generation for shelf in shelves]
