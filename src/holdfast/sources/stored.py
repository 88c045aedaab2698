"""Responses that lie in files: an air-gapped network's, or `openssl ocsp -respout`'s.

Laws: nothing is verified here; files are read again at each question, off the event loop and with a
bound; DER, PEM and base64 are told by looking.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from holdfast.errors import HoldfastError, NotFound, Unavailable
from holdfast.net.files import read_bounded
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.response import MAX_RESPONSE, Response, SingleResponse
from holdfast.pki import pem
from holdfast.pki.kind import Kind

MAX_FILES = 10_000  # of one folder that are looked at


class StoredSource:
    """Implements `Source` over files and folders. Unverified.

    Of several responses that speak of the subject it gives the newest. A file that was named and
    cannot be read is `Unavailable` (unless another file has the answer); one that merely lies in a
    folder is passed over.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]]) -> None:
        self._paths = tuple(Path(path) for path in paths)

    async def response(self, subject: Subject, /) -> Response:
        return await asyncio.to_thread(self._find, subject)

    def _find(self, subject: Subject) -> Response:
        found: list[tuple[SingleResponse, Response]] = []
        trouble: HoldfastError | None = None
        for path, named in self._files():
            try:
                data = read_bounded(path, 2 * MAX_RESPONSE)
                response = Response.parse(pem.single(data, Kind.OCSP_RESPONSE, name=str(path)))
            except HoldfastError as error:
                if named:
                    trouble = trouble or Unavailable(
                        error.message if str(path) in error.message else f"{path}: {error.message}",
                        failure="unreadable",
                        hint=error.hint,
                    )
                continue
            found += [(single, response) for single in _singles(response, subject)]
        if found:
            return max(found, key=lambda pair: pair[0].this_update)[1]
        if trouble is not None:
            raise trouble
        raise NotFound(
            f"{subject.name}: none of the stored responses speaks of it",
            hint=f"looked in {', '.join(str(path) for path in self._paths[:4])}",
        )

    def _files(self) -> Iterator[tuple[Path, bool]]:
        """Every file to look at, and whether it was named itself."""
        for path in self._paths:
            if not path.is_dir():
                yield path, True
                continue
            try:
                with os.scandir(path) as entries:
                    listed = list(islice(entries, MAX_FILES))
            except OSError:
                yield path, True  # reading it says why
                continue
            for entry in sorted(listed, key=lambda entry: entry.name):
                if not entry.name.startswith(".") and entry.is_file():
                    yield Path(entry.path), False


def _singles(response: Response, subject: Subject) -> Iterator[SingleResponse]:
    if response.basic is not None:
        for single in response.basic.singles:
            if single.certid.names(subject.serial, subject.issuer):
                yield single
