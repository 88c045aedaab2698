"""One HTTP request at a time, to hosts that may be hostile.

Laws: the address policy is asked at every hop (K25); a total deadline ends a slow drip; at most
`max_bytes` of a body are read; at most three redirects, never from https to http; no cookies, no
decompression, no environment unless asked. Any HTTP status is an answer; everything else is
`Unavailable` with a stable failure class. No retries: those are the planner's.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Iterable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from holdfast.errors import Unavailable
from holdfast.net import dial
from holdfast.net.dial import OPERATOR, STAGGER, AddressPolicy
from holdfast.net.http_answer import HttpAnswer
from holdfast.net.http_urls import checked_url, environment_proxy, proxy_url, redirect_target
from holdfast.net.timeline import Stopwatch
from holdfast.version import __version__

MAX_BODY = 64 * 1024  # bytes (K15); the largest real OCSP response, ML-DSA with two certs, is 30 KB
MAX_REDIRECTS = 3
DEADLINE = 10.0  # seconds


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
        self._proxy = None if proxy is None else proxy_url(proxy)
        self._proxy_from_environment = proxy_from_environment
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._tls = tls
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> Http:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End every kept connection."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

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
        while True:
            watch.next_hop()
            try:
                return await self._exchange(
                    method,
                    target,
                    body=body,
                    headers=headers,
                    proxy=proxy,
                    watch=watch,
                    redirects=redirects,
                )
            except Unavailable as error:
                # A kept connection that the server has closed meanwhile tells nothing about it.
                if not (watch.reused and error.failure == "reset"):
                    raise

    async def _exchange(
        self,
        method: str,
        target: URL,
        *,
        body: bytes | None,
        headers: tuple[tuple[str, str], ...],
        proxy: URL | None,
        watch: Stopwatch,
        redirects: tuple[str, ...],
    ) -> HttpAnswer:
        url = str(target)
        try:
            async with self._session(proxied=proxy is not None).request(
                method,
                target,
                data=body,
                headers=headers,
                proxy=proxy,
                allow_redirects=False,
                trace_request_ctx=watch,
            ) as reply:
                watch.mark("first_byte")
                content = await self._body(url, reply)
                watch.mark("done")
                return HttpAnswer(
                    status=reply.status,
                    headers=tuple((str(k), str(v)) for k, v in reply.headers.items()),
                    body=content,
                    url=url,
                    redirects=redirects,
                    address=reply.peer if isinstance(reply, _Reply) else "",
                    timeline=watch.timeline,
                )
        except (aiohttp.ClientError, OSError, ValueError, AssertionError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise _classified(url, error) from error

    async def _body(self, url: str, reply: aiohttp.ClientResponse) -> bytes:
        content = bytearray()
        declared = reply.headers.get("Content-Length", "")
        too_large = declared.isdecimal() and int(declared[:20]) > self._max_bytes
        while not too_large:
            piece = await reply.content.readany()
            if not piece:
                return bytes(content)
            content += piece
            too_large = len(content) > self._max_bytes
        reply.close()
        raise Unavailable(
            f"{url}: the body is larger than {self._max_bytes} bytes", failure="oversized"
        )

    def _session(self, *, proxied: bool) -> aiohttp.ClientSession:
        session = self._sessions.get(proxied)
        if session is None:
            policy = OPERATOR if proxied else self._policy
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=_PolicyResolver(policy),
                    use_dns_cache=False,
                    happy_eyeballs_delay=STAGGER,
                    limit_per_host=16,
                    ssl=self._tls if self._tls is not None else True,
                ),
                response_class=_Reply,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                auto_decompress=False,
                trust_env=False,
                trace_configs=[_tracing()],
                headers={"User-Agent": f"holdfast/{__version__}", "Accept-Encoding": "identity"},
                skip_auto_headers=["Accept"],
                max_line_size=8190,
                max_field_size=8190,
            )
            self._sessions[proxied] = session
        return session

    def _proxy_for(self, target: URL) -> URL | None:
        if self._proxy is not None:
            return self._proxy
        if not self._proxy_from_environment:
            return None
        return environment_proxy(target.scheme, target.host or "")

    def _screen_literal(self, target: URL) -> None:
        """aiohttp does not ask its resolver about a host that is an address already."""
        host = target.host or ""
        with suppress(ValueError):
            ipaddress.ip_address(host)
            reason = self._policy.refuses(host)
            if reason is not None:
                raise Unavailable(f"{host}: not dialled, it is {reason}", failure="address-refused")


class _PolicyResolver(AbstractResolver):
    """Gives aiohttp only addresses that the policy passed; it connects to these very ones."""

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy = policy

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address.ip,
                port=port,
                family=address.family,
                proto=0,
                flags=0,
            )
            for address in await dial.resolve(host, port, policy=self._policy)
        ]

    async def close(self) -> None:
        pass


class _Reply(aiohttp.ClientResponse):
    """Remembers the peer, which is gone by the time a small body has been read."""

    peer = ""

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        transport = connection.transport
        peer = None if transport is None else transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            host = f"[{peer[0]}]" if ":" in str(peer[0]) else peer[0]
            self.peer = f"{host}:{peer[1]}"
        return await super().start(connection)


def _tracing() -> aiohttp.TraceConfig:
    """Marks on the `Stopwatch` that a request carries as its trace context."""
    tracing = aiohttp.TraceConfig()

    def marking(stage: str) -> Any:
        async def mark(_session: object, context: SimpleNamespace, _params: object) -> None:
            context.trace_request_ctx.mark(stage)

        return mark

    async def reused(_session: object, context: SimpleNamespace, _params: object) -> None:
        context.trace_request_ctx.reused = True

    tracing.on_dns_resolvehost_end.append(marking("dns"))
    tracing.on_connection_create_end.append(marking("connect"))
    tracing.on_connection_reuseconn.append(reused)
    tracing.on_request_headers_sent.append(marking("send"))
    tracing.on_request_chunk_sent.append(marking("send"))
    return tracing


def _classified(url: str, error: Exception) -> Unavailable:
    """What aiohttp's error means for the caller."""
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError() | ssl.SSLError():
            return Unavailable(f"{url}: TLS: {error}", failure="tls")
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return Unavailable(
                f"{url}: through the proxy: {error}",
                failure="proxy",
                hint="check the proxy setting",
            )
        case aiohttp.ClientConnectorError():
            said = error.os_error
            failure = dial.failure_class(said)
            if failure == "unreachable" and "Connect call failed" in str(said):
                failure = "refused" if "[Errno 111]" in str(said) else failure
            why = "connection refused" if failure == "refused" else dial.in_words(said)
            return Unavailable(f"{url}: {why}", failure=failure)
        case aiohttp.ClientPayloadError():
            return Unavailable(f"{url}: the body ends too early: {error}", failure="truncated")
        case aiohttp.ServerDisconnectedError():
            return Unavailable(f"{url}: closed the connection without an answer", failure="reset")
        case aiohttp.ClientResponseError():
            return Unavailable(f"{url}: does not speak HTTP: {error}", failure="not-http")
        case aiohttp.InvalidURL():
            return Unavailable(f"{url!r}: not a URL", failure="bad-url")
        case aiohttp.ClientOSError() | ConnectionError():
            return Unavailable(
                f"{url}: the connection broke: {error.strerror or error}", failure="reset"
            )
        case _:
            return Unavailable(f"{url}: {error or type(error).__name__}", failure="not-http")
