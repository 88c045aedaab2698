"""Staples as files, for servers that read one by themselves (Exim, Envoy, lighttpd's poll).

Laws: a file is replaced whole or not at all; only a file that speaks of the certificate, or of none
that can be read, is taken away, so that two certificates that share a path by turns (a rotation)
do not take each other's.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

from holdfast.errors import DeliveryError, HoldfastError, OperatorError
from holdfast.net.files import read_bounded, sync_directory, trouble, write_atomic
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.response import MAX_RESPONSE, Response
from holdfast.ocsp.staple import Staple
from holdfast.pki import pem
from holdfast.pki.kind import Kind

Encoding = Literal["der", "base64", "pem"]
NameOf = Callable[[CertID], str | None]
READABLE = 0o644  # a staple is public: every handshake shows it

_UNFIT = re.compile(r"[^A-Za-z0-9._-]")


class Blank(Protocol):
    """A response that a server takes and never sends, for where there is no staple."""

    def made(self, certid: CertID, /) -> bytes: ...

    def is_blank(self, response: bytes, /) -> bool: ...


class FilesServer:
    """Implements `StapledServer` by one file for each certificate.

    `file` is its path, where `{name}` stands for the certificate's name (by `name_of`, made fit for
    a file name), `{serial}` for its serial in hex and `{key}` for its CertID's key. `blank` makes
    what the file holds when there is no staple, for a server that needs the file; None: no file.
    """

    def __init__(
        self,
        name: str,
        *,
        file: str,
        name_of: NameOf = lambda _: None,
        encoding: Encoding = "der",
        mode: int = READABLE,
        blank: Blank | None = None,
    ) -> None:
        self.name = name
        self._file = file
        self._name_of = name_of
        self._encoding: Encoding = encoding
        self._mode = mode
        self._blank = blank

    async def deliver(self, staple: Staple, /) -> None:
        await asyncio.to_thread(self.write, staple)

    async def withdraw(self, certid: CertID, /) -> None:
        await asyncio.to_thread(self.remove, certid)

    def path(self, certid: CertID) -> Path:
        """Where the staple for `certid` belongs."""
        words = {
            "{name}": file_name(self.called(certid)),
            "{serial}": f"{certid.serial:x}",
            "{key}": certid.key,
        }
        return Path(filled(self._file, words))

    def called(self, certid: CertID) -> str:
        """The certificate's name, or its serial when it has none here."""
        return self._name_of(certid) or f"{certid.serial:x}"

    def write(self, staple: Staple) -> Path:
        """Put the file there; its path. Raises `DeliveryError`."""
        path = self.path(staple.certid)
        self._put(path, _encoded(staple.der, self._encoding))
        return path

    def holds(self, certid: CertID) -> bool:
        """True when the file is there and is not another certificate's."""
        path = self.path(certid)
        return os.path.exists(path) and not self.is_blank(path) and not _of_other(path, certid)

    def is_blank(self, path: Path) -> bool:
        """True when the file at `path` is there only because the server needs one."""
        if self._blank is None:
            return False
        try:
            return self._blank.is_blank(read_bounded(path, 2 * MAX_RESPONSE))
        except OperatorError:
            return False

    def remove(self, certid: CertID) -> Path | None:
        """Take the file away; its path, None when there was nothing to take. `DeliveryError`."""
        path = self.path(certid)
        if self._blank is not None and not os.path.exists(path):
            self._put(path, self._blank.made(certid))
            return None
        if not self.holds(certid):
            return None
        if self._blank is not None:
            self._put(path, self._blank.made(certid))
            return path
        try:
            whole = Path(os.path.realpath(path))  # as writing it follows links
            whole.unlink(missing_ok=True)
            sync_directory(whole.parent)
        except OSError as error:
            told = trouble("cannot remove", path, error)
            raise DeliveryError(f"{self.name}: {told.message}", hint=told.hint) from error
        return path

    def _put(self, path: Path, content: bytes) -> None:
        try:
            write_atomic(path, content, self._mode)
        except OperatorError as error:
            raise DeliveryError(f"{self.name}: {error.message}", hint=error.hint) from error


def filled(template: str, words: dict[str, str]) -> str:
    """`template` with each of `words` in place of its placeholder; other braces are left."""
    return re.sub("|".join(map(re.escape, words)), lambda found: words[found.group()], template)


def file_name(name: str) -> str:
    """`name` as one component of a path: "*.example.org" becomes "_.example.org"."""
    fit = _UNFIT.sub("_", name)[:120]
    return f"_{fit[1:]}" if fit.startswith(".") else fit or "_"


def _encoded(der: bytes, encoding: Encoding) -> bytes:
    match encoding:
        case "der":
            return der
        case "base64":
            return base64.b64encode(der) + b"\n"
        case "pem":
            return pem.encode("OCSP RESPONSE", der)


def _of_other(path: Path, certid: CertID) -> bool:
    """True when the file is a response that does not name `certid` but some other."""
    try:
        data = pem.single(read_bounded(path, 2 * MAX_RESPONSE), Kind.OCSP_RESPONSE, name=str(path))
        response = Response.parse(data)
    except HoldfastError:
        return False
    if response.basic is None or not response.basic.singles:
        return False
    # by serial: the response may use another hash than the store's key
    return all(single.certid.serial != certid.serial for single in response.basic.singles)
