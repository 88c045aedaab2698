"""Issuers found (K16): in files, directories, at URLs, and where a certificate itself says (AIA).

Laws: an issuer is believed only by its signature (`pki.chain`); what a URL gives is bounded and
asked under the address policy of the client that is handed in; a directory's files that are no
certificates are passed over, a named file that is none is the operator's error.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.errors import HoldfastError, NotFound, OperatorError, Unavailable
from holdfast.net.files import read_bounded
from holdfast.pki import pem
from holdfast.pki.certificate import Certificate
from holdfast.pki.chain import MAX_CHAIN, Chain, find_issuer, order

if TYPE_CHECKING:
    from holdfast.net.http_client import Http

MAX_FILES = 10_000  # of one directory
MAX_FILE = 16 << 20  # bytes
MAX_URLS = 4  # of one certificate's AIA


def is_url(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


def from_path(path: str | os.PathLike[str]) -> tuple[Certificate, ...]:
    """The certificates of a file, or of every file in a directory that holds any."""
    place = Path(path)
    if not place.is_dir():
        return pem.certificates(read_bounded(place, MAX_FILE), name=str(path))
    try:
        names = sorted(entry.path for entry in os.scandir(place) if entry.is_file())
    except OSError as error:
        raise OperatorError(f"cannot read {place}: {error.strerror}") from error
    if len(names) > MAX_FILES:
        raise OperatorError(
            f"{place}: {len(names)} files, more than {MAX_FILES}", hint="name the files that count"
        )
    found: dict[Certificate, None] = {}
    for name in names:
        try:
            found |= dict.fromkeys(pem.certificates(read_bounded(name, MAX_FILE), name=name))
        except HoldfastError:
            continue  # keys, lists, notes: a directory holds what it holds
    if not found:
        raise OperatorError(
            f"{place}: no file in it holds a certificate",
            hint="name the folder of the certificates",
        )
    return tuple(found)


async def from_url(url: str, http: Http) -> tuple[Certificate, ...]:
    """The certificates at `url`: DER, PEM or PKCS#7, whatever it says they are."""
    answer = await http.get(url)
    if answer.status != 200:
        raise Unavailable(
            f"{url}: HTTP status {answer.status}",
            failure=f"http-{answer.status // 100}xx",
            hint="look at the address",
        )
    return pem.certificates(answer.body)


async def from_source(source: str, http: Http) -> tuple[Certificate, ...]:
    """The certificates of a file, a directory or a URL."""
    return await from_url(source, http) if is_url(source) else from_path(source)


async def issuer_of(
    certificate: Certificate, http: Http | None, *, beside: Iterable[Certificate] = ()
) -> Certificate:
    """The issuer of `certificate`, among `beside` or from its AIA addresses.

    Raises `OperatorError` when it was not given and no address is named, `NotFound` when what an
    address gave is not it, `Unavailable` when an address failed.
    """
    found = find_issuer(certificate, beside)
    if found is not None:
        return found
    urls = [url for url in certificate.issuer_urls if is_url(url)][:MAX_URLS]
    trouble: HoldfastError | None = None
    for url in urls if http is not None else []:
        assert http is not None
        try:
            found = find_issuer(certificate, await from_url(url, http))
        except HoldfastError as error:
            trouble = error
            continue
        if found is not None:
            return found
        trouble = NotFound(f"{url}: not the issuer of {certificate.subject}")
    if trouble is not None:
        raise trouble
    where = "" if urls else ", and the certificate names no address to get it from"
    raise OperatorError(
        f"{certificate.subject}: its issuer {certificate.issuer} was not given{where}",
        hint="give the issuer's certificate, or a chain file that has it after the leaf",
    )


async def completed(
    certificates: Sequence[Certificate], http: Http, *, extra: Iterable[Certificate] = ()
) -> Chain:
    """`certificates` in order, continued upward by AIA until a root, or as far as it goes."""
    pool = list(extra)
    chain = order(certificates, extra=pool)
    while not chain.complete and len(chain.certificates) < MAX_CHAIN:
        try:
            found = await issuer_of(chain.certificates[-1], http)
        except HoldfastError:
            break
        if found in pool:
            break
        pool.append(found)
        chain = order(certificates, extra=pool)
    return chain
