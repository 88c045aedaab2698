"""What setup would change in Apache's configuration: the smallest edits that fulfil a wish.

Laws: decided on the configuration as it was read, in steps that each read what the one before would
leave: mending, then taking out, then putting in. What remains wrong is what is wrong with the
result. No directive about trust is ever written. The same on the result proposes nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from itertools import chain, count
from pathlib import Path

from holdfast.conf.apache_sites import TlsHost
from holdfast.conf.apache_stapling import (
    CACHE_TIMEOUT,
    FileEdit,
    beside_certificate,
    pruned,
    stapling,
    stapling_lines,
)
from holdfast.conf.text import edited, read_text, written
from holdfast.errors import Malformed
from holdfast.pki.certificate import Certificate
from holdfast.setup.apache_chain import (
    CHAIN_IN_CERTIFICATE,
    Held,
    appended,
    completions,
    issuer_known,
    lacking,
)
from holdfast.setup.apache_view import View, troubles
from holdfast.setup.words import (
    Change,
    Keeper,
    KeeperNeed,
    Proposal,
    Site,
    Trouble,
    Wish,
)

MENDS = 8  # each takes away faults that hid others
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104
_FOLLOWS = "apache-no-cache"  # gone once there is a cache


def propose(view: View, wish: Wish, *, issuers: Mapping[str, tuple[Certificate, ...]]) -> Proposal:
    """See `ServerKind.propose`."""
    return _Proposing(view, wish, issuers).proposal()


def dead_lines(view: View, site: Site) -> tuple[str, ...]:
    """The stapling lines in a site's scope, with their places."""
    return tuple(
        f"{view.place(said.file, said.node.start)}: {said.node.raw.strip()}"
        for host in view.hosts
        if host.name == site.name
        for said in stapling_lines(view.reading, host.number)
    )


def relay_url(keeper: Keeper) -> str:
    """Where a keeper's relay answers, "" for nowhere."""
    if keeper.listen is None:
        return ""
    host, port = _LOOPBACK.get(keeper.listen[0], keeper.listen[0]), keeper.listen[1]
    return f"http://[{host}]:{port}/ocsp" if ":" in host else f"http://{host}:{port}/ocsp"


class _Proposing:
    """One proposal in the making: `_view` is what the steps so far would leave."""

    def __init__(
        self, view: View, wish: Wish, issuers: Mapping[str, tuple[Certificate, ...]]
    ) -> None:
        self._before, self._view = view, view
        self._wish, self._issuers = wish, issuers
        self._more: list[Trouble] = []
        self._seen = list(troubles(view))
        self._certificates: dict[Path, tuple[Certificate, ...]] = {}
        self._new_files: dict[Path, bytes] = {}
        self._chain_paths: dict[Path, Path] = {}

    def proposal(self) -> Proposal:
        if self._view.links and not self._wish.mend:
            return Proposal(troubles=tuple(self._seen))
        if self._wish.mend:
            self._mend()
        if any(one.fatal and one.code != _FOLLOWS for one in self._left()):
            return Proposal(troubles=self._left())
        url = ""
        if self._wish.mode == "keeper":
            url = relay_url(self._wish.keeper) if self._wish.keeper else ""
            if not url:
                return Proposal(troubles=(*self._left(), _not_listening()))
        elif self._wish.prune:
            self._prune()
        chosen = [host for host in self._chosen() if self._able(host, url)]
        every = len(chosen) == len(self._view.hosts)
        self._complete(chosen)
        self._take(stapling(self._view.reading, chosen, every=every, keeper_url=url))
        left = (*self._left(), *self._more)
        if any(one.fatal for one in left):
            return Proposal(troubles=left)
        names = {host.name for host in chosen if host.listens}
        return Proposal(
            changes=self._changes(),
            proved=tuple(self._view.site(h) for h in self._view.hosts if h.name in names),
            troubles=left,
            mended=self._mended(left),
            needs=self._needs(chosen) if url else (),
        )

    # -- steps ---------------------------------------------------------------------------------

    def _mend(self) -> None:
        for _ in range(MENDS):
            edits = [edit for fault in self._view.faults for edit in fault.edits]
            if not edits:
                return
            self._take(edits)
            self._seen += troubles(self._view)

    def _prune(self) -> None:
        dead = [
            host
            for host in self._chosen()
            if not host.forced_url and not self._responders(host) and self._readable(host)
        ]
        every = len(dead) == len(self._view.hosts)
        self._take(pruned(self._view.reading, dead, every=every))

    def _able(self, host: TlsHost, url: str) -> bool:
        """Whether the site can staple; told where it cannot."""
        site = self._view.site(host)
        if not url and not host.forced_url and not self._responders(host):
            self._cannot(
                site,
                "no-responder",
                "its certificate names no OCSP responder, so Apache has nobody to ask",
                "the CA does not do OCSP, which is no fault; --prune takes stapling lines out, and "
                "with a keeper that is told of a responder it staples all the same",
            )
            return False
        more = (*self._view.chain_files(host), *self._view.trusted(host))
        given = self._issuers.get(host.name, ())
        for file in self._view.certificates(host):
            if issuer_known(file, more, given) is None:
                self._cannot(
                    site,
                    "apache-issuer-missing",
                    f"the issuer of {_leaf(file)} is neither in {file.path} nor to be found, and "
                    "Apache cannot ask without it",
                    "append the issuer's certificate to that file",
                )
                return False
        return True

    def _complete(self, chosen: Iterable[TlsHost]) -> None:
        """Issuers go into the site's own files, never where clients are verified by them."""
        for host in chosen:
            chain_files = self._view.chain_files(host)
            for file in self._view.certificates(host):
                more = lacking(file, chain_files, self._issuers.get(host.name, ()))
                if not more:
                    continue
                if chain_files:  # what it holds is what mod_ssl looks at
                    self._append(chain_files[0].path, more)
                elif self._view.ground.build.version >= CHAIN_IN_CERTIFICATE:
                    self._append(file.path, more)
                else:
                    self._chain_file(host, file, more)

    def _append(self, path: Path, more: tuple[Certificate, ...]) -> None:
        there = self._certificates.get(path, ())
        self._certificates[path] = (*there, *(one for one in more if one not in there))

    def _chain_file(self, host: TlsHost, file: Held, more: tuple[Certificate, ...]) -> None:
        path = self._chain_paths.setdefault(file.path, _unused(file.path))
        self._new_files[path] = appended(b"", more)
        line = ("SSLCertificateChainFile", str(path))
        self._take(beside_certificate(self._view.reading, host, line))

    # -- the sites -----------------------------------------------------------------------------

    def _chosen(self) -> list[TlsHost]:
        wanted = set(self._wish.sites)
        return [host for host in self._view.hosts if not wanted or host.name in wanted]

    def _readable(self, host: TlsHost) -> bool:
        return all(not file.problem for file in self._view.certificates(host))

    def _responders(self, host: TlsHost) -> bool:
        return any(file.responders for file in self._view.certificates(host))

    def _cannot(self, site: Site, code: str, message: str, hint: str) -> None:
        self._more.append(
            Trouble(code=code, message=f"{site.name}: {message}", hint=hint, place=site.place)
        )

    def _needs(self, chosen: Iterable[TlsHost]) -> tuple[KeeperNeed, ...]:
        needs: list[KeeperNeed] = []
        names: dict[Path, str] = {}
        for host in chosen:
            for file in self._view.certificates(host):
                if file.path in names:
                    continue
                base = _UNSAFE.sub("_", _called(host, file)).strip("._") or "site"
                name = next(
                    candidate
                    for candidate in chain((base,), (f"{base}-{n}" for n in count(2)))
                    if candidate not in names.values()
                )
                names[file.path] = name
                chain_files = self._view.chain_files(host)
                needs.append(
                    KeeperNeed(
                        name=name,
                        chain=file.path,
                        issuer=self._issuer_file(file, chain_files),
                        kind="apache",
                        keys={"cache_timeout": f"{CACHE_TIMEOUT}s"},
                    )
                )
        return tuple(needs)

    def _issuer_file(self, file: Held, chain_files: tuple[Held, ...]) -> Path | None:
        grows = self._certificates.get(file.path, ())
        if issuer_known(file, (), grows) is not None:
            return None
        if chain_files:
            return chain_files[0].path
        return self._chain_paths.get(file.path)

    # -- the result ----------------------------------------------------------------------------

    def _take(self, edits: Iterable[FileEdit]) -> None:
        by_file: dict[str, set[FileEdit]] = {}
        for edit in edits:
            by_file.setdefault(edit.file, set()).add(edit)
        reading = self._view.reading
        texts = {
            file: edited(reading.texts[file], sorted(one.edit for one in some))
            for file, some in by_file.items()
        }
        if texts:
            self._view = self._view.edited(texts, made=self._new_files)

    def _left(self) -> tuple[Trouble, ...]:
        """What is wrong with the result so far; the links are part of it."""
        return tuple(
            one for one in troubles(self._view) if not (self._linked and one.code in _LINKED)
        )

    @property
    def _linked(self) -> bool:
        return bool(self._view.links) and self._wish.mend

    def _mended(self, left: tuple[Trouble, ...]) -> tuple[Trouble, ...]:
        remaining = {one.code for one in left}
        taken = [one for one in self._seen if one.mendable and one.code not in remaining]
        unique = {(one.code, one.said, one.message): one for one in reversed(taken)}
        return tuple(reversed(unique.values()))

    def _changes(self) -> tuple[Change, ...]:
        changes = [Change(path, None, data) for path, data in self._new_files.items()]
        changes += [
            Change(path, before, after)
            for path, before, after in completions(self._certificates, self._before.held)
        ]
        if self._linked:
            changes += [
                Change(Path(path), None, None, link=link) for path, link in self._view.links.items()
            ]
        for name, text in self._view.texts.items():
            before = self._view.disk.data[name]
            after = written(text)
            if read_text(before) != text:
                changes.append(Change(Path(name), before, after))
        return tuple(changes)


_LINKED = ("apache-mod-ssl-missing", "apache-cache-module-missing")


def _unused(path: Path) -> Path:
    """Beside the certificate, a name that nothing has."""
    endings = chain(("-chain",), (f"-chain-{number}" for number in count(2)))
    names = (path.with_name(f"{path.stem}{ending}.pem") for ending in endings)
    return next(name for name in names if not os.path.lexists(name))


def _called(host: TlsHost, file: Held) -> str:
    """A site without a name is called after its certificate."""
    if host.server_name is not None:
        return host.server_name
    try:
        return file.certificates[0].names[0]
    except (Malformed, IndexError):
        return file.path.stem


def _leaf(file: Held) -> str:
    return file.certificates[0].subject if file.certificates else str(file.path)


def _not_listening() -> Trouble:
    return Trouble(
        code="apache-keeper-not-listening",
        message="Apache asks the keeper for staples, and the keeper listens nowhere",
        hint='set listen = "127.0.0.1:9120" in [keeper]',
        fatal=True,
    )
