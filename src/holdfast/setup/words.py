"""What setup speaks of: sites, troubles, changes of files, and the plan they make up.

Laws: values only, nothing here reads or writes; a trouble names what, where and the cure; a change
is whole files, before and after, so that it can be shown, made and taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Mode = Literal["native", "keeper"]


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file."""

    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateAt:
    """One certificate of a site. `chain`: the file that the server sends, leaf first; `more`: files
    it takes issuers from as well (Apache's SSLCertificateChainFile)."""

    chain: Path
    more: tuple[Path, ...] = ()
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One TLS site.

    `name` is what `--site` matches (its first server name, else address:port). `listens`: where a
    handshake reaches it, as (host, port), wildcards turned into loopback. `server_name`: the SNI
    to send, None for the default site. `verifies_clients`: trust anchors put into its scope would
    let clients in. `stapling`: how it stapled before, in words ("" when it does not).
    """

    name: str
    place: Place
    certificates: tuple[CertificateAt, ...]
    listens: tuple[tuple[str, int], ...]
    server_name: str | None = None
    verifies_clients: bool = False
    stapling: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something wrong, or worth telling, with its cure.

    `code` is kebab-case and stable (apache-cache-in-virtual-host, chain-incomplete,
    responder-unreachable ...). `fatal`: nothing may be changed while it stands. `mendable`:
    `--mend` takes it away. `said`: the server's own words, where it has some.
    """

    code: str
    message: str
    hint: str = ""
    place: Place | None = None
    fatal: bool = False
    mendable: bool = False
    said: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A file that becomes another; None where there is no file. `path` may be a symbolic link: it
    is followed, never replaced. Owner and mode are kept; a new file gets `mode`. With `link`, the
    change makes `path` a symbolic link that says `link`, where nothing is, or with `unlink` takes
    that link away; `before` and `after` are None. Changes are made in their order and taken back
    in the opposite one."""

    path: Path
    before: bytes | None
    after: bytes | None
    mode: int = 0o644
    link: str | None = None
    unlink: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """The keeper that a site is wired to: its settings file, state folder, and where it listens
    (None: nowhere)."""

    settings: Path | None
    state: Path
    listen: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the operator wants. `sites` empty: all. `mend`: mendable troubles too. `prune`: take
    stapling lines out where no certificate of the site has a responder. `responses`: by the path
    of a certificate's file as `CertificateAt.chain` has it, the response for it in DER, verified
    just now, for servers that cannot fetch."""

    mode: Mode = "native"
    sites: tuple[str, ...] = ()
    mend: bool = False
    prune: bool = False
    keeper: Keeper | None = None
    responses: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperNeed:
    """What the keeper's settings must hold for one certificate of a site: a `[[certificate]]` with
    `name`, `chain` and `issuer` (None: it is in the chain), given to a `[[server]]` of `kind` that
    has `keys` besides its name; equal `kind` and `keys` are one server. A list is a tuple."""

    name: str
    chain: Path
    issuer: Path | None = None
    kind: str
    keys: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What would be done. `proved`: the sites that must show a staple afterwards. `troubles`: those
    that remain; one that is fatal forbids it all. `mended`: those that the changes
    take away. `restart`: a reload would not be enough. `needs`: in keeper mode, what the keeper's
    settings must hold, in the order of the sites."""

    changes: tuple[Change, ...] = ()
    proved: tuple[Site, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    mended: tuple[Trouble, ...] = ()
    restart: bool = False
    needs: tuple[KeeperNeed, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A server's configuration as it was read: `files` in the order of reading, by the name the
    server knows them under."""

    version: tuple[int, ...]
    files: dict[Path, bytes] = field(default_factory=dict)
    sites: tuple[Site, ...] = ()
    troubles: tuple[Trouble, ...] = ()
