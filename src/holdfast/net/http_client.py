"""One HTTP request at a time, to hosts that may be hostile.

Laws: the address policy is asked at every hop (K25); a total deadline ends a slow drip; at most
`max_bytes` of a body are read; at most three redirects, never from https to http; no cookies, no
decompression, no environment unless asked. Any HTTP status is an answer; everything else is
`Unavailable` with a stable failure class. No retries, which are the planner's, but of what a kept
connection's end has spoiled.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING

from holdfast.errors import Unavailable
from holdfast.net.dial import OPERATOR, AddressPolicy
from holdfast.net.http_answer import HttpAnswer
from holdfast.net.http_pool import Pool, proxy_fields
from holdfast.net.http_urls import (
    Url,
    checked_url,
    environment_proxy,
    proxy_url,
    redirect_target,
)
from holdfast.net.timeline import Stopwatch
from holdfast.version import __version__

if TYPE_CHECKING:
    import ssl

MAX_BODY = 64 * 1024  # bytes (K15); the largest real OCSP response, ML-DSA with two certs, is 30 KB
MAX_REDIRECTS = 3
DEADLINE = 10.0  # seconds
AGENT = f"holdfast/{__version__}"


class Http:
    """An HTTP client; keeps connections. Close it, or use it as an async context manager."""

    def __init__(
        self,
        *,
        policy: AddressPolicy = OPERATOR,
        proxy: str | None = None,
        proxy_from_environment: bool = False,
        timeout: float = DEADLINE,
        max_bytes: int = MAX_BODY,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`proxy`: `http://host:port`, for every request; the operator's, so its address may be
        private whatever `policy` says. `proxy_from_environment`: http_proxy and no_proxy."""
        self._policy = policy
        self._pool = Pool(policy=policy, tls=tls, agent=AGENT)
        self._proxy = None if proxy is None else proxy_url(proxy)
        self._proxy_from_environment = proxy_from_environment
        self._timeout = timeout
        self._max_bytes = max_bytes

    async def __aenter__(self) -> Http:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End every kept connection."""
        self._pool.close()
        await asyncio.sleep(0)  # for the transports to end in

    async def get(
        self, url: str, *, headers: Iterable[tuple[str, str]] = (), timeout: float | None = None
    ) -> HttpAnswer:
        return await self.request("GET", url, headers=headers, timeout=timeout)

    async def post(
        self,
        url: str,
        body: bytes,
        *,
        headers: Iterable[tuple[str, str]] = (),
        timeout: float | None = None,
    ) -> HttpAnswer:
        return await self.request("POST", url, body, headers=headers, timeout=timeout)

    async def request(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        *,
        headers: Iterable[tuple[str, str]] = (),
        timeout: float | None = None,
    ) -> HttpAnswer:
        """Ask `url`, following redirects. `timeout` seconds bound it all.

        Raises `Unavailable` with the failure bad-url, dns, refused, timeout, unreachable,
        address-refused, tls, reset, not-http, truncated, oversized, redirect or proxy.
        """
        seconds = self._timeout if timeout is None else timeout
        watch = Stopwatch()
        fields = tuple(headers)
        redirects: list[str] = []
        try:
            async with asyncio.timeout(seconds):
                while True:
                    answer = await self._hop(
                        method,
                        url,
                        body=body,
                        headers=fields,
                        watch=watch,
                        redirects=tuple(redirects),
                    )
                    target = redirect_target(method, answer)
                    if target is None:
                        return answer
                    redirects.append(url)
                    if len(redirects) > MAX_REDIRECTS:
                        raise Unavailable(
                            f"{redirects[0]}: more than {MAX_REDIRECTS} redirects",
                            failure="redirect",
                        )
                    url = target
        except TimeoutError as error:
            reached = next(reversed(watch.timeline.stages()), ("nothing", 0.0))[0]
            raise Unavailable(
                f"{url}: no complete answer within {seconds:g} s (reached: {reached})",
                failure="timeout",
            ) from error

    async def _hop(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None,
        headers: tuple[tuple[str, str], ...],
        watch: Stopwatch,
        redirects: tuple[str, ...],
    ) -> HttpAnswer:
        target = checked_url(url)
        proxy = self._proxy_for(target)
        self._screen_literal(target)
        request = _request(method, target, proxy, body, headers)
        fresh = False
        while True:
            watch.next_hop()
            try:
                answer = await self._exchange(
                    request, target, proxy=proxy, watch=watch, redirects=redirects, fresh=fresh
                )
                if answer.status != 408 or not watch.reused:  # 408: too idle (RFC 9110 15.5.9)
                    return answer
            except Unavailable as error:
                # A kept connection that the server has closed meanwhile tells nothing about it,
                # nor does what was left over in it.
                if not (watch.reused and error.failure in ("reset", "not-http")):
                    raise
            fresh = True

    async def _exchange(
        self,
        request: bytes,
        target: Url,
        *,
        proxy: Url | None,
        watch: Stopwatch,
        redirects: tuple[str, ...],
        fresh: bool,
    ) -> HttpAnswer:
        async with self._pool.line(
            target, proxy, watch=watch, timeout=self._timeout, fresh=fresh
        ) as line:
            said = await line.exchange(
                request, url=str(target), watch=watch, max_bytes=self._max_bytes
            )
            return HttpAnswer(
                status=said.status,
                headers=said.headers,
                body=said.body,
                url=str(target),
                redirects=redirects,
                address=line.address,
                timeline=watch.timeline,
            )

    def _proxy_for(self, target: Url) -> Url | None:
        if self._proxy is not None:
            return self._proxy
        if not self._proxy_from_environment:
            return None
        return environment_proxy(target.scheme, target.host)

    def _screen_literal(self, target: Url) -> None:
        """Also of what a proxy is asked for, and as resolvers read it: 127.1, 0x7f000001."""
        host = target.host.rstrip(".")
        try:
            ipaddress.ip_address(host)
        except ValueError:
            try:
                host = socket.inet_ntoa(socket.inet_aton(host))
            except OSError:
                return  # a name
        reason = self._policy.refuses(host)
        if reason is not None:
            raise Unavailable(
                f"{target.host}: not dialled, it is {reason}", failure="address-refused"
            )


def _request(
    method: str,
    target: Url,
    proxy: Url | None,
    body: bytes | None,
    headers: tuple[tuple[str, str], ...],
) -> bytes:
    """The whole request; a proxy is asked for http by the absolute form (RFC 9112 3.2.2)."""
    for name, value in headers:  # an ETag, for one, is what a server has said
        if not all(character == "\t" or " " <= character <= "\xff" for character in value):
            raise Unavailable(f"{target}: {name} {value!r} cannot be sent", failure="bad-url")
    through = proxy if proxy is not None and target.scheme == "http" else None
    lines = [
        f"{method} {target.target if through is None else target} HTTP/1.1",
        f"Host: {target.authority}",
        f"User-Agent: {AGENT}",
        "Accept-Encoding: identity",
        *(f"{name}: {value}" for name, value in headers),
    ]
    if through is not None:
        lines += proxy_fields(through)
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")
