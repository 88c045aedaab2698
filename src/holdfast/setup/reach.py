"""Whether a responder can be reached from here, and what stands in the way when it cannot.

Laws: it is asked for real, step by step (proxy, name, connection, HTTP, OCSP, verification), so
that each obstacle is told apart from the others; every step has the deadline; what comes is judged
by `verify` and by nothing else. Requests are those that servers make: http, a SHA-1 CertID, no
nonce (RFC 6960 A, RFC 9919).
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from holdfast.errors import Malformed, OperatorError, Unavailable
from holdfast.net import dial
from holdfast.net.dial import OPERATOR, AddressPolicy
from holdfast.net.http_answer import HttpAnswer
from holdfast.net.http_client import DEADLINE, Http
from holdfast.net.http_urls import Url, checked_url, environment_proxy, proxy_url
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.findings import Severity
from holdfast.ocsp.http import REQUEST_TYPE, RESPONSE_TYPE, get_url
from holdfast.ocsp.policy import STRICT, Policy
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import Response, ResponseStatus
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import Good, Revoked
from holdfast.ocsp.verify import examine, verify
from holdfast.setup.reach_words import BROKEN, REFUSED
from holdfast.setup.words import Place, Trouble

_ASKED_BY_POST = (("Accept", RESPONSE_TYPE), ("Content-Type", REQUEST_TYPE))
_POST_MAY_HELP = {"responder-http-4xx", "responder-web-page", "responder-not-ocsp"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """What came of asking `url`. `staple`: the verified response, also where it says revoked, which
    is a trouble. `proxy`: through which it was asked. `notes`: troubles that do not stand in the
    way."""

    url: str
    trouble: Trouble | None = None
    staple: Staple | None = None
    proxy: str = ""
    notes: tuple[Trouble, ...] = ()

    @property
    def response(self) -> bytes | None:
        """The verified response, DER."""
        return None if self.staple is None else self.staple.der


class _Told(Exception):
    """A step that failed, on its way out."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.message)
        self.trouble = trouble


async def reach(
    url: str,
    subject: Subject,
    *,
    at: datetime,
    place: Place | None = None,
    proxy: str | None = None,
    environment: bool = True,
    https: bool = False,
    timeout: float = DEADLINE,
    addresses: AddressPolicy = OPERATOR,
    policy: Policy = STRICT,
) -> Reached:
    """Ask the responder at `url` about `subject` and judge its answer at the instant `at`.

    `place`: whose line troubles name. `proxy`: `http://host:port`; without one and with
    `environment`, http_proxy, https_proxy and no_proxy. `https`: who is going to ask speaks https,
    which the keeper does and no server does. `timeout` seconds bound each step.
    """
    asking = _Asking(url, subject, place, timeout, addresses)
    try:
        target = asking.target(https=https)
        way = asking.way(target, proxy, environment=environment)
        if way is None:
            await asking.dialled(target)
        else:
            await asking.proxy_dialled(way)
        async with Http(
            policy=addresses, proxy=None if way is None else str(way), timeout=timeout
        ) as http:
            response = await asking.asked(http, way)
        staple, trouble = asking.judged(response, at, policy)
    except _Told as told:
        return Reached(url=url, trouble=told.trouble, proxy=asking.proxy)
    return Reached(
        url=url, trouble=trouble, staple=staple, proxy=asking.proxy, notes=asking.notes(proxy)
    )


async def reach_any(
    urls: Sequence[str],
    subject: Subject,
    *,
    at: datetime,
    place: Place | None = None,
    proxy: str | None = None,
    https: bool = False,
    timeout: float = DEADLINE,
) -> Reached | None:
    """The first of `urls` that answers well, else what came of the first; None without any."""
    first: Reached | None = None
    for url in urls:
        reached = await reach(
            url, subject, at=at, place=place, proxy=proxy, https=https, timeout=timeout
        )
        if reached.trouble is None:
            return reached
        first = first or reached
    return first


class _Asking:
    def __init__(
        self,
        url: str,
        subject: Subject,
        place: Place | None,
        timeout: float,
        addresses: AddressPolicy,
    ) -> None:
        self._url = url
        self._subject = subject
        self._place = place
        self._timeout = timeout
        self._addresses = addresses
        self.proxy = ""

    def told(self, code: str, message: str, hint: str, *, said: str = "") -> _Told:
        return _Told(self._trouble(code, message, hint, said=said))

    def _trouble(self, code: str, message: str, hint: str, *, said: str = "") -> Trouble:
        return Trouble(
            code=f"responder-{code}",
            message=f"{self._subject.name}: {message}",
            hint=hint,
            place=self._place,
            fatal=True,
            said=said,
        )

    # -- before anything is sent -----------------------------------------------------------------

    def target(self, *, https: bool) -> Url:
        try:
            target = checked_url(self._url)
        except Unavailable as error:
            raise self.told(
                "bad-url",
                f"the responder's address in the certificate is unusable: {error.message}",
                "tell the CA; until it issues a right one, name its responder in the keeper's "
                "settings (responder_urls) and use --mode keeper",
            ) from error
        if target.scheme == "https" and not https:
            raise self.told(
                "tls-only",
                f"the responder's address is https ({self._url}), which Apache, nginx and HAProxy "
                "do not ask: they speak http with responders",
                "use --mode keeper: the keeper asks https responders; or see whether the CA "
                "answers at the same address by http",
            )
        return target

    def way(self, target: Url, proxy: str | None, *, environment: bool) -> Url | None:
        """The proxy to go through, if any."""
        try:
            if proxy is not None:
                way: Url | None = proxy_url(proxy)
            else:
                way = environment_proxy(target.scheme, target.host or "") if environment else None
        except OperatorError as error:
            raise self.told("proxy-bad-url", error.message, error.hint) from error
        self.proxy = "" if way is None else _without_password(way)
        return way

    # -- the connection --------------------------------------------------------------------------

    async def dialled(self, target: Url) -> None:
        """One connection to the responder, given up at once."""
        host, port = target.host or "", target.port or 80
        try:
            addresses = await dial.resolve(
                host, port, policy=self._addresses, timeout=self._timeout
            )
            connection = await dial.connect(
                host, port, policy=self._addresses, timeout=self._timeout, addresses=addresses
            )
        except Unavailable as error:
            raise self._unconnected(error, host, port) from error
        connection.sock.close()

    def _unconnected(self, error: Unavailable, host: str, port: int) -> _Told:
        there = f"{host}:{port}"
        match error.failure:
            case "dns":
                return self._unresolved(error, host)
            case "refused":
                return self.told(
                    "refused",
                    f"the responder {self._url} refuses connections: {error.message}",
                    f"nothing listens at {there}: is that still the CA's responder, and does it "
                    "run? A firewall that rejects looks the same",
                )
            case "timeout":
                return self.told(
                    "timeout",
                    f"the responder {self._url} cannot be connected to: {error.message}",
                    f"a firewall drops the packets, or the responder is down: open outbound TCP to "
                    f"{there}, or give the HTTP proxy of this network with --proxy",
                )
            case "address-refused":
                return self.told(
                    "address-refused",
                    f"the responder {self._url} has an address that is not dialled: "
                    f"{error.message}",
                    "the name leads to a place where no responder is: look at the resolver, and at "
                    "the hosts file of this machine",
                )
        return self.told(
            "unreachable",
            f"there is no way to the responder {self._url}: {error.message}",
            "look at this machine's routes (ip route get ADDRESS), at IPv6, and at firewalls that "
            "answer unreachable",
        )

    def _unresolved(self, error: Unavailable, host: str) -> _Told:
        cause = error.__cause__
        silent = isinstance(cause, TimeoutError) or (
            isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_AGAIN
        )
        if silent:
            return self.told(
                "resolver-silent",
                f"this machine's DNS resolver does not answer for the responder's name: "
                f"{error.message}",
                "look at /etc/resolv.conf, and whether outbound port 53 is open; behind an HTTP "
                "proxy that resolves by itself give it with --proxy",
            )
        return self.told(
            "name-not-found",
            f"the responder's name is not known to DNS: {error.message}",
            f"look it up by hand (getent hosts {host}); the CA may have ended its responder, or "
            "only your internal resolver knows the name",
        )

    async def proxy_dialled(self, way: Url) -> None:
        """One connection to the proxy, given up at once; it is the operator's own."""
        host, port = way.host or "", way.port or 80
        try:
            connection = await dial.connect(host, port, timeout=self._timeout)
        except Unavailable as error:
            source = "look at --proxy, http_proxy and no_proxy"
            if error.failure == "dns":
                hint = f"its name is unknown to DNS: {source}"
            elif error.failure == "timeout":
                hint = f"a firewall stands before it, or it is down: {source}"
            else:
                hint = f"is it running, and is that its port? {source}"
            raise self.told(
                "proxy-unreachable",
                f"the HTTP proxy {self.proxy} on the way to {self._url} cannot be reached: "
                f"{error.message}",
                hint,
            ) from error
        connection.sock.close()

    # -- the question ----------------------------------------------------------------------------

    async def asked(self, http: Http, way: Url | None) -> Response:
        """The answer: a successful OCSP response, unverified."""
        request = Request.build(self._subject.certid).encode()
        get = get_url(self._url, request)
        if get is not None:
            try:
                return self._read(await self._exchanged(http, get, None), way)
            except _Told as told:
                if told.trouble.code not in _POST_MAY_HELP:
                    raise
        return self._read(await self._exchanged(http, self._url, request), way)

    async def _exchanged(self, http: Http, url: str, request: bytes | None) -> HttpAnswer:
        try:
            if request is None:
                return await http.get(url, headers=_ASKED_BY_POST[:1])
            return await http.post(url, request, headers=_ASKED_BY_POST)
        except Unavailable as error:
            message = error.message.replace(url, self._url)
            code, hint = BROKEN.get(error.failure, BROKEN[""])
            raise self.told(code, f"the responder was reached, but {message}", hint) from error

    def _read(self, answer: HttpAnswer, way: Url | None) -> Response:
        if answer.status == 407 or (way is not None and answer.status in (401, 403)):
            raise self.told(
                "proxy-refused",
                f"the HTTP proxy {self.proxy or 'on the way'} does not let this machine through to "
                f"{self._url} (HTTP status {answer.status})",
                "it wants a login: http://user:password@host:port with --proxy; or have it let "
                "this address through without one",
            )
        if answer.status != 200:
            kind = f"http-{answer.status // 100}xx"
            raise self.told(
                kind,
                f"the responder {self._url} answers with HTTP status {answer.status}",
                "it is in trouble: try again later, and tell the CA if it stays"
                if answer.status >= 500
                else "the address may be out of date, or a proxy or firewall answers in its place",
            )
        try:
            response = Response.parse(answer.body)
        except Malformed as error:
            raise self._not_ocsp(answer, error) from error
        self._refuse(response.response_status)
        return response

    def _not_ocsp(self, answer: HttpAnswer, error: Malformed) -> _Told:
        start = answer.body[:256].lstrip().lower()
        if start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")):
            return self.told(
                "web-page",
                f"a web page came in the place of an OCSP response from {self._url}",
                "a captive portal, proxy or firewall answers instead of the responder: open it "
                f"with a browser or curl {self._url} and see who it is",
            )
        what = "an empty body" if not answer.body else f"no OCSP response ({error.message})"
        return self.told(
            "not-ocsp",
            f"{what} came from {self._url}",
            "something between spoils it, or that is no responder: holdfast fetch shows the "
            "exchange; tell the CA if it is theirs",
        )

    def _refuse(self, status: ResponseStatus) -> None:
        if status is ResponseStatus.successful:
            return
        code, hint = REFUSED[status]
        raise self.told(code, f"the responder {self._url} answers {status.name}", hint)

    # -- the answer ------------------------------------------------------------------------------

    def judged(
        self, response: Response, at: datetime, policy: Policy
    ) -> tuple[Staple, Trouble | None]:
        verdict = examine(response, self._subject, at=at, policy=policy)
        if not verdict.valid:
            worst = verdict.worst
            assert worst is not None
            raise self.told(
                "response-rejected",
                f"the response from {self._url} is not fit to be a staple: {worst.message}",
                worst.hint or "tell the CA; holdfast fetch shows the response",
                said=", ".join(
                    one.code for one in verdict.findings if one.severity >= Severity.FAULT
                ),
            )
        staple = verify(response, self._subject, at=at, policy=policy)
        match staple.certificate_status:
            case Good():
                return staple, None
            case Revoked(when, _):
                return staple, self._trouble(
                    "says-revoked",
                    f"the responder {self._url} says that the certificate was revoked at "
                    f"{when:%Y-%m-%d %H:%M} UTC",
                    "get a new certificate, with a new key: clients refuse this one",
                )
        return staple, self._trouble(
            "says-unknown",
            f"the responder {self._url} does not know the certificate",
            "a new certificate may take its CA minutes to tell its responder: try again; else "
            "the issuer that was given is another one of the same name",
        )

    def notes(self, proxy: str | None) -> tuple[Trouble, ...]:
        if not self.proxy:
            return ()
        source = "--proxy" if proxy is not None else "the environment"
        return (
            Trouble(
                code="responder-through-proxy",
                message=f"{self._subject.name}: {self._url} was asked through the HTTP proxy "
                f"{self.proxy} ({source}): servers do not use the environment's proxy",
                hint="use --mode keeper, whose settings have `proxy`; of the servers only Apache "
                "can be given one (SSLOCSPProxyURL)",
                place=self._place,
            ),
        )


def _without_password(way: Url) -> str:
    parts = urlsplit(str(way))
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}"
