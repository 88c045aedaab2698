"""Passphrases and PINs: from a file, or from a credential that systemd hands a service.

Laws: the first line counts, without its end; what stands there is never shown; nobody else can read
the file. systemd.exec(5), `LoadCredential=`: files in $CREDENTIALS_DIRECTORY, which lie in memory
and which only the service sees.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from holdfast.errors import OperatorError
from holdfast.net.files import read_bounded, require_private
from holdfast.pki.keys import passphrase_of

CREDENTIAL = "credential:"
_DIRECTORY = "CREDENTIALS_DIRECTORY"
MAX_PASSPHRASE = 64 * 1024  # bytes of the file


def read_passphrase(where: str, *, environ: Mapping[str, str] = os.environ) -> bytes:
    """The passphrase that lies at `where`: a path, or `credential:NAME`."""
    path = passphrase_path(where, environ=environ)
    if not where.startswith(CREDENTIAL):  # systemd sees to its own
        require_private(path, group=True)
    found = passphrase_of(read_bounded(path, MAX_PASSPHRASE))
    if not found or b"\x00" in found:
        raise OperatorError(
            f"{path}: no passphrase in its first line", hint="write the passphrase there"
        )
    return found


def passphrase_path(where: str, *, environ: Mapping[str, str] = os.environ) -> str:
    """The file that `where` means."""
    if not where.startswith(CREDENTIAL):
        return where
    name = where.removeprefix(CREDENTIAL)
    if not name or "/" in name or name.startswith("."):
        raise OperatorError(f"{where}: not the name of a credential", hint="credential:ocsp-key")
    folder = environ.get(_DIRECTORY)
    if not folder:
        raise OperatorError(
            f"{where}: no credentials were handed over ({_DIRECTORY} is not set)",
            hint=f"put LoadCredential={name}:/path/to/file into the [Service] of the unit",
        )
    path = Path(folder) / name
    if not path.exists():
        raise OperatorError(
            f"{where}: no such credential in {folder}",
            hint=f"put LoadCredential={name}:/path/to/file into the [Service] of the unit",
        )
    return str(path)
