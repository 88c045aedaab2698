"""Signers: those of one CA, and which of them signs at an instant (R15, R30).

Laws: who signs now is fit now; a new signer takes over when slow clocks know it as well, and in any
case before the old one's end would cut answers short. What was signed before stays valid: each
answer ends before its own signer does.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from holdfast.errors import OperatorError
from holdfast.ocsp.sign import Signer

# A client whose clock is slow takes a new certificate for one that is not yet in date. An hour is
# what a CA dates its certificates back by where it does (Let's Encrypt's practice).
SETTLED = timedelta(hours=1)
_EVER = datetime.max.replace(tzinfo=UTC)
_NEVER = datetime.min.replace(tzinfo=UTC)


class Choice(NamedTuple):
    """`signer` signs from `since` until before `until`; `objection`: why it must not, "" when it
    may. `able`: all that may, `signer` first: one of them may be what a client prefers (R13)."""

    signer: Signer
    able: tuple[Signer, ...]
    objection: str
    since: datetime
    until: datetime


class Signers:
    """Signers of one CA, at least one, that may be replaced while others use them."""

    def __init__(self, *signers: Signer) -> None:
        self._all = _of_one_ca(signers)
        self.generation = 0
        """Counts replacements: what was chosen before holds no longer."""

    @property
    def all(self) -> tuple[Signer, ...]:
        return self._all

    def replace(self, signers: Sequence[Signer]) -> None:
        """From now on these; `OperatorError` when they are not all of the CA that it was."""
        _of_one_ca((self._all[0], *signers))
        self._all = _of_one_ca(signers)
        self.generation += 1

    def choose(self, at: datetime, validity: timedelta) -> Choice:
        """Who signs at `at` answers that are to hold for `validity`.

        Of those that are fit: whom slow clocks know and who gives answers of the full length comes
        before others; then the algorithm that was given first; then the one that ends last.
        """
        every = self._all
        steps = sorted({step for signer in every for step in _steps(signer, validity)})
        since = max((step for step in steps if step <= at), default=_NEVER)
        until = min((step for step in steps if step > at), default=_EVER)
        kinds = list(dict.fromkeys(signer.algorithm for signer in every))
        fit = [signer for signer in reversed(every) if not signer.objection(at)]
        if not fit:
            last = max(every, key=_end)
            return Choice(last, (last,), last.objection(at), since, until)
        fit.sort(key=_end, reverse=True)
        fit.sort(key=lambda one: (not _easy(one, at, validity), kinds.index(one.algorithm)))
        return Choice(fit[0], tuple(fit), "", since, until)


def _end(signer: Signer) -> datetime:
    return signer.certificate.not_after


def _easy(signer: Signer, at: datetime, validity: timedelta) -> bool:
    """True when slow clocks know it, and its answers are of the full length."""
    begin, end = signer.certificate.not_before, signer.certificate.not_after
    return _plus(begin, SETTLED) <= at <= _plus(end, -validity)


def _steps(signer: Signer, validity: timedelta) -> tuple[datetime, ...]:
    """The instants at which it may come to be chosen, or no longer."""
    begin, end = signer.certificate.not_before, signer.certificate.not_after
    after = timedelta(microseconds=1)  # notAfter itself is still in date (RFC 5280 4.1.2.5)
    return begin, _plus(begin, SETTLED), _plus(end, after - validity), _plus(end, after)


def _plus(instant: datetime, delta: timedelta) -> datetime:
    try:
        return instant + delta
    except OverflowError:  # a certificate until 9999 (RFC 5280 4.1.2.5)
        return _EVER if delta > timedelta(0) else _NEVER


def _of_one_ca(signers: Sequence[Signer]) -> tuple[Signer, ...]:
    if not signers:
        raise OperatorError("no signer for a CA", hint="give its own key or a delegated signer")
    first = signers[0].issuer
    for signer in signers[1:]:
        issuer = signer.issuer
        if issuer.subject_der != first.subject_der or issuer.key_octets != first.key_octets:
            raise OperatorError(
                f"signer {signer.certificate.subject} is of {issuer.subject}, not of "
                f"{first.subject}",
                hint="give each CA its own signers",
            )
    return tuple(signers)
