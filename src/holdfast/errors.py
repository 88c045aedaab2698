"""Every way holdfast says "we could not do it", sorted by who must act.

::

    HoldfastError                 carries a message and a hint; never swallowed
    ├── OperatorError             settings, files, keys, usage: for the operator to mend (exit 2)
    ├── PeerError                 the other side broke the protocol or refused (exit 3)
    │   └── Malformed             bytes that are not what they claim; names what and where
    ├── Unavailable               could not find out now; ``retry_after`` seconds if known (exit 3)
    ├── NotFound                  sure that there is none (exit 3)
    ├── Rejected                  a response not fit to be a staple; carries the verdict (exit 1)
    ├── StoreError                a store could not read or write (exit 2)
    └── DeliveryError             a stapled server did not take a staple (exit 3)

Facts about the world are not errors: they are findings (``ocsp/findings.py``). An exception outside
this tree is a bug (exit 70).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.ocsp.verdict import Verdict


class HoldfastError(Exception):
    """The root. `message` says what and where, `hint` what to do about it (may be empty)."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class OperatorError(HoldfastError):
    """Something the operator gave is wrong, and only the operator can mend it."""


class PeerError(HoldfastError):
    """The other side violated a protocol or refused.

    `failure` is a short stable class for counting: protocol, malformed, html, empty, truncated,
    unauthorized, malformed-request, sig-required ...
    """

    def __init__(self, message: str, *, failure: str = "protocol", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.failure = failure


class Malformed(PeerError):
    """Bytes that do not parse.

    `what` names the noun that was being read ("OCSPResponse.responseBytes"), `offset` the byte
    at which it went wrong, counted from the start of the outermost message.
    """

    def __init__(self, what: str, problem: str, *, offset: int = 0, hint: str = "") -> None:
        super().__init__(f"{what}: {problem} (at byte {offset})", failure="malformed", hint=hint)
        self.what = what
        self.problem = problem
        self.offset = offset


class Unavailable(HoldfastError):
    """It could not be found out now. `retry_after`: seconds the peer asked us to wait, if it did.

    `failure` is a short stable class for counting: dns, connect, timeout, tls, http-4xx,
    http-5xx, not-ocsp, oversized, try-later, internal-error, circuit-open ...
    """

    def __init__(
        self,
        message: str,
        *,
        failure: str = "unavailable",
        retry_after: float | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.failure = failure
        self.retry_after = retry_after


class NotFound(HoldfastError):
    """There is none, and that is certain."""


class Rejected(HoldfastError):
    """A response was judged and is not a staple; `verdict` holds every finding."""

    def __init__(self, verdict: Verdict) -> None:
        worst = verdict.worst
        super().__init__(
            worst.message if worst is not None else "response rejected",
            hint=worst.hint if worst is not None else "",
        )
        self.verdict = verdict


class StoreError(HoldfastError):
    """A store could not be read or written; what it held before is still there."""


class DeliveryError(HoldfastError):
    """A stapled server did not take a staple, or did not show it afterwards."""
