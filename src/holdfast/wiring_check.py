"""The checker's objects put together: responders and files over HTTP, and the roots to trust."""

from __future__ import annotations

import os
import warnings
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from holdfast.errors import Unavailable
from holdfast.net.dial import OPERATOR, AddressPolicy
from holdfast.net.files import read_bounded
from holdfast.net.http_client import Http
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.policy import STRICT, Policy
from holdfast.pki import pem
from holdfast.pki.certificate import Certificate
from holdfast.plan.responder_rules import Asked, ResponderAnswer
from holdfast.services.checker import Checker, Recognise
from holdfast.services.fetched_once import FetchedOnce
from holdfast.sources.http import Exchange, HttpSource

SYSTEM_ROOTS = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # BSD, macOS
)


def system_roots() -> tuple[Certificate, ...]:
    """What this machine trusts: SSL_CERT_FILE, or the first bundle that is there; else nothing."""
    named = os.environ.get("SSL_CERT_FILE")
    for path in (named,) if named else SYSTEM_ROOTS:
        if Path(path).is_file():
            with warnings.catch_warnings():
                # Some old roots have the serial number 0, which cryptography says aloud
                warnings.simplefilter("ignore")
                return roots(path)
    return ()


def roots(path: str | os.PathLike[str]) -> tuple[Certificate, ...]:
    """The certificates of a file; `OperatorError` when it cannot be read or holds none."""
    return pem.certificates(read_bounded(path), name=str(path))


@asynccontextmanager
async def checker(
    *,
    trusted: Sequence[Certificate],
    ask_responders: bool = True,
    crls: bool = True,
    timeout: float = 10.0,
    policy: Policy = STRICT,
    addresses: AddressPolicy = OPERATOR,
    proxy: str | None = None,
    recognise: Recognise | None = None,
) -> AsyncIterator[Checker]:
    """A `Checker` for one run, whose HTTP connections end with the block, and in which a CRL or an
    issuer is fetched once. `recognise`: see `wiring_server`."""
    async with (
        Http(policy=addresses, timeout=timeout, proxy=proxy) as http,
        Http(policy=addresses, timeout=timeout, proxy=proxy, max_bytes=64 << 20) as files,
    ):
        source = HttpSource(http)

        async def ask(url: str, subject: Subject) -> ResponderAnswer:
            return await asked(source, url, subject)

        async def download(url: str, limit: int) -> bytes:
            answer = await files.get(url)
            if answer.status != 200:
                raise Unavailable(f"{url}: HTTP status {answer.status}", failure="http")
            if len(answer.body) > limit:
                raise Unavailable(f"{url}: more than {limit} bytes", failure="oversized")
            return answer.body

        async with FetchedOnce(download) as fetch:
            yield Checker(
                roots=trusted,
                ask=ask if ask_responders else None,
                fetch=fetch,
                issuers=ask_responders,
                crls=crls,
                policy=policy,
                addresses=addresses,
                recognise=recognise,
            )


async def asked(source: HttpSource, url: str, subject: Subject) -> ResponderAnswer:
    """What `url` answers: as a keeper asks it, and by the other method too, where it answers HTTP.

    The answer is that of the keeper's way; the other one is told in `asked`.
    """
    alone = replace(subject, responder_urls=(url,))
    exchanges = [exchange async for exchange in source.exchanges(alone)]
    if not exchanges:
        return ResponderAnswer(url=url, failure="bad-url", problem="no request could be made")
    last = exchanges[-1]
    if last.answer is not None and {exchange.method for exchange in exchanges} == {"GET"}:
        hash_algorithm = last.hash_algorithm
        exchanges.append(await source.exchange(alone, url, method="post", hash=hash_algorithm))
    told = [_told(url, exchange) for exchange in exchanges]
    main = told[exchanges.index(last)]
    return ResponderAnswer(
        url=url,
        milliseconds=last.timeline.done,
        response=None if main.failure else main.response,
        failure=main.failure,
        problem=main.problem,
        http_status=main.http_status,
        asked=tuple(told),
    )


def _told(url: str, exchange: Exchange) -> Asked:
    error = exchange.error
    return Asked(
        method=exchange.method,
        certid_hash=exchange.hash_algorithm,
        stages=exchange.timeline.stages(),
        response=exchange.response,
        failure="" if error is None else exchange.failure or "failed",
        problem="" if error is None else _without_url(url, error.message),
        http_status=exchange.http_status,
    )


def _without_url(url: str, message: str) -> str:
    """`message` without the URL it begins with, which GET makes long; findings name it anyway."""
    return message.partition(": ")[2] or message if message.startswith(url) else message
