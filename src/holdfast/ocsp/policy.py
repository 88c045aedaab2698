"""What a judge accepts, as a value: the profile and the few things an operator may move."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from holdfast.ocsp.findings import NOTE, Profile, Severity, rule_of
from holdfast.ocsp.window import SKEW
from holdfast.pki.certificate import Certificate

MAX_WINDOW = timedelta(days=10)  # CA/Browser Forum 4.9.10; Firefox counts no more than this
BROWSER_LIFETIME = timedelta(days=1)  # mozilla::pkix: no nextUpdate counts as one day

# Codes whose severity another profile changes (interface: "a missing nextUpdate, a delegate that
# is a CA and a long window are notes").
_SOFTENED: dict[Profile, dict[str, Severity]] = {
    Profile.STRICT: {},
    Profile.RFC6960: {"response-no-next-update": NOTE, "response-window-too-long": NOTE},
    Profile.BROWSER: {"response-no-next-update": NOTE, "response-window-too-long": NOTE},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """`skew`: how far clocks may differ. `max_age`: refuse what was made (thisUpdate) longer ago.

    `nonce`: the one that was sent, if one was. `trusted_responders` may sign for any issuer
    (RFC 6960 4.2.2.2 "matches a local configuration").
    """

    profile: Profile = Profile.STRICT
    skew: timedelta = SKEW
    max_age: timedelta | None = None
    allow_sha1: bool = False
    nonce: bytes | None = None
    trusted_responders: tuple[Certificate, ...] = ()

    def severity(self, code: str) -> Severity:
        """Of `code` under this profile."""
        softened = _SOFTENED[self.profile].get(code)
        return rule_of(code).severity if softened is None else softened


STRICT = Policy()
