"""The state folder and the settings without the daemon: what is held, and taking it away (K27).

Laws: nothing is believed that is not verified now; what a server's own file proves to be current is
left there, whatever became of the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from holdfast.errors import HoldfastError, NotFound, OperatorError, Rejected
from holdfast.net.files import read_bounded
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.freshness import withdraw_at
from holdfast.ocsp.policy import STRICT, Policy
from holdfast.ocsp.response import MAX_RESPONSE, Response, SingleResponse
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import Revoked
from holdfast.ocsp.verify import verify
from holdfast.pki import pem
from holdfast.pki.chain import order
from holdfast.pki.kind import Kind
from holdfast.plan.own_clock import proved_once
from holdfast.services.inventory import Kept
from holdfast.settings import Settings
from holdfast.stores.files import FOLDER, FileStore
from holdfast.wiring_keeper import inventory_of, policy_of, rules_of
from holdfast.wiring_servers import FedServer, Names, files_of, server_of


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
    state: str, settings: Settings | None, *, name: str | None, at: datetime, dry_run: bool = False
) -> list[Taken]:
    """Withdraw the certificate `name`, or (None) whatever is not to be sent at `at`."""
    if settings is None:
        if name is not None:
            raise OperatorError(
                f"{name}: whose staple is that? no settings were found",
                hint="name the keeper's settings with -c",
            )
        return list(_ended_in(Path(state) / FOLDER, at, dry_run=dry_run))
    if name is not None:
        _refuse_running(state)
    inventory = inventory_of(settings)
    names = Names()
    names.learn(inventory)
    servers = {table.name: server_of(table, names) for table in settings.server}
    chosen = [kept for kept in inventory.kept if name is None or _is(kept, name)]
    if name is not None and not chosen:
        raise NotFound(
            f"no certificate {name!r} is in {settings.file or 'the settings'}",
            hint=f"there are {', '.join(kept.name for kept in inventory.kept) or 'none'}",
        )
    store = FileStore(Path(state) / FOLDER)
    # all at once: those of one server share its reload (K28)
    parts = await asyncio.gather(
        *(
            _from_server(server, kept, names, at, dry_run)
            for kept in chosen
            for server in map(servers.get, kept.servers)
            if server is not None and (name or not _current_at(server, kept, settings, at))
        )
    )
    taken = [one for part in parts for one in part]
    for kept in chosen:
        stored = store.path(kept.subject.certid)
        if stored.exists() and (name or not _proved(stored, kept.subject, settings, at)):
            taken.append(_from_store(store, kept, dry_run))
    known = {store.path(kept.subject.certid) for kept in inventory.kept}
    if name is None:
        taken += _ended_in(store.folder, at, dry_run=dry_run, but=known)
    for problem in inventory.problems:
        taken.append(Taken(settings.file or "settings", "no server", problem.message))
    return taken


async def _from_server(
    server: FedServer, kept: Kept, names: Names, at: datetime, dry_run: bool
) -> list[Taken]:
    files = files_of(server)
    if files is None:  # it asks the keeper, so without one it has nothing
        return []
    certid = kept.subject.certid
    path = files.path(certid)
    blank = path.exists() and (path.stat().st_size == 0 or files.is_blank(path))
    if blank or not path.exists():  # an empty one: HAProxy may need it, see there
        return []
    other = _of_another(path, kept)
    if other is not None:  # the certificate has been replaced since
        if any(single.next_update is None or single.next_update > at for single in other):
            return []
        certid = other[0].certid
        names.call(certid, kept.name)
    if dry_run:
        return [Taken(kept.name, server.name)]
    try:
        await server.withdraw(certid)
    except HoldfastError as error:
        return [Taken(kept.name, server.name, error.message)]
    return [Taken(kept.name, server.name)]


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
    folder: Path, at: datetime, *, dry_run: bool, but: set[Path] | None = None
) -> Iterator[Taken]:
    """Files of the store whose nextUpdate has passed: no signature is needed to see that."""
    for path in sorted(folder.glob("*.der")) if folder.is_dir() else []:
        response = None if path in (but or ()) else _read(path)
        if response is None or response.basic is None:
            continue
        ends = [single.next_update for single in response.basic.singles]
        if not ends or any(end is None or end > at for end in ends):
            continue
        error = ""
        if not dry_run:
            try:
                path.unlink()
                path.with_suffix(".txt").unlink(missing_ok=True)
            except OSError as problem:
                error = problem.strerror or str(problem)
        yield Taken(path.stem[:16], "store", error)


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
