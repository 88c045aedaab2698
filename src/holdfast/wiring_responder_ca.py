"""One CA of a responder: what the operator gave, and the objects that answer from it.

Law: what is opened (databases, tokens, the store) is opened in the process that uses it, after any
fork; what a `GivenCA` holds may be forked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Literal

from holdfast.errors import OperatorError, StoreError
from holdfast.net.clock import SystemClock
from holdfast.ocsp.certid import ca_tag
from holdfast.ocsp.sign import Signer
from holdfast.pki.certificate import Certificate
from holdfast.plan.rules import Rules
from holdfast.plan.webpki import SigningAs, signer_breaches
from holdfast.services.responder_audit import Audit
from holdfast.services.responder_health import Asked
from holdfast.services.responder_metrics import Facts, Stored
from holdfast.sources.signer_files import SignerFiles, SignerPlace
from holdfast.sources.signers import Signers
from holdfast.wiring_responder import (
    File,
    Follow,
    Lists,
    crl_ledger,
    follower_of,
    opened_ledger,
    ready_from,
    refuse_unfit,
)

if TYPE_CHECKING:
    from holdfast.seams import Ledger
    from holdfast.services.agreement import Agreement, Overrule
    from holdfast.services.responder import Answering
    from holdfast.sources.signing import Signing
    from holdfast.stores.answers import Answers
    from holdfast.stores.responses import ReadyAnswers

Shelves = Callable[[str], "Answers"]
"""Opens the store at a path; once, however many CAs share it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenCA:
    """One CA as the operator gave it: signers that were read already or the places where they lie,
    and exactly one of `index`, `ledger`, `lists` and `responses`, where no signer is needed.

    `compared`: CRLs that the ledger is held against. `store`: answers signed ahead, by the CertID
    `hashes`, used while they were compared with the ledger within `delay`.
    """

    name: str
    certificate: Certificate
    prefix: str = ""
    signers: tuple[Signer, ...] = field(default=(), repr=False)
    places: tuple[SignerPlace, ...] = ()
    rules: Rules = field(default_factory=Rules)
    profile: Literal["", "webpki"] = ""
    index: str | None = None
    ledger: str | None = None
    query: File | None = None
    lists: Lists | None = None
    compared: Lists | None = None
    responses: str | None = None
    store: str = ""
    hashes: tuple[str, ...] = ("sha1",)
    delay: timedelta = timedelta(minutes=1)


@dataclass(slots=True, kw_only=True)
class OpenCA:
    """One CA, answering. `follows`: what runs beside it; `live` None: signed elsewhere."""

    given: GivenCA
    answering: Answering
    asked: Asked
    live: Signing | None = None
    ready: ReadyAnswers | None = None
    ledger: Ledger | None = None
    agreement: Agreement | None = None
    shelf: Answers | None = None
    follows: list[Follow] = field(default_factory=list)

    def facts(self, problem: str) -> Facts:
        """For the metrics; `problem` is what health says of it."""
        signers = () if self.live is None else self.live.signers.all
        return Facts(
            name=self.given.name,
            healthy=not problem,
            ends=[(f"{one.certificate.serial:x}", one.certificate.not_after) for one in signers],
            stored=self._stored(),
        )

    def _stored(self) -> Stored | None:
        if self.shelf is None:
            return None
        tag = ca_tag(self.given.certificate)
        try:
            return Stored(answers=self.shelf.count(tag), compared=self.shelf.compared(tag))
        except StoreError:  # the answers are signed live, and the log has told it
            return Stored(answers=0, compared=None)


async def open_ca(given: GivenCA, audit: Audit, shelves: Shelves) -> OpenCA:
    """The objects that answer for `given`; `OperatorError` or `StoreError` when they cannot be."""
    from holdfast.sources.signing import Signing

    if given.responses is not None:
        ready = await ready_from(given.responses, given.certificate)
        asked = Asked(name=given.name, look=ready.look)
        return OpenCA(given=given, answering=ready, ready=ready, asked=asked)
    follows: list[Follow] = []
    signers = _signers(given, follows)
    _refuse(given, signers)
    ledger = await opened_ledger(
        issuer=given.certificate,
        index=given.index,
        ledger=given.ledger,
        query=given.query,
        lists=given.lists,
    )
    if (follow := follower_of(ledger)) is not None:
        follows.append(follow)
    shelf = shelves(given.store) if given.store else None
    agreement = await _agreement(given, ledger, shelf, follows)
    ledger = ledger if agreement is None else agreement
    live = Signing(
        signer=signers, ledger=ledger, clock=SystemClock(), rules=given.rules, audit=audit
    )
    return OpenCA(
        given=given,
        answering=live,
        live=live,
        ledger=ledger,
        agreement=agreement,
        shelf=shelf,
        follows=follows,
        asked=Asked(
            name=given.name,
            sign=partial(_probed, live, audit),
            ledger=ledger,
            also=(lambda: audit.failing,),
        ),
    )


async def _agreement(
    given: GivenCA, ledger: Ledger, shelf: Answers | None, follows: list[Follow]
) -> Agreement | None:
    """What holds `ledger` against the CRLs and the store; None where there is neither (R35)."""
    from holdfast.services.agreement import DELAY, Agreement

    if not given.rules.shelf_may_answer:
        shelf = None  # nothing of it is given
    if shelf is None and given.compared is None:
        return None
    crl = None
    if given.compared is not None:
        crl = await crl_ledger(given.compared, given.certificate)
        follows.append(crl.follow)
    return Agreement(
        ledger,
        ca=given.certificate,
        clock=SystemClock(),
        crl=crl,
        shelf=shelf,
        delay=max(DELAY, given.delay),
    )


def _signers(given: GivenCA, follows: list[Follow]) -> Signers:
    if not given.places:
        return Signers(*given.signers)
    files = SignerFiles(given.places, issuer=given.certificate, clock=SystemClock())
    follows.append(files.follow)
    return files.signers


def _refuse(given: GivenCA, signers: Signers) -> None:
    """Refuse signers of which none is fit now, and those that the profile forbids."""
    at = SystemClock().now()
    if all(signer.objection(at) for signer in signers.all):
        refuse_unfit(signers.all[0], at)
    if given.profile != "webpki":
        return
    for signer in signers.all:
        judged = SigningAs(certificate=signer.certificate, issuer=signer.issuer)
        for breach in signer_breaches(judged):
            raise OperatorError(f"{given.name}: {breach.message}", hint=breach.hint)


async def _probed(
    live: Signing, audit: Audit, job: Callable[[Signer], bytes]
) -> tuple[Signer, bytes]:
    """Health's signature, made where the others are made."""
    signer = live.signer
    der = await live.pool.run(partial(job, signer)) if signer.blocking else job(signer)
    audit.probed(der, signer)
    return signer, der


def by_prefix(
    several: Sequence[OpenCA], overruling: Callable[[Overrule], Overrule]
) -> dict[str, Answering]:
    """What answers under each prefix; CAs that share one are told apart by the CertID (R15).
    `overruling` is put round what agreements tell the store (R35)."""
    groups: dict[str, list[OpenCA]] = {}
    for one in several:
        groups.setdefault(one.given.prefix.rstrip("/"), []).append(one)
    return {prefix: _together(group, overruling) for prefix, group in groups.items()}


def _together(group: Sequence[OpenCA], overruling: Callable[[Overrule], Overrule]) -> Answering:
    from holdfast.sources.authorities import Authorities
    from holdfast.sources.presigned import Presigned

    found: Answering = group[0].answering
    if len(group) > 1:
        found = Authorities([(one.given.certificate, one.answering) for one in group])
    shared: dict[tuple[str, tuple[str, ...], timedelta], list[OpenCA]] = {}
    for one in group:
        if one.shelf is not None and one.given.rules.shelf_may_answer:
            key = one.given.store, one.given.hashes, one.given.delay
            shared.setdefault(key, []).append(one)
    for (_, hashes, delay), those in shared.items():
        shelf = those[0].shelf
        assert shelf is not None
        stored = Presigned(
            shelf,
            found,
            issuers=[one.given.certificate for one in those],
            clock=SystemClock(),
            hash_algorithms=hashes,
            compared=shelf.compared,
            within=delay,
        )
        for one in those:
            if one.agreement is not None:
                one.agreement.overrule = overruling(stored.overrule)
        found = stored
    return found
