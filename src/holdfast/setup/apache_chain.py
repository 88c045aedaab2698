"""The certificate files of Apache's sites: read, judged, and completed with missing issuers.

Laws: nothing here writes; an issuer is only ever put behind the site's own certificate, or into its
SSLCertificateChainFile, which are sent and never trusted for clients. Whatever else is in a file
stays, byte for byte.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import HoldfastError, OperatorError
from holdfast.net.files import read_bounded
from holdfast.pki import chain, pem
from holdfast.pki.certificate import Certificate

MAX_FILE = 4 * 1024 * 1024  # bytes
CHAIN_IN_CERTIFICATE = (2, 4, 8)  # SSLCertificateFile may hold the chain from there


@dataclass(frozen=True, slots=True)
class Held:
    """What a file of certificates holds; `problem` is "" or what keeps it from being used."""

    path: Path
    data: bytes = b""
    certificates: tuple[Certificate, ...] = ()
    problem: str = ""

    @property
    def missing(self) -> bool:
        return not self.data

    @property
    def responders(self) -> bool:
        """Whether Apache would know whom to ask about it."""
        return bool(self.certificates and self.certificates[0].responder_urls)


def held(path: Path) -> Held:
    try:
        data = read_bounded(path, MAX_FILE)
    except OperatorError as error:
        return Held(path, problem=error.message)
    return holding(path, data)


def holding(path: Path, data: bytes) -> Held:
    """What a file at `path` with `data` would hold."""
    try:
        return Held(path, data, pem.certificates(data, name=str(path)))
    except HoldfastError as error:
        return Held(path, data, problem=error.message)


def lacking(
    leaf: Held, more: Iterable[Held], issuers: Iterable[Certificate]
) -> tuple[Certificate, ...]:
    """The certificates that Apache has not, nearest first, up to the root, which clients have;
    but where the root issued the leaf itself, Apache needs it too. `more`: the chain file; where
    there is one, mod_ssl looks for the issuer there and not in the certificate's own file
    (ssl_util_stapling.c, stapling_get_issuer; measured)."""
    if not leaf.certificates:
        return ()
    in_chain_files = [one for file in more for one in file.certificates]
    there = in_chain_files or leaf.certificates
    extra = [*in_chain_files, *leaf.certificates[1:], *issuers]
    way = chain.order(leaf.certificates[:1], extra=extra).certificates
    return tuple(
        one
        for number, one in enumerate(way[1:])
        if one not in there and (number == 0 or not one.self_issued)
    )


def issuer_known(
    leaf: Held, more: Iterable[Held], issuers: Iterable[Certificate]
) -> Certificate | None:
    """The issuer that Apache needs in order to ask; a self-signed leaf has none."""
    extra = [one for file in (leaf, *more) for one in file.certificates]
    way = chain.order(leaf.certificates[:1], extra=[*extra, *issuers]).certificates
    return way[1] if len(way) > 1 else None


def appended(data: bytes, certificates: Iterable[Certificate]) -> bytes:
    """`data`, a PEM file, with `certificates` at its end."""
    end = b"\r\n" if data.count(b"\r\n") * 2 > data.count(b"\n") else b"\n"
    between = b"" if not data or data.endswith(b"\n") else end
    return data + between + pem.encode_certificates(certificates).replace(b"\n", end)


def real(path: Path) -> Path:
    """Two names of one file are one change."""
    return Path(os.path.realpath(path))


def completions(
    wanted: Mapping[Path, tuple[Certificate, ...]], files: Mapping[Path, Held]
) -> tuple[tuple[Path, bytes, bytes], ...]:
    """Path, before and after of each file that grows. `wanted`: what each is to get, by path."""
    grown: dict[Path, tuple[Path, bytes, list[Certificate]]] = {}
    for path, certificates in wanted.items():
        entry = grown.setdefault(real(path), (path, files[path].data, []))
        entry[2].extend(one for one in certificates if one not in entry[2])
    return tuple((path, data, appended(data, more)) for path, data, more in grown.values() if more)
