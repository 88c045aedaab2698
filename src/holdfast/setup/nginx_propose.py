"""What setup would change in nginx's configuration: the smallest edits that fulfil a wish.

Laws: decided on the configuration as it was read, in steps that each read what the one before
would leave: mending, then taking out, then putting in. Lines that hold for sites that were not
chosen are never changed. The same on the result proposes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from holdfast.conf.nginx_edits import Edits, quoted
from holdfast.conf.nginx_servers import KEEPER_INCLUDE, LOOPBACK, STAPLING, name_in_keeper_include
from holdfast.conf.text import written
from holdfast.pki.certificate import Certificate
from holdfast.setup.nginx_disk import DiskFiles
from holdfast.setup.nginx_mend import VERIFY, mended, texts, trust_troubles
from holdfast.setup.nginx_native import (
    NO_RESPONDER,
    Names,
    Native,
    Roots,
    completed,
    missing,
    no_file,
)
from holdfast.setup.nginx_sites import Stand, Survey, survey
from holdfast.setup.words import (
    Change,
    Configuration,
    Keeper,
    KeeperNeed,
    Proposal,
    Trouble,
    Wish,
)

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What does not change with the wish. `folder`: of the keeper's include files; `keys`: what the
    keeper's settings need in order to reach this nginx."""

    main: Path
    folder: str
    roots: Roots
    names: Names
    keys: Mapping[str, str]


def propose(
    configuration: Configuration,
    wish: Wish,
    *,
    issuers: Mapping[str, tuple[Certificate, ...]],
    setting: Setting,
) -> Proposal:
    """See `ServerKind.propose`."""
    return _Proposing(configuration, wish, issuers, setting).proposal()


def keeper_names(view: Survey) -> dict[Path, str]:
    """What the keeper calls each certificate: as an include has it already, else as its site."""
    names: dict[Path, str] = {}
    for stand in view.stands:
        for one in stand.server.keeper_includes(view.folder):
            name = name_in_keeper_include(one.args[0], view.folder)
            if name and stand.held and stand.held[0].path is not None:
                names.setdefault(stand.held[0].path, name)
    used = set(names.values())
    for stand in view.stands:
        for held in stand.held:
            if held.path is None or held.path in names:
                continue
            base = _UNSAFE.sub("_", stand.site.name).strip(".") or "site"
            name, number = base, 1
            while name in used:
                number += 1
                name = f"{base}-{number}"
            names[held.path] = name
            used.add(name)
    return names


def dead_lines(view: Survey, stand: Stand) -> tuple[str, ...]:
    """The stapling lines in a site's scope, with their places."""
    return tuple(
        f"{view.place(one)}: {' '.join([one.name, *one.args])};"
        for one in view.stapling_lines(stand.server)
    )


class _Proposing:
    """One proposal in the making: `_files` is what the steps so far would leave."""

    def __init__(
        self,
        configuration: Configuration,
        wish: Wish,
        issuers: Mapping[str, tuple[Certificate, ...]],
        setting: Setting,
    ) -> None:
        self._before = configuration
        self._wish = wish
        self._issuers = issuers
        self._setting = setting
        self._files = dict(configuration.files)
        self._view = self._survey()
        self._troubles: list[Trouble] = []

    def proposal(self) -> Proposal:
        mended_now, remaining = self._mend()
        if any(trouble.fatal for trouble in remaining):
            return Proposal(troubles=remaining)
        if self._wish.prune:
            self._prune()
        needs: tuple[KeeperNeed, ...] = ()
        if self._wish.mode == "native":
            proved = self._native()
        else:
            proved, needs = self._keeper()
        self._complete(proved)
        remaining, done = self._left_of(remaining)
        mended_now += done
        troubles = (*remaining, *self._troubles)
        if any(trouble.fatal for trouble in troubles):
            return Proposal(troubles=troubles)
        return Proposal(
            changes=self._changes(),
            proved=tuple(stand.site for stand in proved),
            troubles=troubles,
            mended=mended_now,
            needs=needs,
        )

    # -- steps ------------------------------------------------------------------------------

    def _mend(self) -> tuple[tuple[Trouble, ...], tuple[Trouble, ...]]:
        """(what is mended, what remains)."""
        troubles = self._before.troubles
        if not self._wish.mend:
            return (), troubles
        mendable = tuple(trouble for trouble in troubles if trouble.mendable)
        first = [trouble for trouble in mendable if trouble.code != VERIFY]
        changed = mended(self._view, first, self._before.version)
        self._take_over(changed)
        done = tuple(
            trouble
            for trouble in mendable
            if trouble.code != VERIFY  # judged at the end: there may be a better way
            and trouble.place is not None
            and str(trouble.place.path) in changed
        )
        return done, tuple(trouble for trouble in troubles if trouble not in done)

    def _left_of(
        self, troubles: tuple[Trouble, ...]
    ) -> tuple[tuple[Trouble, ...], tuple[Trouble, ...]]:
        """(what remains, what the changes take away) of the sites that could not verify."""
        if self._wish.mend:
            still = tuple(trust_troubles(self._view))
            self._take_over(mended(self._view, still, self._before.version))
        still_told = {trouble.message for trouble in trust_troubles(self._view)}
        done = tuple(t for t in troubles if t.code == VERIFY and t.message not in still_told)
        return tuple(trouble for trouble in troubles if trouble not in done), done

    def _prune(self) -> None:
        dead = [stand for stand in self._chosen() if stand.readable and not stand.responders()]
        edits = self._edits(dead)
        for stand in dead:
            for one in self._view.stapling_lines(stand.server):
                if one.name in STAPLING:
                    edits.take(one)
        edits.shared.clear()  # a line that others still need is not dead
        self._take_over(texts(self._view, edits.files()))

    def _native(self) -> list[Stand]:
        chosen = self._chosen()
        first = self._edits(chosen)
        asking = self._native_with(first)
        able = {stand.site for stand in chosen if asking.can(stand)}
        for stand in chosen:
            if stand.site in able:
                for one in stand.server.keeper_includes(self._view.folder):
                    first.take(one)
        self._shared(first)
        self._take_over(texts(self._view, first.files()))
        chosen = self._chosen()
        edits = self._edits(chosen)
        native = self._native_with(edits)
        stapled = [stand for stand in chosen if native.staple(stand)]
        self._troubles += [
            trouble
            for trouble in native.troubles
            if not (self._wish.prune and trouble.code == NO_RESPONDER)  # asked for, and done
        ]
        self._files |= native.new_files
        self._shared(edits)
        self._take_over(texts(self._view, edits.files()))
        return stapled

    def _native_with(self, edits: Edits) -> Native:
        return Native(
            survey=self._view,
            edits=edits,
            issuers=self._issuers,
            responses=self._wish.responses,
            roots=self._setting.roots,
            names=self._setting.names,
            relay=_relay(self._wish.keeper),
            root_file=self._root_file,
        )

    def _keeper(self) -> tuple[list[Stand], tuple[KeeperNeed, ...]]:
        chosen = [stand for stand in self._chosen() if stand.readable]
        edits = self._edits(chosen)
        names = keeper_names(self._view)
        wired, needs = [], []
        for stand in chosen:
            several = len(stand.held) > 1
            if several and not _relay(self._wish.keeper):
                self._troubles.append(_not_listening(stand))
                continue
            if several:
                self._by_relay(edits, stand)
            else:
                self._by_include(edits, stand, names)
            wired.append(stand)
            needs += [
                KeeperNeed(
                    name=names[held.path],
                    chain=held.path,
                    kind="nginx-relay" if several else "nginx",
                    keys=self._keys(chosen, several=several),
                )
                for held in stand.held
                if held.path is not None
            ]
        self._shared(edits)
        self._take_over(texts(self._view, edits.files()))
        return wired, tuple({(need.name, need.kind): need for need in needs}.values())

    def _by_include(self, edits: Edits, stand: Stand, names: Mapping[Path, str]) -> None:
        folder, path = self._view.folder, stand.held[0].path
        assert path is not None
        pattern = f"{folder}/{names[path]}{KEEPER_INCLUDE}"
        there = stand.server.keeper_includes(folder)
        for name in STAPLING:
            for one in stand.server.block.all(name):
                if not one.file.startswith(f"{folder}/"):
                    edits.take(one)
        for one in there:
            if one.args != (pattern,):
                edits.take(one)
        if not any(one.args == (pattern,) for one in there):
            edits.put(stand.server, f"include {quoted(pattern)};")

    def _by_relay(self, edits: Edits, stand: Stand) -> None:
        for one in stand.server.keeper_includes(self._view.folder):
            edits.take(one)
        no_file(edits, stand)
        edits.holds(stand.server, "ssl_stapling", "on")
        edits.holds(stand.server, "ssl_stapling_responder", _relay(self._wish.keeper))

    def _keys(self, chosen: list[Stand], *, several: bool) -> dict[str, str]:
        keys = dict(self._setting.keys)
        if several:
            keys = {key: keys[key] for key in ("program", "pid_file") if key in keys}
        else:
            keys["include"] = f"{self._view.folder}/{{name}}.conf"
        where = {stand.site.listens[:1] for stand in chosen}
        if len(where) == 1 and (first := where.pop()):
            host, port = first[0]
            keys["prove"] = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return keys

    def _complete(self, stands: list[Stand]) -> None:
        """Missing issuers, appended to the certificates' own files."""
        for stand in stands:
            given = self._issuers.get(stand.site.name, ())
            for held in stand.held:
                more = missing(held, given)
                if more and held.path is not None:
                    already = self._files[held.path]
                    if already == self._before.files[held.path]:
                        self._files[held.path] = completed(already, more)
        self._view = self._survey()

    # -- pieces -----------------------------------------------------------------------------

    def _survey(self) -> Survey:
        return survey(self._setting.main, self._files, folder=self._setting.folder)

    def _chosen(self) -> list[Stand]:
        wanted = self._wish.sites
        return [s for s in self._view.stands if s.held and (not wanted or s.site.name in wanted)]

    def _edits(self, stands: list[Stand]) -> Edits:
        servers = [stand.server for stand in stands]
        return Edits(self._view.reading, self._view.servers, servers)

    def _take_over(self, changed: Mapping[str, str]) -> None:
        for name, text in changed.items():
            self._files[Path(name)] = written(text)
        if changed:
            self._view = self._survey()

    def _shared(self, edits: Edits) -> None:
        for one in dict.fromkeys(edits.shared):
            place = self._view.place(one)
            self._troubles.append(
                Trouble(
                    code="nginx-shared-line",
                    message=f"`{' '.join([one.name, *one.args])};` also holds for sites that were "
                    "not chosen",
                    hint="choose all of its sites, or move the line into their server blocks",
                    place=place,
                    fatal=True,
                )
            )

    def _root_file(self, stand: Stand) -> Path:
        name = _UNSAFE.sub("_", stand.site.name).strip(".") or "site"
        return self._setting.main.parent / f"holdfast-{name}-root.pem"

    def _changes(self) -> tuple[Change, ...]:
        changes = []
        for path, data in self._files.items():
            known = path in self._before.files
            there = self._before.files[path] if known else DiskFiles().data(str(path))
            if there != data:
                changes.append((known, Change(path, there, data)))
        return tuple(change for _, change in sorted(changes, key=lambda one: one[0]))


def _relay(keeper: Keeper | None) -> str:
    """Where a keeper's relay answers, "" for none."""
    if keeper is None or keeper.listen is None:
        return ""
    host, port = keeper.listen
    host = LOOPBACK.get(host, host)
    return f"http://[{host}]:{port}/ocsp" if ":" in host else f"http://{host}:{port}/ocsp"


def _not_listening(stand: Stand) -> Trouble:
    return Trouble(
        code="nginx-keeper-not-listening",
        message=f"{stand.site.name} has {len(stand.held)} certificates, for which nginx must ask "
        "the keeper, and the keeper listens nowhere",
        hint='set listen = "127.0.0.1:9120" in [keeper]',
        place=stand.site.place,
        fatal=True,
    )
