"""Reading and judging a response, against the bare signature check that it contains.

For ECDSA P-256 and RSA-2048, signed by the CA itself: 500 different responses (serials and times
differ, so that none is seen twice in a row), on one pinned core, the two sides by turns. The ratio
is of rates, ours over the bare check's: at least 0.7 for P-256 and 0.5 for RSA-2048.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from bench.timing import Row, arguments, medians, report
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.response import GOOD, Response, SingleResponse
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.verify import examine
from holdfast.pki import issue

AT = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
COUNT = 500
LEAST = {"ecdsa-p256": 0.7, "rsa-2048": 0.5}


def main() -> int:
    options = arguments(__doc__ or "", rounds=25)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    work: dict[str, Callable[[], object]] = {}
    for kind in LEAST:
        work |= both_sides(kind)
    times = medians(work, rounds=options.rounds)
    rows = []
    for kind, least in LEAST.items():
        bare, ours = (times[f"{kind}, {side}"] for side in ("bare check", "read and judge"))
        rows.append(Row(f"{kind}, bare check", bare / COUNT * 1e6, "us"))
        rows.append(
            Row(f"{kind}, read and judge", ours / COUNT * 1e6, "us", bare / ours, least=least)
        )
    return report("verify: one response, medians", rows, as_json=options.json)


def both_sides(kind: str) -> dict[str, Callable[[], object]]:
    """The bare check of COUNT signatures by a key of `kind`, and reading and judging as many."""
    ca = issue.root("Bench Root", key_type=kind, at=AT - timedelta(days=30))
    signer = Signer(ca.certificate, ca.key, ca.certificate)
    subjects = [Subject(2**150 + 7919 * n, ca.certificate) for n in range(COUNT)]
    messages = [signed(signer, subject, n) for n, subject in enumerate(subjects)]

    def ours() -> None:
        for message, subject in zip(messages, subjects, strict=True):
            if not examine(Response.parse(message), subject, at=AT).good:
                raise SystemExit("a good response was not judged good")

    return {
        f"{kind}, bare check": bare_check(ca.certificate.public_key, messages),
        f"{kind}, read and judge": ours,
    }


def signed(signer: Signer, subject: Subject, n: int) -> bytes:
    this_update = AT - timedelta(hours=1, seconds=n)
    next_update = AT + timedelta(hours=9, seconds=n)
    single = SingleResponse(subject.certid, GOOD, this_update, next_update)
    return signer.respond([single], produced_at=this_update)


def bare_check(key: Any, messages: list[bytes]) -> Callable[[], None]:
    parsed = [Response.parse(message).basic for message in messages]
    pairs = [(basic.signature, basic.tbs) for basic in parsed if basic is not None]
    how: tuple[Any, ...] = (padding.PKCS1v15(), hashes.SHA256())
    if isinstance(key, ec.EllipticCurvePublicKey):
        how = (ec.ECDSA(hashes.SHA256()),)

    def check() -> None:
        for signature, tbs in pairs:
            key.verify(signature, tbs, *how)

    return check


if __name__ == "__main__":
    sys.exit(main())
