"""The OCSP responder: HTTP on one side, answers on the other. R20 to R27, RFC 6960 A, RFC 9919 6.

Laws: the path is never normalised (R24); an OCSP error is an HTTP 200 that nobody caches (R22),
as RFC 6960 A.2 has it; every other answer carries the caching headers that let a CDN do the work
(R21); an exception while answering is a bug, told once, and internalError.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from holdfast.errors import Malformed
from holdfast.net.http_message import Headers
from holdfast.net.http_server import Reply, Request, plain
from holdfast.ocsp.http import decode_get_path
from holdfast.ocsp.statuses import ResponseStatus
from holdfast.plan.answering import Answer, refusal
from holdfast.seams import Clock
from holdfast.services.responder_hot import HotReplies
from holdfast.services.responder_mounts import Answering, Mount, Mounts
from holdfast.services.responder_refusals import Refusals
from holdfast.services.responder_replies import cacheable_reply, max_age_of, uncacheable_reply
from holdfast.services.responder_tally import ANSWERED, Tally

__all__ = ["MAX_AGE", "Answering", "Page", "Responder"]

MAX_AGE = timedelta(hours=1)  # how long a cache may keep an answer: a revocation is seen by then
_ALLOW = ((b"Allow", b"GET, HEAD, POST"),)
_ALLOW_GET = ((b"Allow", b"GET, HEAD"),)

Page = Callable[[Request], Reply | Awaitable[Reply]]
"""What answers GET and HEAD of one path beside OCSP: metrics, health."""


class Responder:
    """An HTTP handler that answers OCSP under `prefix` (a path, "" for the root), or under each
    prefix of a mapping by its own `Answering`. `pages`: other paths, whole, by GET."""

    def __init__(
        self,
        answering: Answering | Mapping[str, Answering],
        *,
        clock: Clock,
        prefix: str = "",
        max_age: timedelta = MAX_AGE,
        pages: Mapping[str, Page] | None = None,
        tally: Tally | None = None,
    ) -> None:
        self.mounts = Mounts(answering if isinstance(answering, Mapping) else {prefix: answering})
        self.tally = Tally() if tally is None else tally
        self._clock = clock
        self._max_age = int(max_age.total_seconds())
        self._pages = {path.encode(): page for path, page in (pages or {}).items()}
        self._refusals = Refusals()
        self.hot = HotReplies(
            self.mounts,
            pages=self._pages,
            max_age=self._max_age,
            tally=self.tally,
            refusals=self._refusals,
        )
        """For `net.answer_server.AnswerServer`: plain requests, answered from bytes to bytes."""

    @property
    def answered(self) -> Counter[str]:
        """Answers given, by certificate_status or, for errors, response_status."""
        counted = self.tally.read()
        return Counter({name: counted[name] for name in ANSWERED if counted[name]})

    @property
    def path(self) -> str:
        """The shortest path it answers under, "" for the root."""
        return self.mounts.all[-1].prefix.decode()

    async def handle(self, request: Request) -> Reply:
        """Answer one HTTP request."""
        reply = self.respond(request)
        return reply if isinstance(reply, Reply) else await reply

    def respond(self, request: Request) -> Reply | Awaitable[Reply]:
        """The same, without a task where nothing has to be waited for."""
        path = request.path
        page = self._pages.get(path)
        match request.method:
            case "GET" | "HEAD" if page is not None:
                return page(request)
            case _ if page is not None:
                return self._refused(405, "this page is read by GET", _ALLOW_GET)
            case "POST":
                mount = self.mounts.of(path)
                if mount is None:
                    return self._refused(404, "no OCSP responder at this path")
                self.tally.count("post")
                return self._reply(request, mount, request.body)
            case "GET" | "HEAD":
                return self._get(request, path)
            case _:
                return self._refused(405, "OCSP is asked by GET or POST", _ALLOW)

    # -- below ------------------------------------------------------------------------------

    def _refused(self, status: int, why: str, headers: Headers = ()) -> Reply:
        self.tally.count("refused")
        return plain(status, why, headers=headers)

    def _get(self, request: Request, path: bytes) -> Reply | Awaitable[Reply]:
        mount = self.mounts.of(path)
        if mount is None:
            return self._refused(404, "no OCSP responder at this path")
        if not path[len(mount.prefix) :].strip(b"/"):
            return plain(200, "An OCSP responder: ask by GET or POST (RFC 6960 A.1).")
        self.tally.count("get")
        try:
            data = decode_get_path(path, mount.prefix)
        except Malformed as error:
            return self._said(refusal(ResponseStatus.malformedRequest, error.message), request)
        return self._reply(request, mount, data)

    def _reply(self, request: Request, mount: Mount, data: bytes) -> Reply | Awaitable[Reply]:
        try:
            held = mount.held_together((data,), int(self._clock.now().timestamp()))[0]
            if held is not None:
                self.tally.count(held[3])
                return self._cacheable(*held[:3], request)
            given = mount.answer_now(data)
        except Exception:
            return self._said(self._bug(data, request), request)
        if given is None:
            return self._later(request, mount, data)
        return self._said(given, request)

    async def _later(self, request: Request, mount: Mount, data: bytes) -> Reply:
        try:
            given = await mount.live.answer_bytes(data)
        except Exception:
            given = self._bug(data, request)
        return self._said(given, request)

    def _said(self, given: Answer, request: Request) -> Reply:
        self.tally.count("live")
        if given.response_status is not ResponseStatus.successful:
            self.tally.count(given.response_status.name)
            self._refusals.tell(given, method=request.method, peer=request.peer)
            return uncacheable_reply(given.der)
        for single in given.singles:
            self.tally.count(single.certificate_status.text)
        if given.nonced or given.next_update is None or given.this_update is None:
            return uncacheable_reply(given.der)
        begins, ends = int(given.this_update.timestamp()), int(given.next_update.timestamp())
        return self._cacheable(given.der, begins, ends, request)

    def _cacheable(self, der: bytes, begins: int, ends: int, request: Request) -> Reply:
        max_age = max_age_of(ends, int(self._clock.now().timestamp()), self._max_age)
        conditional = request.method in ("GET", "HEAD")  # RFC 9110 13.1.2
        unless = request.header(b"if-none-match") if conditional else None
        reply = cacheable_reply(der, begins, ends, max_age, unless)
        if reply.status == 304:
            self.tally.count("not_modified")
        return reply

    def _bug(self, data: bytes, request: Request) -> Answer:
        self.tally.count("bugs")
        self._refusals.bug(data, method=request.method, peer=request.peer)
        return refusal(ResponseStatus.internalError, "a bug, see the traceback")
