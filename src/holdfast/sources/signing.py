"""Answers signed here: a CA's ledger and its signers, as a Source and for a responder.

Laws: nothing waits without an end (R34): what a signer or a ledger cannot do in time is tryLater;
a ledger that cannot be read is never good.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple, Protocol

from holdfast.errors import HoldfastError, NotFound, PeerError, StoreError, Unavailable
from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import Response
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import GOOD, CertificateStatus, ResponseStatus, Revoked
from holdfast.plan.answering import Answer, Detail, Rules, Signed, answer, read_request, refusal
from holdfast.plan.choosing import choose
from holdfast.seams import Clock, Ledger, LedgerEntry, Waits, entry_at_once
from holdfast.sources.quick_signing import Asked, Plain, QuickSigning
from holdfast.sources.signer_pool import BoundedPool
from holdfast.sources.signers import Choice, Signers

MAX_GIVEN = 10_000  # answers that are kept to be given again; one takes about 1 kB
MAX_HELD_REQUEST = 512  # octets of a request whose answer is kept: 80 a CertID by SHA-1
LEDGER_THREADS = 4  # below the five connections that SQLAlchemy's pool keeps


class Audit(Protocol):
    """Told each signature. One that can be told those of several plain answers at once has
    `several` too: serials and answers, who signed them, and when."""

    def __call__(self, answer: Answer, signer: Signer, /) -> None: ...


Several = Callable[[Sequence[tuple[int, Signed]], Signer, datetime], None]
Word = tuple[LedgerEntry | None, ...]
"""What the ledger says of the serials asked, in their order."""


class _Held(NamedTuple):
    """An answer that may be given again while the ledger's word is `word`. One to a plain request
    is kept as `signed`, from which an `Answer` is made when one is wanted."""

    answer: Answer | None
    serials: tuple[int, ...]
    word: Word
    since: datetime
    until: datetime
    signed: Signed | None = None


class Signing:
    """One CA's answers, signed when they are asked for.

    `signer` may be several with overlap. `audit` is told each signature, by the thread of the
    event loop. As a `Source` its responses are for the asking subject and by a signer that is fit
    to sign; they are not verified again.
    """

    def __init__(
        self,
        *,
        signer: Signer | Signers,
        ledger: Ledger,
        clock: Clock,
        rules: Rules | None = None,
        audit: Audit | None = None,
        pool: BoundedPool | None = None,
        keep: int = MAX_GIVEN,
    ) -> None:
        """`pool`: who signs where keys block (default: as many threads as the key has sessions);
        `keep`: how many answers are kept to be given again."""
        self.signers = signer if isinstance(signer, Signers) else Signers(signer)
        self._ledger = ledger
        self._entry_now = entry_at_once(ledger)
        self._clock = clock
        self._rules = rules or Rules()
        self._audit = audit
        self._audit_several: Several | None = getattr(audit, "several", None)
        self._keep = keep
        self._pool = pool
        self._readers = BoundedPool("the ledger", threads=LEDGER_THREADS)
        self._choice: Choice | None = None
        self._blocking = True  # the signer chosen waits for another machine
        self._generation = -1
        self._given: dict[bytes, _Held] = {}
        self._quick = QuickSigning(self._rules)

    @property
    def signer(self) -> Signer:
        """Who signs now."""
        return self._chosen(self._clock.now()).signer

    @property
    def pool(self) -> BoundedPool:
        """Who signs where keys block."""
        if self._pool is None:
            sessions = max(signer.sessions for signer in self.signers.all)
            self._pool = BoundedPool("the signer", threads=sessions)
        return self._pool

    async def response(self, subject: Subject, /) -> Response:
        given = await self.answer(Request.build(subject.certid))
        match given.response_status:
            case ResponseStatus.successful:
                return Response.parse(given.der)
            case ResponseStatus.tryLater | ResponseStatus.internalError:
                raise Unavailable(given.why, failure="try-later")
            case ResponseStatus.unauthorized:
                raise NotFound(given.why)
            case _:
                raise PeerError(given.why)

    # -- at once ------------------------------------------------------------------------------

    def answer_now(self, data: bytes, /) -> Answer | None:
        """The answer to the request in `data` where nothing blocks; None: ask `answer_bytes`.

        An answer without a nonce is given again, byte for byte, while the ledger says the same and
        no more than a hundredth of its window has passed: so that caches and If-None-Match work
        (R23), and a crowd costs one signature.
        """
        at = self._clock.now()
        choice = self._chosen(at)  # first: what another signed before is then forgotten
        try:
            plain = self._quick.read(data)
            if plain is not None:
                entry = self._entry_now(plain.serial)
                if entry is Waits.WAITS:
                    return None
                held = self._given.get(data)
                if held is not None and held.since <= at < held.until and held.word == (entry,):
                    return self._again(held, plain)
                if self._blocking:
                    return None
                if entry is not None and not choice.objection:
                    parts = plain.shape, plain.octets, plain.nonce
                    (signed,) = self._quickly([data], [(parts, entry)], choice.signer, at)
                    if signed is not None:
                        return self._quick.told(plain, entry, signed, at)
            return None if self._ledger.blocking else self._general(data, choice, at)
        except StoreError as error:
            return refusal(ResponseStatus.tryLater, error.message)

    def signed_now(self, several: Sequence[bytes], /) -> list[Signed | None]:
        """The same of several requests, in octets, as plain requests alone are answered: most are,
        and making an `Answer` costs as much as all else beside the signature. None: ask
        `answer_now`."""
        at = self._clock.now()
        choice = self._chosen(at)
        given: list[Signed | None] = [None] * len(several)
        if self._blocking or choice.objection:
            return given
        parts, entry_now, held_of = self._quick.parts, self._entry_now, self._given.get
        asked: list[Asked] = []
        wanted: list[tuple[int, bytes]] = []
        twins: dict[bytes, list[int]] = {}  # what one of these asks as well is signed once
        for place, data in enumerate(several):
            found = parts(data)
            if found is None:
                continue
            try:
                entry = entry_now(int.from_bytes(found[1], "big"))
            except StoreError:
                continue  # told by `answer_now`
            if entry is None or entry is Waits.WAITS:
                continue
            if self._keep and not found[2]:
                held = held_of(data)
                if held is not None and held.since <= at < held.until and held.word == (entry,):
                    given[place] = held.signed
                    continue
                if data in twins:
                    twins[data].append(place)
                    continue
                twins[data] = []
            asked.append((found, entry))
            wanted.append((place, data))
        made = self._quickly([one[1] for one in wanted], asked, choice.signer, at)
        for (place, data), signed in zip(wanted, made, strict=True):
            given[place] = signed
            for again in twins.get(data, ()):
                given[again] = signed
        return given

    def _quickly(
        self, datas: Sequence[bytes], asked: Sequence[Asked], signer: Signer, at: datetime
    ) -> list[Signed | None]:
        """Signed, noted, and kept where they may be given again; None: not by the quick way."""
        made = self._quick.sign(asked, signer, at)
        if self._audit_several is not None:
            serials = (entry.serial for _, entry in asked)
            noted = [(n, one) for n, one in zip(serials, made, strict=True) if one is not None]
            self._audit_several(noted, signer, at)
        elif self._audit is not None:
            for ((shape, octets, nonce), entry), signed in zip(asked, made, strict=True):
                if signed is not None:
                    plain = Plain(shape, octets, entry.serial, nonce)
                    self._audit(self._quick.told(plain, entry, signed, at), signer)
        if self._keep:
            for data, ((_, _, nonce), entry), signed in zip(datas, asked, made, strict=True):
                if signed is not None and not nonce:
                    until = at + timedelta(seconds=signed[2] - signed[1]) / 100
                    self._hold(data, _Held(None, (entry.serial,), (entry,), at, until, signed))
        return made

    def _again(self, held: _Held, plain: Plain | None) -> Answer | None:
        """None: what was plain once is no longer known to be."""
        entry = held.word[0]
        if held.signed is None or entry is None or plain is None:
            return held.answer
        return self._quick.told(plain, entry, held.signed, held.since)

    def _general(self, data: bytes, choice: Choice, at: datetime) -> Answer | None:
        """The same of whatever is not plain."""
        held = self._given.get(data)
        fresh = held is not None and held.since <= at < held.until
        if held is not None and fresh and self._word(held.serials) == held.word:
            given = self._again(held, self._quick.read(data))
            if given is not None:
                return given
        if choice.signer.blocking and len(choice.able) == 1:
            return None
        request = read_request(data)
        if isinstance(request, Answer):
            return request
        signer = _preferred(choice, request, at)
        if signer.blocking:
            return None
        certids = self._ours(request)
        word = self._word(tuple(one.serial for one in certids))
        if len(certids) == 1:
            self._quick.learn(data, request)
        given = self._sign(request, dict(zip(certids, word, strict=True)), signer, at)
        return self._done(given, request, word, signer, data)

    # -- in time ------------------------------------------------------------------------------

    async def answer_bytes(self, data: bytes, /) -> Answer:
        """The answer to the request in `data`, whatever `data` is."""
        given = self.answer_now(data)
        if given is not None:
            return given
        request = read_request(data)
        return request if isinstance(request, Answer) else await self._answer(request, data)

    async def answer(self, request: Request, /) -> Answer:
        """The answer to `request`; a ledger that cannot be read is tryLater, and says why."""
        return await self.answer_bytes(request.encode())

    async def _answer(self, request: Request, data: bytes) -> Answer:
        certids = self._ours(request)
        serials = tuple(one.serial for one in certids)
        try:
            if self._ledger.blocking:
                word = await self._readers.run(partial(self._word, serials))
            else:
                word = self._word(serials)
        except (StoreError, Unavailable) as error:
            return refusal(ResponseStatus.tryLater, error.message)
        at = self._clock.now()
        signer = _preferred(self._chosen(at), request, at)
        held = self._given.get(data)
        if held is not None and held.since <= at < held.until and held.word == word:
            given = self._again(held, self._quick.read(data))
            if given is not None:
                return given
        entries = dict(zip(certids, word, strict=True))
        if not signer.blocking:
            given = self._sign(request, entries, signer, at)
        else:
            try:
                given = await self.pool.run(partial(self._sign, request, entries, signer, at))
            except HoldfastError as error:
                return refusal(ResponseStatus.tryLater, error.message)
        return self._done(given, request, word, signer, data)

    # -- what both do -------------------------------------------------------------------------

    def _chosen(self, at: datetime) -> Choice:
        choice = self._choice
        if (
            choice is None
            or self._generation != self.signers.generation
            or not choice.since <= at < choice.until
        ):
            self._generation = self.signers.generation
            choice = self._choice = self.signers.choose(at, self._rules.validity)
            self._blocking = choice.signer.blocking
            self._given.clear()  # a signer that was taken away is heard no more
        return choice

    def _ours(self, request: Request) -> list[CertID]:
        issuer = self.signers.all[0].issuer
        asked = (single.certid for single in request.singles)
        return [certid for certid in asked if certid.names(certid.serial, issuer)]

    def _word(self, serials: tuple[int, ...]) -> Word:
        return tuple(map(self._ledger.entry, serials))

    def _sign(
        self,
        request: Request,
        entries: dict[CertID, LedgerEntry | None],
        signer: Signer,
        at: datetime,
    ) -> Answer:
        known = {certid: _status(entry) for certid, entry in entries.items()}
        details = _details(entries) if self._rules.tell else None
        return answer(
            request, known=known, signer=signer, rules=self._rules, at=at, details=details
        )

    def _done(
        self, given: Answer, request: Request, word: Word, signer: Signer, data: bytes
    ) -> Answer:
        """Note what was signed, and keep it when it may be given again."""
        if given.response_status is not ResponseStatus.successful:
            return given
        if self._audit is not None:
            self._audit(given, signer)
        if (
            self._keep
            and not request.extensions
            and request.signature is None
            and len(data) <= MAX_HELD_REQUEST
            and len(word) == len(request.singles)
        ):
            serials = tuple(single.certid.serial for single in request.singles)
            self._keep_it(given, data, serials, word)
        return given

    def _keep_it(self, given: Answer, data: bytes, serials: tuple[int, ...], word: Word) -> None:
        made, begin, end = given.made_at, given.this_update, given.next_update
        if made is None or begin is None or end is None:
            return
        self._hold(data, _Held(given, serials, word, made, made + (end - begin) / 100))

    def _hold(self, data: bytes, held: _Held) -> None:
        if len(self._given) >= self._keep:
            self._given.clear()
        self._given[data] = held


def _preferred(choice: Choice, request: Request, at: datetime) -> Signer:
    """R13: of those that may sign, the one that `request` prefers."""
    if len(choice.able) == 1 or (not request.extensions and request.signature is None):
        return choice.signer
    return choose(choice.able, request, at=at)


def _status(entry: LedgerEntry | None) -> CertificateStatus | None:
    if entry is None:
        return None
    if entry.revoked_at is None:
        return GOOD
    return Revoked(entry.revoked_at, entry.reason)


def _details(entries: dict[CertID, LedgerEntry | None]) -> dict[CertID, Detail]:
    """R12: what the ledger knows of revocations beside time and reason."""
    return {
        certid: Detail(entry.invalidity_date, entry.crl)
        for certid, entry in entries.items()
        if entry is not None and entry.revoked_at is not None
    }
