"""The responder as a service: settings -> what its workers run, what they answer and tell.

Law: `plan_of` opens nothing; `_built` does, in the worker that answers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from holdfast.errors import OperatorError
from holdfast.net.answer_server import AnswerServer
from holdfast.net.clock import SystemClock
from holdfast.net.files import read_bounded
from holdfast.net.http_message import Limits
from holdfast.net.http_server import Server
from holdfast.net.line_log import Journal, LineFile
from holdfast.net.sockets import Place
from holdfast.ocsp.statuses import RevocationReason, Revoked
from holdfast.pki import pem
from holdfast.pki.certificate import Certificate
from holdfast.plan.rules import NeverIssued, Nonces, OtherIssuers, Rules, SignedRequests, Told
from holdfast.services.responder import Responder
from holdfast.services.responder_audit import Audit
from holdfast.services.responder_health import Health
from holdfast.services.responder_metrics import Facts
from holdfast.services.responder_status import StatusPages
from holdfast.services.responder_sweeps import Sweeps
from holdfast.services.worker import Plan, Served, Worker
from holdfast.settings import parse_address
from holdfast.settings_responder import (
    ResponderCA,
    ResponderLimits,
    ResponderSigner,
    ResponderTable,
)
from holdfast.sources.signer_files import SignerPlace
from holdfast.wiring_responder import File, Lists
from holdfast.wiring_responder_ca import GivenCA, OpenCA, by_prefix, open_ca

if TYPE_CHECKING:
    from holdfast.stores.answers import Answers

OCSP, STATUS = "ocsp", "status"
JOURNAL = "journal"
IDENTIFIER = "holdfast-responder"
# Seconds that a thread which reads a ledger keeps those waiting who ask; Python's 5 ms are more
# than an answer takes.
THREAD_TURN = 0.0005


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A responder: its CAs, where it listens and what it may cost."""

    cas: tuple[GivenCA, ...]
    listen: tuple[Place, ...]
    workers: int = 1
    max_age: timedelta = timedelta(hours=1)
    audit: str = ""
    limits: Limits = field(default_factory=lambda: _limits(ResponderLimits()))
    grace: timedelta = timedelta(seconds=10)


def service_of(table: ResponderTable, given: Sequence[str] = ()) -> Service:
    """What `table` describes; `OperatorError` names the file that cannot be read. `given`: the
    names of sockets that came with the process, which are used instead of `listen`."""
    if not table.ca:
        raise OperatorError(
            "no [[responder.ca]]: for whom is to be answered?",
            hint='add [[responder.ca]] with certificate = "ca.pem" and its ledger',
        )
    return Service(
        cas=_named([_given(ca) for ca in table.ca]),
        listen=places_of(table, given),
        workers=workers_of(table.workers),
        max_age=table.max_age,
        audit=table.audit,
        limits=_limits(table.limits),
        grace=table.drain,
    )


def plan_of(service: Service, *, started_at: datetime) -> Plan:
    """For `services.workers`."""
    return Plan(
        build=partial(_built, service, started_at),
        listen=service.listen,
        workers=service.workers,
        grace=service.grace.total_seconds(),
    )


async def _built(service: Service, started_at: datetime, worker: Worker) -> Served:
    sys.setswitchinterval(THREAD_TURN)
    lines = _lines(service.audit)
    stores = Stores()
    opened = [
        await open_ca(given, Audit(given.name, tally=worker.tally, lines=lines), stores.opened)
        for given in service.cas
    ]
    clock = SystemClock()
    sweeps = Sweeps(
        [one.agreement for one in opened if one.agreement is not None],
        number=worker.number,
        tally=worker.tally,
        total=worker.tallies.total,
    )
    responder = Responder(
        by_prefix(opened, sweeps.overruling),
        clock=clock,
        max_age=service.max_age,
        tally=worker.tally,
    )
    pages = StatusPages(
        Health([one.asked for one in opened], clock=clock),
        total=worker.tallies.total,
        facts=partial(_facts, opened),
        workers=worker.of,
        started_at=started_at,
    )

    async def close() -> None:
        stores.close()
        if lines is not None:
            lines.close()

    return Served(
        servers={
            OCSP: AnswerServer(
                responder.respond, responder.hot, limits=service.limits, clock=clock
            ),
            STATUS: Server(pages.handle, limits=Limits(connections=100), clock=clock),
        },
        beside=[
            *(follow for one in opened for follow in one.follows),
            *([sweeps.run] if sweeps else []),
        ],
        close=close,
    )


def _facts(opened: Sequence[OpenCA], problems: Mapping[str, str]) -> list[Facts]:
    return [one.facts(problems.get(one.given.name, "")) for one in opened]


def _lines(audit: str) -> LineFile | Journal | None:
    if not audit:
        return None
    lines = Journal(IDENTIFIER) if audit == JOURNAL else LineFile(audit)
    lines.open()
    return lines


class Stores:
    """The stores of one process, each opened once."""

    def __init__(self) -> None:
        self._open: dict[str, Answers] = {}

    def opened(self, path: str) -> Answers:
        from holdfast.stores.answers import Answers

        path = os.path.realpath(path)
        if path not in self._open:
            self._open[path] = Answers(path)
        return self._open[path]

    def close(self) -> None:
        for one in self._open.values():
            one.close()
        self._open.clear()


# -- settings -> values -------------------------------------------------------------------------


def rules_of(ca: ResponderCA) -> Rules:
    """What is answered."""
    lost = None
    if ca.compromised is not None:
        reasons = {
            "cACompromise": RevocationReason.CA_COMPROMISE,
            "keyCompromise": RevocationReason.KEY_COMPROMISE,
        }
        lost = Revoked(ca.compromised, reasons[ca.compromised_reason])
    return Rules(
        validity=ca.validity,
        backdate=ca.backdate or timedelta(0),
        never_issued=NeverIssued(ca.never_issued),
        other_issuers=OtherIssuers(ca.other_issuers),
        signed_requests=SignedRequests(ca.signed_requests),
        requestors=tuple(_certificate(path) for path in ca.requestors),
        nonces=Nonces(ca.nonces),
        archive_cutoff=ca.archive_cutoff,
        tell=frozenset(map(Told, ca.tell)),
        ca_revoked=lost,
    )


def _given(ca: ResponderCA) -> GivenCA:
    certificate = _certificate(ca.certificate)
    return GivenCA(
        name=ca.name or common_name(certificate),
        certificate=certificate,
        prefix=ca.prefix,
        places=() if ca.responses else signer_places(ca),
        rules=rules_of(ca),
        profile=ca.profile,
        index=ca.index or None,
        ledger=ca.ledger or None,
        query=_file(ca.ledger_query) if ca.ledger_query else None,
        lists=_lists(ca, ca.crls),
        compared=_lists(ca, ca.compare_crls),
        responses=ca.responses or None,
        store=ca.store,
        hashes=tuple(ca.hashes),
        delay=ca.delay,
    )


def _lists(ca: ResponderCA, places: Sequence[str]) -> Lists | None:
    if not places:
        return None
    return Lists(tuple(places), tuple(map(_file, ca.crl_issuers)), ca.crl_unlisted)


def signer_places(ca: ResponderCA) -> tuple[SignerPlace, ...]:
    several: Sequence[ResponderSigner | ResponderCA] = ca.signers or [ca]
    return tuple(
        SignerPlace(
            certificate=one.certificate,
            key=one.key,
            passphrase=one.passphrase_file,
            sessions=one.sessions,
            responder=ca.responder_id,
            pss=ca.pss,
        )
        for one in several
    )


def common_name(certificate: Certificate) -> str:
    """What to call it in a line: its common name, else all of its name."""
    from cryptography.x509.oid import NameOID

    found = certificate.x509.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else certificate.subject


def _named(cas: Sequence[GivenCA]) -> tuple[GivenCA, ...]:
    """`cas`, when each has a name of its own: metrics and log tell them apart by it."""
    seen: set[str] = set()
    for one in cas:
        if one.name in seen:
            raise OperatorError(
                f"two [[responder.ca]] are called {one.name!r}",
                hint="give each a name of its own: name =",
            )
        seen.add(one.name)
    return tuple(cas)


def places_of(table: ResponderTable, given: Sequence[str]) -> tuple[Place, ...]:
    """Where to listen: on the sockets of these names, for what they serve; else as settings say."""
    places = [Place(given=name, purpose=OCSP) for name in dict.fromkeys(given) if name != STATUS]
    places = places or [_place(text, OCSP) for text in table.listen]
    if STATUS in given:
        return (*places, Place(given=STATUS, purpose=STATUS))
    return (*places, _place(table.status, STATUS)) if table.status else tuple(places)


def workers_of(number: int) -> int:
    """`number`, and for 0 one for each processor that this process may use."""
    return number or len(os.sched_getaffinity(0))


def _place(text: str, purpose: str) -> Place:
    if "/" in text:
        return Place(path=text, purpose=purpose)
    address = parse_address(text)
    assert address is not None, "refused when the settings were read"
    return Place(host=address[0] or "0.0.0.0", port=address[1], purpose=purpose)  # noqa: S104


def _limits(limits: ResponderLimits) -> Limits:
    return Limits(
        connections=limits.connections,
        body_bytes=limits.request_bytes,
        idle_seconds=limits.idle.total_seconds(),
        head_seconds=limits.head.total_seconds(),
        body_seconds=limits.body.total_seconds(),
    )


def _file(path: str) -> File:
    return File(path, read_bounded(path))


def _certificate(path: str) -> Certificate:
    return pem.certificates(read_bounded(path), name=path)[0]
