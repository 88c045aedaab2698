"""When a CA's delegated OCSP signer is to be issued again (R15).

Laws: asked again and again it changes nothing until something is due; of two that ask at the same
time one issues; a renewal that was cut off between key and certificate is due once more.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from holdfast.errors import HoldfastError, OperatorError
from holdfast.net.files import read_bounded, trouble
from holdfast.ocsp.sign import Signer
from holdfast.pki import keys, pem
from holdfast.pki.certificate import Certificate
from holdfast.stores.authority import MAX_FILE, AuthorityFolder, Made

# A new signer that takes the place of the old one in a file signs at once: clients whose clocks are
# slow by as much take it for valid.
BACKDATE = timedelta(hours=1)
_SHARE = 3  # a third of its life before its end, as is done with server certificates of 90 days


@dataclass(frozen=True, slots=True)
class Due:
    """It is to be issued; `why` is for people."""

    why: str


class DueAt(Protocol):
    """Whether the signer is due at `at`; what there is when it is not."""

    def __call__(
        self, at: datetime, /, *, before: timedelta | None = None, key_type: str | None = None
    ) -> Due | Made: ...


@contextmanager
def renewing(authority: AuthorityFolder, name: str) -> Iterator[DueAt]:
    """While nobody else renews signers of that CA: ask, and then issue."""
    path = authority.path / ".signer.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise trouble("cannot lock", path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        files = authority.files_of_signer(name)

        def due_at(
            at: datetime, /, *, before: timedelta | None = None, key_type: str | None = None
        ) -> Due | Made:
            found = _due(files, authority.certificate, at, before, key_type)
            return found if isinstance(found, Due) else Made(found, files)

        yield due_at
    finally:
        os.close(descriptor)


def _due(
    files: Mapping[str, Path],
    issuer: Certificate,
    at: datetime,
    before: timedelta | None,
    key_type: str | None,
) -> Due | Certificate:
    path, key = files["certificate"], files["key"]
    if not path.exists() or not key.exists():
        return Due("there was none")
    try:
        certificate = pem.certificates(read_bounded(path, MAX_FILE), name=str(path))[0]
        private = keys.load(read_bounded(key, MAX_FILE), name=str(key))
        if not keys.fits(private, certificate):
            return Due("its key was another's")
        unfit = Signer(certificate, private, issuer).objection(max(at, certificate.not_before))
    except OperatorError as error:
        if isinstance(error.__cause__, PermissionError):
            raise
        return Due(error.message)
    except HoldfastError as error:
        return Due(error.message)
    if unfit:
        return Due(unfit)
    if key_type is not None and _letters(certificate.key_type) != _letters(key_type):
        return Due(f"its key was {certificate.key_type}")
    life = certificate.not_after - certificate.not_before
    left = certificate.not_after - at
    if left <= (life / _SHARE if before is None else before):
        if certificate.not_after >= issuer.not_after:  # a new one ends no later
            return certificate
        return Due(f"the last one ends at {certificate.not_after:%Y-%m-%dT%H:%M:%SZ}")
    return certificate


def _letters(key_type: str) -> str:
    """ "ecdsa-p256" and "ECDSA P-256" are one."""
    return "".join(letter for letter in key_type.lower() if letter.isalnum())
