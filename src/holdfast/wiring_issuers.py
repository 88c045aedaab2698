"""Issuers that no file has: asked for where the certificate says (AIA), and kept in the state
folder (K16).

Laws: what comes is believed by its signature only; the keeper does not wait for it, and goes on
with the certificates that are whole.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from holdfast.errors import HoldfastError
from holdfast.net.files import read_bounded, write_atomic
from holdfast.net.http_client import Http
from holdfast.net.issuers import issuer_of
from holdfast.pki import pem
from holdfast.pki.certificate import Certificate

FOLDER = "issuers"
MAX_KEPT = 1000
READABLE = 0o644

_log = logging.getLogger("holdfast.keeper")


def kept_issuers(state: str | Path) -> tuple[Certificate, ...]:
    """Those that were found before."""
    found: list[Certificate] = []
    for path in sorted(Path(state, FOLDER).glob("*.der"))[:MAX_KEPT]:
        try:
            found += pem.certificates(read_bounded(path), name=str(path))
        except HoldfastError as error:
            _log.warning("issuer passed-over %s", error.message)
    return tuple(found)


async def find_issuers(lacking: Sequence[Certificate], http: Http, state: str | Path) -> int:
    """Ask for the issuers of `lacking` and keep those that come; how many certificates got one."""
    found: list[Certificate] = []
    helped = 0
    for leaf in lacking:
        try:
            issuer = await issuer_of(leaf, http, beside=found)
        except HoldfastError as error:
            _log.error(
                "alert code=no-issuer %s is not kept: its issuer is in no file, and %s",
                leaf.names[0] if leaf.names else leaf.subject,
                error.message,
            )
            continue
        helped += 1
        if issuer not in found:
            found.append(issuer)
            _keep(issuer, Path(state, FOLDER))
    return helped


def _keep(issuer: Certificate, folder: Path) -> None:
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_atomic(folder / f"{sha256(issuer.der).hexdigest()[:32]}.der", issuer.der, READABLE)
    _log.info("issuer found %s", issuer.subject)
