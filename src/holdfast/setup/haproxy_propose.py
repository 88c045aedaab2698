"""What would be done to HAProxy: files beside its certificates, and few words in its files.

Laws: pure, but for whom the keeper's folder belongs to, which the caller tells; the smallest edit,
indented like its neighbours; no trust anchor is put anywhere: `.issuer` names the issuer of one
certificate for its CertID, and lets no client in; a response is written for its own certificate
only, and only when `verify` passes it; no socket gets more rights than it has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from holdfast.conf import haproxy_crt_list
from holdfast.conf.text import Edit, edited, read_text, written
from holdfast.errors import Malformed, Rejected
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.response import Response
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.verify import verify
from holdfast.pki import pem
from holdfast.pki.certificate import Certificate
from holdfast.pki.chain import find_issuer
from holdfast.setup.haproxy_edits import into_global, update_all, updating, with_kind
from holdfast.setup.haproxy_sites import known_issuer, speaks_of, updates
from holdfast.setup.haproxy_words import (
    OWN_UPDATE,
    OWN_UPDATE_FOR_ALL,
    HAProxyConfiguration,
    Loaded,
)
from holdfast.setup.words import Change, KeeperNeed, Place, Proposal, Site, Trouble, Wish

STOPS_EARLY = timedelta(seconds=300)  # OCSP_MAX_RESPONSE_TIME_SKEW: HAProxy sends none after
HALF = 0.5  # of its window: until then a response that is there is as good as a new one
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,119}")  # as the keeper fills {name}

OwnerOf = Callable[[Path], str]


def propose(
    read: HAProxyConfiguration,
    wish: Wish,
    *,
    issuers: Mapping[str, tuple[Certificate, ...]],
    socket: Path,
    owner_of: OwnerOf,
    at: datetime,
) -> Proposal:
    """`socket`: where an admin socket is put when there is none. `owner_of`: the user whose a
    folder is, "" for root's or none. Responses are judged at the instant `at`."""
    proposing = _Proposing(read, wish, socket, owner_of, at)
    for site in read.sites:
        if not wish.sites or site.name in wish.sites:
            proposing.site(site, issuers.get(site.name, ()))
    return proposing.proposal()


def dead_lines(read: HAProxyConfiguration, site: Site) -> tuple[str, ...]:
    """What makes `site` staple: files beside its certificates, options of crt-lists."""
    found: list[str] = []
    for loaded in read.of(site.name):
        if loaded.ocsp is not None:
            found.append(str(loaded.ocsp_path))
        for use in loaded.uses:
            if use.entry is not None and use.entry[1].option("ocsp-update") == "on":
                found.append(f"{use.place}: ocsp-update on")
    return tuple(found)


@dataclass(slots=True)
class _Proposing:
    read: HAProxyConfiguration
    wish: Wish
    socket: Path
    owner_of: OwnerOf
    at: datetime
    edits: dict[Path, dict[Edit, None]] = field(default_factory=dict)
    written: dict[Path, bytes | None] = field(default_factory=dict)
    troubles: list[Trouble] = field(default_factory=list)
    cured: set[Place] = field(default_factory=set)
    needs: list[KeeperNeed] = field(default_factory=list)
    proved: list[Site] = field(default_factory=list)

    def site(self, site: Site, gathered: tuple[Certificate, ...]) -> None:
        certificates = self.read.of(site.name)
        asked = [one for one in certificates if _responder_urls(one)]
        if self.wish.prune and not asked:
            for loaded in certificates:
                self._prune(loaded)
            return
        done = [self._certificate(site, one, gathered) for one in asked]
        if any(done):
            self.proved.append(site)

    def proposal(self) -> Proposal:
        if self.wish.mode == "keeper" and self.needs:
            self._admin_socket()
            self._rights()
        changes = [
            Change(path, self.read.files.get(path), after)
            for path, after in sorted(self.written.items(), key=lambda one: _first_issuers(one[0]))
            if after != self.read.files.get(path)
        ]
        for path, edits in self.edits.items():
            before = self.read.files[path]
            after = written(edited(read_text(before), edits))
            if after != before:
                changes.append(Change(path, before, after))
        mended = [one for one in self.read.troubles if one.mendable and one.place in self.cured]
        remaining = [one for one in self.read.troubles if one not in mended]
        return Proposal(
            changes=tuple(changes),
            proved=tuple(self.proved),
            troubles=(*remaining, *dict.fromkeys(self.troubles)),
            mended=tuple(mended),
            needs=tuple(self._with_sockets(need) for need in self.needs),
        )

    # -- one certificate -------------------------------------------------------------------------

    def _certificate(self, site: Site, loaded: Loaded, gathered: tuple[Certificate, ...]) -> bool:
        """Whether it will staple."""
        issuer = known_issuer(self.read, loaded)
        if issuer is None:
            issuer = find_issuer(loaded.leaf, gathered)
            if issuer is None:
                self._tell(
                    "issuer-unknown",
                    f"{loaded.place}: the issuer of {loaded.path} is not known: nothing is done "
                    "for it, since HAProxy would not start with a staple without the issuer",
                    "give the issuer's certificate with --issuer",
                    loaded.place,
                )
                return False
        if self.wish.mode == "keeper":
            self._for_keeper(site, loaded, issuer)
        elif not self._by_itself(loaded, issuer) and not self._by_file(loaded, issuer):
            return False
        self._issuer_beside(loaded, issuer)
        self.cured.add(loaded.place)
        return True

    def _issuer_beside(self, loaded: Loaded, issuer: Certificate) -> None:
        if known_issuer(self.read, loaded) is not None:
            return
        self._looked_for("issuer")
        self.written[loaded.issuer_path] = pem.encode_certificates([issuer])

    def _by_itself(self, loaded: Loaded, issuer: Certificate) -> bool:
        """Let HAProxy fetch; False where this version, or the way it is configured, cannot."""
        if self.read.version < OWN_UPDATE:
            return False
        if self.read.version >= OWN_UPDATE_FOR_ALL:
            self._update_all()
            for use in loaded.uses:
                if use.entry is not None and use.entry[1].option("ocsp-update") == "off":
                    path, entry = use.entry
                    self._edit(path, haproxy_crt_list.without_option(entry, "ocsp-update"))
            return True
        if updates(self.read, loaded):
            return True
        if any(use.entry is None for use in loaded.uses):
            self._tell(
                "fetches-for-lists-only",
                f"{loaded.place}: HAProxy {_version(self.read)} fetches only for certificates of a "
                f"crt-list, and {loaded.path} is named by `crt`",
                "put it into a crt-list, as `file [ocsp-update on]`; or HAProxy 3.0; or --mode "
                "keeper",
                loaded.place,
            )
            return False
        for use in loaded.uses:  # all of them: HAProxy refuses one that differs
            assert use.entry is not None
            path, entry = use.entry
            self._edit(path, updating(entry))
        return True

    def _by_file(self, loaded: Loaded, issuer: Certificate) -> bool:
        """One response, which nobody renews: all that older HAProxys can do alone."""
        subject = Subject.of(loaded.leaf, issuer)
        given = self.wish.responses.get(str(loaded.path))
        if given is None:
            self._tell(
                "no-response",
                f"{loaded.place}: no response was got for {loaded.path}, and HAProxy "
                f"{_version(self.read)} does not fetch one by itself",
                "see what is told of its responder; then run this again",
                loaded.place,
            )
            return False
        staple = _proved(given, subject, self.at)
        if staple is None:
            self._tell(
                "response-unfit",
                f"{loaded.place}: the response that was got is no staple for {loaded.path} that "
                "HAProxy takes: for this very certificate, current, and saying when it ends",
                "holdfast fetch shows what the responder says",
                loaded.place,
            )
            return False
        kept = self._still_good(loaded, subject, staple)
        self._looked_for("ocsp")
        self.written[loaded.ocsp_path] = (kept or staple).der
        ends = (kept or staple).next_update
        assert ends is not None
        self._tell(
            "fetches-nothing",
            f"{loaded.place}: HAProxy {_version(self.read)} fetches nothing by itself: it staples "
            f"until {ends - STOPS_EARLY:%Y-%m-%d %H:%M} UTC, 5 minutes before the response ends, "
            "and no longer",
            "use --mode keeper, which renews it; or HAProxy 2.8 or newer",
            loaded.place,
        )
        return True

    def _still_good(self, loaded: Loaded, subject: Subject, new: Staple) -> Staple | None:
        """The response that is there, while it is as good as `new`."""
        there = _proved(loaded.ocsp, subject, self.at)
        if there is None or there.next_update is None:
            return None
        middle = there.this_update + (there.next_update - there.this_update) * HALF
        same = there.certificate_status == new.certificate_status
        return there if same and self.at <= middle else None

    # -- the keeper ------------------------------------------------------------------------------

    def _for_keeper(self, site: Site, loaded: Loaded, issuer: Certificate) -> None:
        if updates(self.read, loaded):
            self._tell(
                "two-fetch",
                f"{loaded.place}: HAProxy fetches for {loaded.path} by itself (ocsp-update), and "
                "the keeper will too: the later of the two counts",
                "take `ocsp-update on` out, or use --mode native",
                loaded.place,
            )
        self._looked_for("ocsp")
        if loaded.ocsp is None or not speaks_of(loaded.ocsp, loaded, issuer):
            given = self.wish.responses.get(str(loaded.path))
            staple = _proved(given, Subject.of(loaded.leaf, issuer), self.at)
            content = b"" if staple is None else staple.der
            if loaded.ocsp != b"" or content:
                self.written[loaded.ocsp_path] = content
        in_file = loaded.own_issuer is not None
        name, crt = self._named(site, loaded)
        keys: dict[str, str | tuple[str, ...]] = {"crt": crt}
        if site.listens:
            host, port = site.listens[0]
            keys["prove"] = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.needs.append(
            KeeperNeed(
                name=name,
                chain=loaded.path,
                issuer=None if in_file else self._issuer_file(loaded),
                kind="haproxy",
                keys=keys,
            )
        )

    def _issuer_file(self, loaded: Loaded) -> Path | None:
        """Where the keeper finds an issuer that is not in the file; None: by AIA."""
        by_folder = loaded.issuer is None and known_issuer(self.read, loaded) is not None
        return None if by_folder else loaded.issuer_path

    def _named(self, site: Site, loaded: Loaded) -> tuple[str, str]:
        """The certificate's name for the keeper, and `crt`: filled in from the name where that
        gives the path, so that one server serves a folder of certificates."""
        stem = loaded.stem.name.removesuffix(".pem")
        taken = {need.name for need in self.needs}
        if _PLAIN.fullmatch(stem) and stem not in taken:
            return stem, str(loaded.stem.with_name("{name}" + loaded.stem.name[len(stem) :]))
        name, number = site.name, 2
        while name in taken:
            name, number = f"{site.name}-{number}", number + 1
        return name, str(loaded.stem)

    def _admin_socket(self) -> None:
        if self.read.sockets:
            return
        keeper = self.wish.keeper
        owner = self.owner_of(keeper.state) if keeper is not None else ""
        user = f" user {owner}" if owner else ""  # who runs the keeper
        line = f"stats socket {self.socket}{user} mode 600 level admin"
        self._edit(*into_global(self.read, line, beside="stats"))
        if not self.socket.parent.is_dir():
            self._tell(
                "no-socket-folder",
                f"{self.socket.parent} is not there: HAProxy cannot make its admin socket in it",
                f"make it: install -d -m 0755 {self.socket.parent}",
                None,
                fatal=True,
            )

    def _rights(self) -> None:
        """Tell what a keeper that is not root must be allowed."""
        keeper = self.wish.keeper
        owner = self.owner_of(keeper.state) if keeper is not None else ""
        if not owner:
            return
        folders = ", ".join(sorted({str(need.chain.parent) for need in self.needs}))
        self._tell(
            "keeper-rights",
            f"the keeper runs as {owner}: it must read the certificates in {folders}, write "
            "files beside them, and open the admin socket",
            f"setfacl -m u:{owner}:rwx FOLDER, and `user {owner}` or a group of its on `stats "
            "socket`; PEM files that only root may read can be given as `chain` without their key",
            None,
        )

    def _with_sockets(self, need: KeeperNeed) -> KeeperNeed:
        sockets = self.read.sockets or (str(self.socket),)
        keys = {"crt": need.keys["crt"], "sockets": sockets, **need.keys}
        return KeeperNeed(
            name=need.name, chain=need.chain, issuer=need.issuer, kind=need.kind, keys=keys
        )

    # -- edits -----------------------------------------------------------------------------------

    def _prune(self, loaded: Loaded) -> None:
        if loaded.ocsp is not None:
            self.written[loaded.ocsp_path] = None
        for use in loaded.uses:
            if use.entry is not None:
                path, entry = use.entry
                self._edit(path, haproxy_crt_list.without_option(entry, "ocsp-update"))
        self.cured.add(loaded.place)

    def _looked_for(self, kind: str) -> None:
        """Have HAProxy look for `.ocsp` or `.issuer` files."""
        extra = self.read.extra
        if extra is None or extra.loads(kind):
            return
        self._edit(extra.path, with_kind(extra, kind, self.edits.get(extra.path, {})))

    def _update_all(self) -> None:
        if not self.read.updates_all:
            self._edit(*update_all(self.read))

    def _edit(self, path: Path, edit: Edit | None) -> None:
        if edit is not None:
            self.edits.setdefault(path, {})[edit] = None

    def _tell(
        self, code: str, message: str, hint: str, place: Place | None, *, fatal: bool = False
    ) -> None:
        self.troubles.append(
            Trouble(code=f"haproxy-{code}", message=message, hint=hint, place=place, fatal=fatal)
        )


def _proved(data: bytes | None, subject: Subject, at: datetime) -> Staple | None:
    """`data` as a staple that HAProxy takes: it ignores responses with several single ones, with
    another hash than SHA-1, and without nextUpdate (src/ssl_sock.c)."""
    if not data:
        return None
    try:
        staple = verify(Response.parse(data), subject, at=at)
    except (Malformed, Rejected):
        return None
    basic = staple.response.basic
    assert basic is not None
    fits = len(basic.singles) == 1 and staple.single.certid.hash_algorithm == "sha1"
    return staple if fits and staple.next_update is not None else None


def _responder_urls(loaded: Loaded) -> tuple[str, ...]:
    try:
        return loaded.leaf.responder_urls
    except Malformed:
        return ()


def _version(read: HAProxyConfiguration) -> str:
    return ".".join(map(str, read.version[:2]))


def _first_issuers(path: Path) -> tuple[bool, str]:
    """HAProxy does not start with an `.ocsp` whose issuer it cannot find: `.issuer` comes first."""
    return path.suffix != ".issuer", str(path)
