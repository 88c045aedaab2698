"""What the keeper knows of one certificate, and what it can decide to do: values, no decisions.

Laws: everything is frozen, so that a plan is a function of what is written here and the instant; an
`Entry` is keyed by its CertID, so that whatever shares a certificate shares its fetches (K20).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Literal

from holdfast.errors import HoldfastError, PeerError, Rejected, Unavailable
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.findings import Severity
from holdfast.ocsp.freshness import USUAL, Freshness
from holdfast.ocsp.staple import Staple
from holdfast.plan.slots import replace

OnRevoked = Literal["staple", "withhold"]
Because = Literal["ended", "revoked", "retired", "none-held"]  # why a staple is taken away
STORE = ""  # the holder that is the keeper's own store; no server may be called so


class Need(Enum):
    """How much a certificate needs its staple: how loud the alarms are (K19)."""

    LENIENT = "lenient"
    STRICT = "strict"
    MUST = "must"


class Given(Enum):
    """What a holder has when it has no staple of ours."""

    UNSURE = "unsure"  # whatever an earlier process gave it
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The policy of keeping. `recheck`: ask that often also before the refresh is due (K11)."""

    freshness: Freshness = USUAL
    on_revoked: OnRevoked = "staple"
    recheck: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something did not work, as a value. `kind` is short and stable, for counting (K7, K22).

    `retry_after`: seconds that the peer asked for.
    """

    kind: str
    message: str
    hint: str = ""
    retry_after: float | None = None

    @classmethod
    def of(cls, error: HoldfastError) -> Failure:
        """`error` as a value."""
        match error:
            case Unavailable():
                return cls(error.failure, error.message, error.hint, error.retry_after)
            case PeerError():
                return cls(error.failure, error.message, error.hint)
            case Rejected():
                worst = error.verdict.worst
                kind = "rejected" if worst is None else worst.code
                return cls(kind, error.message, error.hint)
            case _:
                return cls(_kind(error), error.message, error.hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """One place that is given the staple: a stapled server, or the store.

    `given`: the staple that it took last. `failing`: what failed last, with the instants from
    which that may be tried again. `busy`: an action for it is under way; `giving`: the staple, when
    that is a delivery. `patient`: its deliveries may wait long, and a later action overtakes one.
    """

    name: str
    given: Staple | Given = Given.UNSURE
    given_at: datetime | None = None
    failures: int = 0
    failing: Literal["", "deliver", "withdraw"] = ""
    last_failure: Failure | None = None
    tried_at: datetime | None = None
    next_deliver: datetime | None = None
    next_withdraw: datetime | None = None
    busy: bool = False
    giving: Staple | None = None
    patient: bool = False

    def has(self, staple: Staple) -> bool:
        """True when it is known to have `staple`: a delivery that failed makes that unknown."""
        given = self.given
        return not self.failing and isinstance(given, Staple) and given.der == staple.der


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One certificate. `staple` is the best that was ever proved, current or not.

    `failures` and `unchanged` count answers in a row that were none, and that were no newer;
    `answered_at` is when a responder last gave a staple. `told`: the alerts that were raised and
    still stand. `applicable` False: nobody can be asked (K17). `retired`: no longer in the
    settings; to be taken from every holder. `early`: how long before a staple's end one of its
    servers stops sending it by itself. `key`: the CertID's, made when it is not given.
    """

    name: str
    subject: Subject
    need: Need = Need.STRICT
    applicable: bool = True
    early: timedelta = timedelta(0)
    holders: tuple[Holder, ...] = (Holder(name=STORE),)
    staple: Staple | None = None
    failures: int = 0
    unchanged: int = 0
    last_failure: Failure | None = None
    answered_at: datetime | None = None
    tried_at: datetime | None = None
    next_try: datetime | None = None
    fetching: bool = False
    demanded: bool = False
    told: frozenset[str] = frozenset()
    retired: bool = False
    key: str = ""

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", self.subject.certid.key)

    def holder(self, name: str) -> Holder | None:
        return next((holder for holder in self.holders if holder.name == name), None)

    def with_holder(self, changed: Holder) -> Entry:
        """The same with `changed` in place of the holder of its name."""
        holders = tuple(changed if h.name == changed.name else h for h in self.holders)
        return replace(self, holders=holders)

    @property
    def settled(self) -> bool:
        """True when every holder has the staple that is held (K29)."""
        return self.staple is not None and all(h.has(self.staple) for h in self.holders)


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask the source for a response, and prove it."""

    key: str


@dataclass(frozen=True, slots=True)
class Deliver:
    """Give `staple` to the holder; to the store: save it."""

    key: str
    holder: str
    staple: Staple


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Take whatever staple it has from the holder; from the store: drop it."""

    key: str
    holder: str
    because: Because


@dataclass(frozen=True, slots=True)
class Alert:
    """Tell people. `code` is stable; `about` names the holder where there is one."""

    key: str
    code: str
    severity: Severity
    message: str
    about: str = ""

    @property
    def told(self) -> str:
        return f"{self.code}:{self.about}" if self.about else self.code


Action = Fetch | Deliver | Withdraw | Alert


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, in this order of importance, and when to look again at the latest."""

    actions: tuple[Action, ...]
    wake_at: datetime


def _kind(error: HoldfastError) -> str:
    name = type(error).__name__.removesuffix("Error")
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")
