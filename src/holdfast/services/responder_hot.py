"""Plain requests answered from bytes to bytes, and replies kept to be given again.

Laws: a reply is kept only when it came from a shelf, only while nothing was committed there, and
only while every word of it stays true: one whose max-age shrinks, for its second alone. What is
kept is bounded in bytes. What is not plain is None: the general way reads it. R21, R24, R27.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from hashlib import sha256

from holdfast.ocsp.http import MAX_GET_URL
from holdfast.services.responder_live import Due, LiveReplies
from holdfast.services.responder_mounts import Mount, Mounts
from holdfast.services.responder_paths import PlainPaths, plain_request
from holdfast.services.responder_refusals import Refusals
from holdfast.services.responder_replies import headers, max_age_of, with_etag
from holdfast.services.responder_tally import Tally

KEPT_BYTES = 56 << 20  # of replies that are kept; 67,000 of those signed by P-256
ANEW_AFTER = 10  # seconds; when more is asked than can be kept, replacing costs more than it saves
_OVERHEAD = 330  # bytes of an entry beside its key and its value, as resident memory grows
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
        self._paths = PlainPaths()
        self._generation = _generation_of(mounts)
        self._seen: object = None
        self._epoch = 0
        self._kept: dict[bytes, Rest] = {}
        self._kept_bytes = 0
        self._until = _FOR_EVER  # the epoch second in which the first of `_kept` is true no longer
        self._full = False
        self._forgot = 0
        self._brief: dict[bytes, Rest] = {}
        self._brief_bytes = 0

    def tick(self, epoch: int, /) -> None:
        before, self._epoch = self._epoch, epoch
        if epoch != before:
            if self._brief:
                self._brief, self._brief_bytes, self._full = {}, 0, False
            stale = epoch >= self._until or epoch < before  # the clock went back: read again
            if stale or (self._full and epoch - self._forgot >= ANEW_AFTER):
                self._forget()
        for mount in self._mounts.all:
            if mount.shelf is not None:
                mount.shelf.tick(epoch)
        self._refusals.tick()

    def answers(self, due: Sequence[Due], /) -> list[bytes | None]:
        """The replies to what `get` and `post` could not tell from what is kept."""
        return self._live.answers(due, self._epoch)

    def get(self, line: bytes, peer: str, /) -> bytes | Due | None:
        found = self._kept.get(line) or self._brief.get(line)
        if found is not None and self._generation() != self._seen:
            self._forget()
            found = None
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
        key = mount.prefix + body  # a body never begins as a request line of GET does
        found = self._kept.get(key) or self._brief.get(key)
        if found is not None and self._generation() != self._seen:
            self._forget()
            found = None
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
        path = target[len(mount.prefix) :] if mount.prefix else target
        data = self._paths.read(path)
        if data is not None:
            return self._made(mount, data, line, "GET", peer)
        data = plain_request(path)
        if data is None:
            return None
        made = self._made(mount, data, line, "GET", peer)
        if len(made) == 3:
            self._paths.learn(path)
        return made

    def _made(self, mount: Mount, data: bytes, key: bytes, method: str, peer: str) -> Rest | Due:
        """`key`: to keep it under, the whole request line of a GET."""
        if not self._full:  # what is kept is of this moment; what is not is of a later one at worst
            seen = self._generation()
            if seen != self._seen:
                self._forget()
                self._seen = seen
        epoch = self._epoch
        held = mount.held_now(data, epoch)
        if held is None:
            return mount, data, method, peer
        (der, this_update, next_update), said = held
        max_age = self._max_age
        shrinks = next_update - epoch <= max_age
        if shrinks:
            max_age = max_age_of(next_update, epoch, max_age)
        shared = headers(this_update, next_update, max_age)
        made = shared, with_etag(der, sha256(der).hexdigest()), self._at[said]
        if not self._full:
            self._keep(key, made, None if shrinks else next_update)
        return made

    def _keep(self, key: bytes, made: Rest, next_update: int | None) -> None:
        """Until its max-age begins to shrink; `next_update` None: for this second."""
        size = len(key) + len(made[1]) + _OVERHEAD
        if self._kept_bytes + self._brief_bytes + size > KEPT_BYTES:
            self._full = True  # until `tick` lets it begin anew
        elif next_update is None:
            self._brief[key] = made
            self._brief_bytes += size
        else:
            self._kept[key] = made
            self._kept_bytes += size
            self._until = min(self._until, next_update - self._max_age)

    def _forget(self) -> None:
        self._forgot, self._full = self._epoch, False
        self._kept, self._kept_bytes, self._until = {}, 0, _FOR_EVER
        self._brief, self._brief_bytes = {}, 0


def _generation_of(mounts: Mounts) -> Callable[[], object]:
    shelves = [mount.shelf for mount in mounts.all if mount.shelf is not None]
    if not shelves:
        return lambda: None
    if len(shelves) == 1:
        shelf = shelves[0]
        return lambda: shelf.generation
    return lambda: [shelf.generation for shelf in shelves]
