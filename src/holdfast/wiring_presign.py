"""One CA as the operator gave it -> what signs its answers ahead.

Law: processes are forked first, before a thread runs, a map is open or a token has a session.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from holdfast.errors import OperatorError, Unavailable
from holdfast.net.clock import SystemClock
from holdfast.ocsp.sign import Signer
from holdfast.plan.presigning import Wish, refuse_hasty
from holdfast.plan.record import mask
from holdfast.services.presign import Presigner, Progress
from holdfast.services.signing_processes import SigningProcesses
from holdfast.services.signing_worker import Choose, Orders
from holdfast.sources.signer_files import SignerFiles
from holdfast.sources.signers import Signers
from holdfast.stores.answers import MAX_SHELF
from holdfast.stores.answers_filling import Filling
from holdfast.wiring_responder import Follow, follower_of, opened_ledger
from holdfast.wiring_responder_ca import GivenCA

LOOK_EVERY = 10.0  # seconds between two looks at the files of signers
TICK = 2_000_000_000  # nanoseconds; the coarsest clock of a file system (FAT) ticks so


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What `holdfast presign` does for one CA. `processes` 0: one for each core, and one more that
    signs while another hands over what it signed. `delay` None: once."""

    given: GivenCA
    store: str
    hash_algorithms: tuple[str, ...] = ("sha1",)
    ahead: timedelta = timedelta(hours=1)
    ended: bool = False
    anew: bool = False
    processes: int = 0
    limit: int = MAX_SHELF
    delay: timedelta | None = None


@contextmanager
def presigning(job: Job, progress: Progress) -> Iterator[tuple[Presigner, Follow | None]]:
    """What does `job`, and what has to run beside it while it follows. Reads the ledger."""
    given = job.given
    if given.responses is not None:
        raise OperatorError(
            f"{given.name}: answers signed elsewhere are not signed again",
            hint="give the CA's ledger instead of responses",
        )
    refuse_hasty(given.rules)
    clock = SystemClock()
    with ExitStack() as stack:
        build = partial(_chooser, given)
        opened = partial(Filling, job.store, ca=given.certificate, limit=job.limit)
        orders = Orders(
            build=build,
            opened=partial(opened, locked=False),
            rules=given.rules,
            hash_algorithms=job.hash_algorithms,
            clock=clock,
        )
        count = job.processes or len(os.sched_getaffinity(0)) + 1
        processes = SigningProcesses(orders, count=count)
        stack.callback(processes.close)
        choose = build()
        choose(clock.now())  # what is wrong with the signer is told first
        ledger = asyncio.run(
            opened_ledger(
                issuer=given.certificate,
                index=given.index,
                ledger=given.ledger,
                query=given.query,
                lists=given.lists,
            )
        )
        since = clock.now() - given.rules.backdate if job.anew else None
        presigner = Presigner(
            ledger=ledger,
            opened=opened,
            processes=processes,
            choose=choose,
            wish=Wish(
                rules=given.rules,
                hashes=mask(job.hash_algorithms),
                ahead=job.ahead,
                ended=job.ended,
                since=0 if since is None else int(since.timestamp()),
            ),
            clock=clock,
            identity=None if given.index is None else partial(_identity, given.index),
            delay=job.delay,
            progress=progress,
        )
        stack.callback(presigner.close)
        yield presigner, follower_of(ledger)


def _chooser(given: GivenCA) -> Choose:
    """Who signs, as the files of the signers have it."""
    if given.places:
        files = SignerFiles(given.places, issuer=given.certificate, clock=SystemClock())
        signers, look = files.signers, files.look
    else:
        signers, look = Signers(*given.signers), None
    looked = time.monotonic()

    def choose(at: datetime) -> Signer:
        nonlocal looked
        if look is not None and time.monotonic() - looked >= LOOK_EVERY:
            looked = time.monotonic()
            look()
        choice = signers.choose(at, given.rules.validity)
        if choice.objection:
            raise Unavailable(
                f"{given.name}: {choice.objection}",
                hint="`holdfast ca signer` issues a fitting one",
            )
        return choice.signer

    return choose


def _identity(path: str) -> Hashable:
    """What changes with the file at `path`; and once more when it has rested, because a change
    within one tick of the file system's clock does not show."""
    try:
        seen = os.stat(path)
    except OSError as error:
        return error.errno
    rested = time.time_ns() - seen.st_mtime_ns > TICK
    return seen.st_mtime_ns, seen.st_size, seen.st_ino, seen.st_dev, rested
