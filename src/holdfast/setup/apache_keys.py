"""Keys that do not belong to their certificates, in Apache's configuration.

Laws: `apache2 -t` does not look (it reads keys only when it starts), and Apache ends when it is
reloaded with one, so it is looked at before; a key that only Apache can read is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from holdfast.conf.apache_reading import Reading, Said
from holdfast.conf.apache_sites import TlsHost
from holdfast.errors import HoldfastError
from holdfast.net.files import read_bounded
from holdfast.pki import keys, pem
from holdfast.setup.words import Place, Trouble


def key_troubles(
    reading: Reading,
    hosts: Sequence[TlsHost],
    *,
    path: Callable[[Said], Path],
    place: Callable[[str, int], Place],
) -> list[Trouble]:
    """One trouble for each key that is not its certificate's: mod_ssl takes them in pairs."""
    found: dict[Place, Trouble] = {}
    for host in hosts:
        named = reading.of("sslcertificatekeyfile", host.number)
        for said, key in zip(host.certificates, named, strict=False):
            where = place(key.file, key.node.start)
            if not _mismatch(path(said), path(key)):
                continue
            found[where] = Trouble(
                code="apache-key-mismatch",
                message=f"{host.name}: the key in {path(key)} is not that of the certificate in "
                f"{path(said)}: the configuration test passes, and then Apache ends at a reload",
                hint="put the key back that belongs to the certificate (the first in its file)",
                place=where,
                fatal=True,
            )
    return list(found.values())


def _mismatch(certificate: Path, key: Path) -> bool:
    try:
        (leaf, *_) = pem.certificates(read_bounded(certificate), name=str(certificate))
        return not keys.fits(keys.load(read_bounded(key), name=str(key)), leaf)
    except HoldfastError:  # a passphrase, a token: Apache's own affair; missing: its test tells
        return False
