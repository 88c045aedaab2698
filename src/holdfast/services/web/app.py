"""The web page's addresses, and what every answer of it carries.

    /  POST /check  /r/ID  /r/ID.json  /r/ID/events  /host?target=  /host.json?target=
    /api/check?target=  /keeper  /keeper.json  POST /keeper/refresh  /static/...  /healthz

Laws: nothing is loaded from elsewhere and nothing inline (the Content-Security-Policy); GET changes
nothing but may look, and never for another site's page; what is read of a request is bounded in
bytes and time.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from aiohttp import web

from holdfast.errors import HoldfastError, OperatorError, Unavailable
from holdfast.plan.report import SCHEMA
from holdfast.plan.target import Target
from holdfast.services.web.access import Access, Asker, from_elsewhere
from holdfast.services.web.answer import Answer
from holdfast.services.web.beside import Beside
from holdfast.services.web.checks import Check, Checks, host_of
from holdfast.services.web.history import Checked, History
from holdfast.services.web.keeper_view import View, shown
from holdfast.services.web.limits import Buckets, client_of
from holdfast.services.web.pages import Pages, Part

MAX_FORM = 4096  # bytes
MAX_TARGET = 300  # characters
FORM_WITHIN = 10.0  # seconds
GROWS_AT_MOST = 0.25  # seconds between two pieces of a growing answer
STILL_THERE = (
    10.0  # seconds; an event stream that is silent for longer is taken for dead by proxies
)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    # same-origin, not no-referrer: browsers send "Origin: null" with forms of the latter
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

_log = logging.getLogger("holdfast.web")
_Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What the pages stand on. `spoke`: is called with the transport of each whole request."""

    checks: Checks
    history: History
    access: Access
    checks_left: Buckets
    pages_left: Buckets
    now: Callable[[], datetime]
    keeper: Beside | None = None
    spoke: Callable[[asyncio.BaseTransport | None], None] = lambda _transport: None


class Desk:
    """Answers every request of `application`."""

    def __init__(self, site: Site) -> None:
        self._site, self._pages = site, Pages(keeper=site.keeper is not None)
        self._drawn: WeakKeyDictionary[Check, tuple[int, list[Part]]] = WeakKeyDictionary()
        self.application = web.Application(middlewares=[self._around], client_max_size=MAX_FORM)
        routes = [
            web.get("/", self._home),
            web.post("/check", self._begin),
            web.get("/r/{id:[A-Za-z0-9_-]{16}}", self._check),
            web.get("/r/{id:[A-Za-z0-9_-]{16}}.json", self._check_json),
            web.get("/r/{id:[A-Za-z0-9_-]{16}}/events", self._events),
            web.get("/host", self._host),
            web.get("/host.json", self._host_json),
            web.get("/api/check", self._api),
            web.get("/static/{name}", self._static),
            web.get("/robots.txt", _robots),
            web.get("/healthz", _healthz),
        ]
        if site.keeper is not None:
            routes += [
                web.get("/keeper", self._keeper),
                web.get("/keeper.json", self._keeper_json),
                web.post("/keeper/refresh", self._refresh),
            ]
        self.application.add_routes(routes)

    # -- around every request ---------------------------------------------------------------

    @web.middleware
    async def _around(self, request: web.Request, handler: _Next) -> web.StreamResponse:
        self._site.spoke(request.transport)
        wait = self._site.pages_left.take(client_of(self._client(request)))
        try:
            if wait:
                raise _Refused(429, "Too many requests", f"Wait {wait:.0f} s.", retry_after=wait)
            return await handler(request)
        except _Refused as refused:
            return self._refusal(request, refused)
        except web.HTTPException as error:
            text = {404: "There is no such page.", 405: "That cannot be done here."}
            said = text.get(error.status, error.reason)
            allowed = error.headers.get("Allow")
            answer = self._refusal(request, _Refused(error.status, error.reason, said))
            if allowed is not None:
                answer.headers["Allow"] = allowed
            return answer
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            _log.exception("a bug: %s %s", request.method, request.path)
            return self._refusal(request, _Refused(500, "A bug", "The log of the page says more."))

    def _refusal(self, request: web.Request, refused: _Refused) -> web.Response:
        if request.path.endswith(".json") or request.path.startswith("/api/"):
            told = {"error": {"message": refused.text, "hint": refused.hint}}
            answer = _json(told, status=refused.status)
        else:
            page = self._pages.page(
                "message", heading=refused.heading, text=refused.text, hint=refused.hint, back=""
            )
            answer = _html(page, status=refused.status)
        if refused.retry_after:
            answer.headers["Retry-After"] = str(int(refused.retry_after) + 1)
        return answer

    def _client(self, request: web.Request) -> str:
        return self._site.access.client(_asker(request))

    # -- checks -----------------------------------------------------------------------------

    async def _home(self, request: web.Request) -> web.Response:
        target = request.query.get("target", "")[:MAX_TARGET]
        return _html(self._pages.page("home", target=target, here="check"))

    async def _begin(self, request: web.Request) -> web.Response:
        form = await _form(request)
        text = form.get("target", "").strip()
        try:
            check = self._begun(request, text)
        except OperatorError as error:
            page = self._pages.page(
                "home", target=text, problem=error.message, hint=error.hint, here="check"
            )
            return _html(page, status=400)
        return _see(f"/r/{check.id}")

    def _begun(self, request: web.Request, text: str) -> Check:
        """The check that answers a wish for `text`: a new one, or one that is as good."""
        if from_elsewhere(request.headers):
            said = "A page of another site asked for this check."
            raise _Refused(403, "Not checked", said, hint="Enter the host here.")
        if len(text) > MAX_TARGET:
            raise OperatorError("that is longer than any host name", hint="write one host")
        target = Target.parse(text)
        site = self._site
        if (joined := site.checks.joined(target)) is not None:
            return joined
        if wait := site.checks_left.take(client_of(self._client(request))):
            said = f"You may begin another check in {wait:.0f} s."
            raise _Refused(429, "Not yet", said, retry_after=wait)
        try:
            return site.checks.begin(target)
        except Unavailable as error:
            raise _Refused(
                503, "Busy", error.message, hint=error.hint, retry_after=error.retry_after or 15
            ) from error

    async def _found(self, request: web.Request) -> tuple[Checked, Check | None]:
        identity = request.match_info["id"]
        live = self._site.checks.live(identity)
        if live is not None:
            return live.checked(), live
        checked = await self._site.history.find(identity)
        if checked is None:
            said = "No check of that name is remembered: the oldest are forgotten."
            raise _Refused(404, "Not found", said, hint="Check the host again.")
        return checked, None

    async def _check(self, request: web.Request) -> web.Response:
        checked, live = await self._found(request)
        running = live is not None and not live.ended
        return _html(self._pages.check(Answer.of(checked, running=running)))

    async def _check_json(self, request: web.Request) -> web.Response:
        checked, live = await self._found(request)
        running = live is not None and not live.ended
        return _json(document(checked, running=running), status=202 if running else 200)

    async def _api(self, request: web.Request) -> web.Response:
        try:
            check = self._begun(request, request.query.get("target", "").strip())
        except OperatorError as error:
            told = _Refused(400, "Not a target", error.message, hint=error.hint)
            raise told from error
        while not check.ended:
            await check.grown(check.version, timeout=STILL_THERE)
        return _json(document(check.checked(), running=False))

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """The sections of an answer, each when it has changed, until the check has ended."""
        checked, live = await self._found(request)
        stream = web.StreamResponse(headers={**HEADERS, "Cache-Control": "no-store"})
        stream.content_type = "text/event-stream"
        await stream.prepare(request)
        sent: dict[str, str] = {}
        while True:
            version, running = (live.version, not live.ended) if live is not None else (0, False)
            answer = Answer.of(live.checked() if live is not None else checked, running=running)
            for part in self._parts(answer, live):
                if sent.get(part.name) != part.html:
                    sent[part.name] = part.html
                    await _event(stream, "part", {"name": part.name, "html": part.html})
            if not running or live is None:
                await _event(stream, "end", {"title": f"{answer.word}: {answer.host} - holdfast"})
                return stream
            await asyncio.sleep(GROWS_AT_MOST)
            await live.grown(version, timeout=STILL_THERE)
            if live.version == version:
                await stream.write(b": still looking\n\n")

    def _parts(self, answer: Answer, live: Check | None) -> list[Part]:
        """Drawn once for each piece that was added, however many watch."""
        if live is None:
            return self._pages.parts(answer)
        version = live.version
        known = self._drawn.get(live)
        if known is None or known[0] != version:
            known = self._drawn[live] = (version, self._pages.parts(answer))
        return known[1]

    # -- histories --------------------------------------------------------------------------

    def _asked_host(self, request: web.Request) -> str:
        try:
            return host_of(Target.parse(request.query.get("target", "")[:MAX_TARGET]))
        except OperatorError as error:
            raise _Refused(400, "Not a host", error.message, hint=error.hint) from error

    async def _host(self, request: web.Request) -> web.Response:
        host = self._asked_host(request)
        points = await self._site.history.of(host)
        return _html(self._pages.host(host, points, self._site.now()))

    async def _host_json(self, request: web.Request) -> web.Response:
        host = self._asked_host(request)
        points = await self._site.history.of(host)
        told = {"schema": "holdfast.history/1", "host": host}
        return _json({**told, "checks": [point.as_json() for point in points]})

    # -- the keeper beside ------------------------------------------------------------------

    async def _keeper(self, request: web.Request) -> web.Response:
        keeper, access = self._site.keeper, self._site.access
        assert keeper is not None
        values: dict[str, Any] = {"absent": None, "trouble": 0, "here": "keeper"}
        values |= {"said": "The responder is being asked." if "said" in request.query else ""}
        values |= {"wants_token": access.wants_token}
        try:
            status = await keeper.status()
        except HoldfastError as error:
            return _html(self._pages.page("keeper", **{**values, "absent": error}), status=503)
        at, view = self._site.now(), View.of(request.query)
        seen = await asyncio.to_thread(shown, status, view, at)
        return _html(self._pages.page("keeper", **{**values, **seen}))

    async def _keeper_json(self, request: web.Request) -> web.Response:
        assert self._site.keeper is not None
        try:
            return _json(await self._site.keeper.status())
        except HoldfastError as error:
            raise _Refused(503, "No keeper", error.message, hint=error.hint) from error

    async def _refresh(self, request: web.Request) -> web.Response:
        keeper, form = self._site.keeper, await _form(request)
        assert keeper is not None
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        given = bearer.strip() if scheme.lower() == "bearer" else form.get("token", "")
        why = self._site.access.refusal(_asker(request), given)
        if why:
            raise _Refused(403, "Not refreshed", f"Not refreshed: {why}.")
        try:
            names = await keeper.refresh(form.get("name") or None)
        except HoldfastError as error:
            raise _Refused(503, "Not refreshed", error.message, hint=error.hint) from error
        _log.info("refresh of %d certificates, asked by %s", len(names), self._client(request))
        return _see("/keeper?said=refreshing")

    # -- files ------------------------------------------------------------------------------

    async def _static(self, request: web.Request) -> web.Response:
        file = self._pages.static.get(request.match_info["name"])
        if file is None:
            raise web.HTTPNotFound
        kept = {"Cache-Control": "public, max-age=31536000, immutable"}
        return web.Response(
            body=file.body, content_type=file.type, charset="utf-8", headers={**HEADERS, **kept}
        )


class _Refused(Exception):
    """An answer that says why not."""

    def __init__(
        self, status: int, heading: str, text: str, *, hint: str = "", retry_after: float = 0
    ) -> None:
        super().__init__(text)
        self.status, self.heading, self.text = status, heading, text
        self.hint, self.retry_after = hint, retry_after


def document(checked: Checked, *, running: bool) -> dict[str, Any]:
    """The holdfast.check/1 document of one check, with what the page knows beside it."""
    told = {"id": checked.id, "at": f"{checked.at:%Y-%m-%dT%H:%M:%SZ}", "cut": checked.cut or None}
    return {"schema": SCHEMA, "running": running, **told, "reports": [checked.document]}


def _asker(request: web.Request) -> Asker:
    return Asker(peer=request.remote or "", headers=request.headers)


async def _form(request: web.Request) -> Mapping[str, str]:
    try:
        async with asyncio.timeout(FORM_WITHIN):
            form = await request.post()
    except TimeoutError as error:
        raise _Refused(408, "Too slow", "The form did not arrive in time.") from error
    except ValueError as error:
        raise _Refused(400, "Not a form", "The form cannot be read.") from error
    return {name: value for name, value in form.items() if isinstance(value, str)}


async def _event(stream: web.StreamResponse, name: str, data: Mapping[str, object]) -> None:
    await stream.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())


def _see(place: str) -> web.Response:
    """Go on to a page of ours."""
    return web.Response(status=303, headers={**HEADERS, "Location": place})


def _html(text: str, *, status: int = 200) -> web.Response:
    return web.Response(
        text=text,
        status=status,
        content_type="text/html",
        headers={**HEADERS, "Cache-Control": "no-store"},
    )


def _json(value: object, *, status: int = 200) -> web.Response:
    return web.Response(
        text=json.dumps(value, indent=2) + "\n",
        status=status,
        content_type="application/json",
        headers={**HEADERS, "Cache-Control": "no-store"},
    )


async def _robots(_request: web.Request) -> web.Response:
    return web.Response(text="User-agent: *\nDisallow: /\n", headers=HEADERS)


async def _healthz(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n", headers=HEADERS)
