"""Plain requests answered from bytes to bytes, and replies kept to be given again.

Laws: a reply is kept only when it came from a shelf, only while nothing was committed there, and
only while every word of it stays true: one whose max-age shrinks, for its second alone. What is
kept is bounded in bytes. What is not plain is None: the general way reads it. R21, R24, R27.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from holdfast.ocsp.http import MAX_GET_URL
from holdfast.services.responder_live import Due, LiveReplies
from holdfast.services.responder_mounts import Mount, Mounts
from holdfast.services.responder_paths import PlainPaths, plain_request
from holdfast.services.responder_refusals import Refusals
from holdfast.services.responder_replies import headers, max_age_of, with_etag
from holdfast.services.responder_tally import Tally

KEPT_BYTES = 72 << 20  # of replies that are kept; 87,000 of those signed by P-256
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
        """The replies to what `get` and `post` could not tell from what is kept, in their order.
        Made together: each step for all of them at once finds its code and data still at hand."""
        if not self._full:  # what is kept is of this moment; what is not is of a later one at worst
            seen = self._generation()
            if seen != self._seen:
                self._forget()
                self._seen = seen
        mounts = {one[0] for one in due}
        if len(mounts) == 1:
            return self._of_mount(mounts.pop(), due)
        replies: list[bytes | None] = [None] * len(due)
        for mount in mounts:
            places = [place for place, one in enumerate(due) if one[0] is mount]
            made = self._of_mount(mount, [due[place] for place in places])
            for place, reply in zip(places, made, strict=True):
                replies[place] = reply
        return replies

    def get(self, line: bytes, peer: str, /) -> bytes | Due | None:
        found = self._kept.get(line) or self._brief.get(line)
        if found is not None and self._generation() != self._seen:
            self._forget()
            found = None
        if found is None:
            target = line[4:]
            mount = self._only or self._mounts.of(target)
            if mount is None or len(line) > MAX_GET_URL or target in self._pages:
                return None
            return mount, line, None, peer
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
            return mount, key, body, peer
        row = self._row
        row[found[2]] += 1
        row[self._post] += 1
        return found[0] + found[1]

    # -- below ------------------------------------------------------------------------------

    def _of_mount(self, mount: Mount, due: Sequence[Due]) -> list[bytes | None]:
        """The replies to requests of this mount alone."""
        asked = [one[2] for one in due]
        gets = asked.count(None)
        learnt = self._read(mount, due, asked) if gets else ()
        if mount.shelf is None:
            plain = [data for data in asked if data is not None]
            if len(plain) == len(due):
                return self._live.answers(mount, due, plain, self._epoch)
            return self._rest(mount, due, asked, [None] * len(due))
        held = mount.held_together(asked, self._epoch)
        replies: list[bytes | None] = []
        said: list[str] = []
        shared_by, shared, shrinks = (-1, -1), b"", False
        epoch, keeps = self._epoch, not self._full
        for one, found in zip(due, held, strict=True):
            if found is None:
                replies.append(None)
                continue
            der, begins, ends, says, digest = found
            said.append(says)
            if shared_by != (begins, ends):
                shared_by, shrinks = (begins, ends), ends - epoch <= self._max_age
                shared = headers(begins, ends, max_age_of(ends, epoch, self._max_age))
            own = with_etag(der, digest)
            replies.append(shared + own)
            if keeps:
                self._keep(one[1], (shared, own, self._at[says]), None if shrinks else ends)
                keeps = not self._full
        for place in learnt:
            if replies[place] is not None:
                self._paths.learn(due[place][1][4 + len(mount.prefix) :])
        for says in set(said):
            self._row[self._at[says]] += said.count(says)
        if len(said) == len(due):
            self._row[self._get] += gets
            self._row[self._post] += len(due) - gets
            return replies
        return self._rest(mount, due, asked, replies)

    def _read(self, mount: Mount, due: Sequence[Due], asked: list[bytes | None]) -> list[int]:
        """Put the DER of each GET into `asked`; the places of those whose path begins in a new
        way."""
        start = 4 + len(mount.prefix)
        places = [place for place, data in enumerate(asked) if data is None]
        paths = [due[place][1][start:] for place in places]
        learnt = []
        for place, path, data in zip(places, paths, self._paths.read_all(paths), strict=True):
            asked[place] = data
            if data is None:
                asked[place] = plain_request(path)
                learnt.append(place)
        return learnt

    def _rest(
        self,
        mount: Mount,
        due: Sequence[Due],
        asked: Sequence[bytes | None],
        replies: list[bytes | None],
    ) -> list[bytes | None]:
        """What no shelf has is answered live; what is not plain is left to the general way."""
        few = []
        for place, reply in enumerate(replies):
            if reply is not None:
                self._row[self._get if due[place][2] is None else self._post] += 1
            elif asked[place] is not None:
                few.append(place)
        made = self._live.answers(
            mount,
            [due[place] for place in few],
            [data for place in few if (data := asked[place]) is not None],
            self._epoch,
        )
        for place, reply in zip(few, made, strict=True):
            replies[place] = reply
        return replies

    def _keep(self, key: bytes, made: Rest, next_update: int | None) -> None:
        """Until its max-age begins to shrink; `next_update` None: for this second."""
        if key in self._kept or key in self._brief:
            return  # asked twice in one turn of the loop
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
