"""What the handshakes themselves tell: reached or not, how old the TLS, alike on every address.

A version of TLS or a kind of key that a server does not offer is no finding, as long as it offers
another: the probe asks for each in turn.
"""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.errors import Malformed
from holdfast.ocsp.findings import NOTE, Finding, finding
from holdfast.ocsp.response import Response
from holdfast.ocsp.verify import OPENSSL_MOST_IN_TLS12
from holdfast.tls.observation import Failure, Observation

NO_ROUTE = "unreachable"  # the class of "this machine has no way to that address"
_AGE = {"SSLv3": 0, "TLSv1": 1, "TLSv1.1": 2, "TLSv1.2": 3, "TLSv1.3": 4}


def transport(
    target: str,
    observations: Sequence[Observation],
    unresolved: Failure | None,
    *,
    into: list[Finding],
) -> None:
    """Add the findings about `observations` to the list."""
    if unresolved is not None:
        into.append(finding("unreachable", address=target, problem=unresolved.problem))
        return
    by_address: dict[str, list[Observation]] = {}
    for observation in observations:
        by_address.setdefault(observation.address, []).append(observation)
    reached = [o for o in observations if o.error is None or o.error.kind != "unreachable"]
    for address, seen in by_address.items():
        _one_address(address, seen, any_reached=bool(reached), into=into)
    _age(observations, into)
    _families(by_address, into)


def _one_address(
    address: str, seen: Sequence[Observation], *, any_reached: bool, into: list[Finding]
) -> None:
    worked = any(o.error is None for o in seen)
    failures = [(o, o.error) for o in seen if o.error is not None]
    for observation, error in failures:
        if error.kind == "unreachable":
            if not worked:
                no_route = error.failure == NO_ROUTE and any_reached
                into.append(
                    finding(
                        "unreachable",
                        severity=NOTE if no_route else None,
                        address=address,
                        problem=error.problem,
                    )
                )
                return
        elif error.kind == "starttls-refused":
            if not worked:
                advice = {"advice": error.hint} if error.hint else {}
                found = finding(
                    "starttls-refused",
                    severity=None,
                    address=address,
                    problem=error.problem,
                    **advice,
                )
                into.append(found)
                return
        elif not worked and not any(o.seen for o in seen):
            into.append(_failed(observation, error))
            return
    for observation, error in failures:
        # It showed its certificate and then failed, other than by a staple that no client takes:
        # that one is judged as a staple.
        if observation.seen and not _ended_by_staple(observation):
            into.append(_failed(observation, error))
            return


def _ended_by_staple(observation: Observation) -> bool:
    """OpenSSL ends the handshake at a staple that is empty or does not parse, and in TLS 1.2 at a
    large one, which other clients take."""
    for staple in observation.staples:
        if staple is None:
            continue
        if len(staple) > OPENSSL_MOST_IN_TLS12 and observation.tls != "TLSv1.3":
            return True
        try:
            Response.parse(staple)
        except Malformed:
            return True
    return False


def _failed(observation: Observation, error: Failure) -> Finding:
    asked = observation.tls or f"TLS {observation.asked}"
    return finding(
        "tls-handshake-failed", address=observation.address, tls=asked, problem=error.problem
    )


def _age(observations: Sequence[Observation], into: list[Finding]) -> None:
    versions = [o.tls for o in observations if o.tls and o.error is None]
    if not versions:
        return
    newest = max(versions, key=lambda version: _AGE.get(version, 9))
    if _AGE.get(newest, 9) < _AGE["TLSv1.2"]:
        into.append(finding("tls-version-old", tls=newest))


def _families(by_address: dict[str, list[Observation]], into: list[Finding]) -> None:
    """IPv4 and IPv6 must show the same certificates, and staple alike."""
    four = [o for address, seen in by_address.items() if "[" not in address for o in seen]
    six = [o for address, seen in by_address.items() if "[" in address for o in seen]
    if not four or not six:
        return
    shown4, shown6 = ({o.leaf for o in family if o.seen} for family in (four, six))
    stapled4, stapled6 = (any(o.staple for o in family) for family in (four, six))
    difference = ""
    if shown4 and shown6:
        if shown4.isdisjoint(shown6):
            difference = "they show different certificates"
        elif stapled4 != stapled6:
            difference = f"only {'IPv4' if stapled4 else 'IPv6'} staples"
    elif shown4 or shown6:
        silent = six if shown4 else four
        if all(o.error is not None and o.error.failure != NO_ROUTE for o in silent):
            difference = f"{'IPv6' if shown4 else 'IPv4'} does not work"
    if difference:
        into.append(finding("address-family-differs", difference=difference))
