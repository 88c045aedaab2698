"""HAProxy's configuration as setup sees it: the certificates it loads, and what lies beside them.

Laws: values only; a private key is never among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.conf import haproxy, haproxy_crt_list
from holdfast.pki.certificate import Certificate
from holdfast.pki.chain import find_issuer
from holdfast.setup.words import Configuration, Place

OWN_UPDATE = (2, 8)  # `ocsp-update on` of crt-lists
OWN_UPDATE_FOR_ALL = (3, 0)  # `ocsp-update.mode on` in global


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One place that loads a certificate: a `crt` of a bind line, or with `entry` a line of a
    crt-list. `names`: the SNI filters, empty for the certificate's own names."""

    place: Place
    listens: tuple[tuple[str, int], ...]
    names: tuple[str, ...] = ()
    verifies: bool = False
    behind_proxy: bool = False
    entry: tuple[Path, haproxy_crt_list.Entry] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A certificate's file. `stem`: what `.ocsp` and `.issuer` are put after; `ocsp` and `issuer`:
    what these hold, None where they are not."""

    path: Path
    stem: Path
    chain: tuple[Certificate, ...]
    uses: tuple[Use, ...]
    ocsp: bytes | None = None
    issuer: bytes | None = None

    @property
    def leaf(self) -> Certificate:
        return self.chain[0]

    @property
    def place(self) -> Place:
        return self.uses[0].place

    @property
    def ocsp_path(self) -> Path:
        return self.stem.with_name(f"{self.stem.name}.ocsp")

    @property
    def issuer_path(self) -> Path:
        return self.stem.with_name(f"{self.stem.name}.issuer")

    @property
    def own_issuer(self) -> Certificate | None:
        """The leaf's issuer in the file itself."""
        return find_issuer(self.leaf, self.chain[1:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """`ssl-load-extra-files`, the last that counts: which kinds of files are looked for."""

    path: Path
    line: haproxy.Line

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(self.line.texts[1:])

    def loads(self, kind: str) -> bool:
        return bool({kind, "all"} & self.kinds) or not self.kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class HAProxyConfiguration(Configuration):
    """As it was read. `trees`: the configuration's own files; `lists`: the crt-lists; `loaded`: by
    path; `served`: by site name, the files of its certificates; `sockets`: of level admin.

    `issuers`: what `issuers-chain-path` holds. `update`: the line of `ocsp-update.mode`, if any.
    """

    trees: Mapping[Path, haproxy.Configuration] = field(default_factory=dict)
    lists: Mapping[Path, tuple[haproxy_crt_list.Entry, ...]] = field(default_factory=dict)
    loaded: Mapping[Path, Loaded] = field(default_factory=dict)
    served: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    sockets: tuple[str, ...] = ()
    extra: Extra | None = None
    issuers: tuple[Certificate, ...] = ()
    update: tuple[Path, haproxy.Line] | None = None
    pid_file: Path | None = None

    def of(self, site: str) -> tuple[Loaded, ...]:
        """The certificates of the site with this name."""
        return tuple(self.loaded[path] for path in self.served.get(site, ()))

    @property
    def updates_all(self) -> bool:
        """HAProxy fetches for every certificate that does not say otherwise."""
        return self.update is not None and self.update[1].texts[1:2] == ("on",)
