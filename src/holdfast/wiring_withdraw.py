"""The state folder and the settings without the daemon: what is held, and taking it away (K27).

Laws: nothing is believed that is not verified now; what a server's own file proves to be current is
left there, whatever became of the store; what the store holds goes last, when every server is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from msgspec import structs

from holdfast.errors import HoldfastError, NotFound, OperatorError, Rejected
from holdfast.net.files import read_bounded
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.freshness import Freshness, withdraw_at
from holdfast.ocsp.policy import STRICT, Policy
from holdfast.ocsp.response import MAX_RESPONSE, Response, SingleResponse
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import Revoked
from holdfast.ocsp.verify import verify
from holdfast.ocsp.window import Window
from holdfast.pki import pem
from holdfast.pki.chain import order
from holdfast.pki.kind import Kind
from holdfast.plan.own_clock import proved_once
from holdfast.servers.owed import Debt
from holdfast.services.inventory import Kept
from holdfast.settings import Settings
from holdfast.stores.files import FOLDER, FileStore
from holdfast.wiring_keeper import inventory_of, policy_of, rules_of
from holdfast.wiring_servers import FedServer, Names, files_of, owed_of, server_of


@dataclass(frozen=True, slots=True)
class Taken:
    """A staple of the certificate `name` taken from `server`; `error`: why it could not be."""

    name: str
    server: str
    error: str = ""


def held(
    state: str, certificate: str, issuer: str | None, settings: Settings | None, *, at: datetime
) -> Staple:
    """The staple for `certificate` (a file, or a name in `settings`) in the folder `state`.

    `NotFound` when there is none, `Rejected` when what is there does not hold at `at`.
    """
    subject = _subject(certificate, issuer, settings)
    response = FileStore(Path(state) / FOLDER).read(subject.certid)
    if response is None:
        raise NotFound(
            f"{certificate}: no staple is held in {state}",
            hint="no keeper is running there; `holdfast keep` starts one",
        )
    staple = verify(response, subject, at=at, policy=policy_of(settings) if settings else STRICT)
    if at >= withdraw_at(staple):
        raise NotFound(
            f"{certificate}: the staple in {state} has ended",
            hint="no keeper is running there; `holdfast keep` starts one",
        )
    withheld = settings is not None and settings.keeper.on_revoked == "withhold"
    if withheld and isinstance(staple.certificate_status, Revoked):
        raise NotFound(
            f"{certificate}: it is revoked, and the settings withhold such a staple",
            hint='`on_revoked = "staple"` would send it',
        )
    return staple


async def withdraw(
    state: str, settings: Settings, *, name: str | None, at: datetime, dry_run: bool = False
) -> list[Taken]:
    """Withdraw the certificate `name`, or (None) whatever is not to be sent at `at`."""
    settings = structs.replace(settings, keeper=structs.replace(settings.keeper, state=state))
    if name is not None:
        _refuse_running(state)
    inventory = inventory_of(settings)
    names = Names()
    names.learn(inventory)
    servers = {table.name: server_of(table, names, state=state) for table in settings.server}
    chosen = [kept for kept in inventory.kept if name is None or _is(kept, name)]
    if name is not None and not chosen:
        raise NotFound(
            f"no certificate {name!r} is in {settings.file or 'the settings'}",
            hint=f"there are {', '.join(kept.name for kept in inventory.kept) or 'none'}",
        )
    freshness = rules_of(settings).freshness
    due = [
        (server, one)
        for kept in chosen
        for server in map(servers.get, kept.servers)
        if server is not None and (name or not _current_at(server, kept, settings, at))
        if (one := _on(server, kept, at, freshness)) is not None
    ]
    listed = {(server.name, one.certid.key) for server, one in due}
    by_key = {kept.subject.certid.key: kept for kept in (chosen if name else inventory.kept)}
    for server, debt in _owed(servers.values()):
        named = by_key.get(debt.certid.key)
        if (server.name, debt.certid.key) in listed or (name and named is None):
            continue
        names.call(debt.certid, debt.name)
        if name or not _given_again(server, debt, named, settings, at):
            due.append((server, debt))
    for _, one in due:
        names.call(one.certid, one.name)
    # all at once: those of one server share its reload (K28)
    taken = list(await asyncio.gather(*(_from_server(*pair, dry_run) for pair in due)))
    failed = {one.certid.key for (_, one), row in zip(due, taken, strict=True) if row.error}
    lasting = {row.name for row in taken if row.error}
    store = FileStore(Path(state) / FOLDER)
    for kept in chosen:
        stored = store.path(kept.subject.certid)
        if kept.name in lasting:  # what is still to be done is to be seen
            continue
        if stored.exists() and (name or not _proved(stored, kept.subject, settings, at)):
            taken.append(_from_store(store, kept, dry_run))
    known = {store.path(kept.subject.certid) for kept in inventory.kept}
    known |= {store.folder / f"{key}.der" for key in failed}
    if name is None:
        taken += _ended_in(store.folder, at, freshness, dry_run=dry_run, but=known)
    for problem in inventory.problems:
        taken.append(Taken(settings.file or "settings", "no server", problem.message))
    return taken


def _on(server: FedServer, kept: Kept, at: datetime, freshness: Freshness) -> Debt | None:
    """What is to be taken from the file of `kept`: None where nothing is, or another's that may be
    sent (the certificate has been replaced since)."""
    files = files_of(server)
    if files is None:  # it asks the keeper, so without one it has nothing
        return None
    path = files.path(kept.subject.certid)
    blank = path.exists() and (path.stat().st_size == 0 or files.is_blank(path))
    if blank or not path.exists():  # an empty one: HAProxy may need it, see there
        return None
    other = _of_another(path, kept)
    if other is None:
        return Debt(kept.subject.certid, kept.name)
    ended = all(_ends(single, freshness) <= at for single in other)
    return Debt(other[0].certid, kept.name) if ended else None


def _owed(servers: Iterable[FedServer | None]) -> Iterator[tuple[FedServer, Debt]]:
    """What servers were not told of when it was taken from their files."""
    for server in servers:
        owed = None if server is None else owed_of(server)
        if server is not None and owed is not None:
            yield from ((server, debt) for debt in owed.noted())


def _given_again(
    server: FedServer, debt: Debt, kept: Kept | None, settings: Settings, at: datetime
) -> bool:
    """True when the server's file holds a staple of that certificate since, which may be sent."""
    if kept is not None:
        return _current_at(server, kept, settings, at)
    files = files_of(server)
    response = None if files is None else _read(files.path(debt.certid))
    singles = () if response is None or response.basic is None else response.basic.singles
    return any(_ends(single, rules_of(settings).freshness) > at for single in singles)


async def _from_server(server: FedServer, one: Debt, dry_run: bool) -> Taken:
    if not dry_run:
        try:
            await server.withdraw(one.certid)
        except HoldfastError as error:
            return Taken(one.name, server.name, error.message)
    return Taken(one.name, server.name)


def _from_store(store: FileStore, kept: Kept, dry_run: bool) -> Taken:
    if not dry_run:
        try:
            store.remove(kept.subject.certid)
        except HoldfastError as error:
            return Taken(kept.name, "store", error.message)
    return Taken(kept.name, "store")


def _current_at(server: FedServer, kept: Kept, settings: Settings, at: datetime) -> bool:
    """True when the server's own file holds a staple that may be sent at `at`."""
    files = files_of(server)
    if files is None:
        return False
    return _proved(files.path(kept.subject.certid), kept.subject, settings, at)


def _proved(path: Path, subject: Subject, settings: Settings, at: datetime) -> bool:
    response = _read(path)
    if response is None:
        return False
    policy: Policy = policy_of(settings)
    try:
        staple = proved_once(response, subject, at=at, policy=policy)
    except Rejected:
        return False
    return at < withdraw_at(staple, rules_of(settings).freshness)


def _of_another(path: Path, kept: Kept) -> tuple[SingleResponse, ...] | None:
    """What the file at `path` says, if that is of other certificates only."""
    response = _read(path)
    singles = () if response is None or response.basic is None else response.basic.singles
    others = [single.certid.serial != kept.subject.serial for single in singles]
    return singles if others and all(others) else None


def _read(path: Path) -> Response | None:
    try:
        data = read_bounded(path, 2 * MAX_RESPONSE)
        return Response.parse(pem.single(data, Kind.OCSP_RESPONSE, name=str(path)))
    except HoldfastError:
        return None


def _ended_in(
    folder: Path, at: datetime, freshness: Freshness, *, dry_run: bool, but: set[Path]
) -> Iterator[Taken]:
    """Files of the store that have ended: no signature is needed to see that."""
    for path in sorted(folder.glob("*.der")) if folder.is_dir() else []:
        response = None if path in but else _read(path)
        if response is None or response.basic is None:
            continue
        ends = [_ends(single, freshness) for single in response.basic.singles]
        if not ends or max(ends) > at:
            continue
        error = ""
        if not dry_run:
            try:
                path.unlink()
                path.with_suffix(".txt").unlink(missing_ok=True)
            except OSError as problem:
                error = problem.strerror or str(problem)
        yield Taken(path.stem[:16], "store", error)


def _ends(single: SingleResponse, freshness: Freshness) -> datetime:
    """`withdraw_at` of what nobody has verified: without nextUpdate it has a lifetime too (K6)."""
    end = single.next_update or single.this_update + freshness.default_lifetime
    window = Window(single.this_update, max(end, single.this_update))
    return window.end - min(freshness.margin, window.length * freshness.margin_fraction)


def _subject(certificate: str, issuer: str | None, settings: Settings | None) -> Subject:
    path = Path(certificate)
    if path.is_file():
        extra = pem.certificates(read_bounded(issuer), name=issuer) if issuer else ()
        chain = order(pem.certificates(read_bounded(path), name=certificate), extra=extra)
        if chain.issuer is not None:
            return Subject.of(chain.leaf, chain.issuer)
        raise OperatorError(
            f"{certificate}: the issuer of {chain.leaf.subject} is not in it",
            hint="name its file with --issuer",
        )
    for kept in inventory_of(settings).kept if settings is not None else ():
        if _is(kept, certificate):
            return kept.subject
    raise NotFound(
        f"{certificate}: neither a file nor a certificate of the settings",
        hint="name the certificate's file, or the keeper's settings with -c",
    )


def _is(kept: Kept, name: str) -> bool:
    return name in (kept.name, f"{kept.subject.serial:x}", kept.subject.certid.key)


def _refuse_running(state: str) -> None:
    from holdfast.errors import Unavailable
    from holdfast.services.control_client import ask

    try:
        ask(state, {"do": "nothing"}, timeout=5)
    except Unavailable as error:
        if error.failure == "not-running":
            return
    except HoldfastError:
        pass
    raise OperatorError(
        f"a keeper is running on {state}: it would give the staple back",
        hint="take the certificate out of its settings and `holdfast reload`, or stop it",
    )
