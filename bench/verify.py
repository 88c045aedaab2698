"""Reading and judging a response against the bare signature check it contains.

    python -m bench.verify [--json] [--rounds N]

For ECDSA P-256 and RSA-2048, directly signed by the CA: 500 different responses (serials and
times differ, so that no cache of ours sees the same one twice in a row), on one pinned core, the
two sides in turn, medians of the rounds. The floor is 0.7 of the bare rate for P-256 and 0.5 for
RSA-2048.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.response import GOOD, Response, SingleResponse
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.verify import examine
from holdfast.pki import issue

AT = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
COUNT = 500
FLOORS = {"ecdsa-p256": 0.7, "rsa-2048": 0.5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rows = {kind: measure(kind, options.rounds) for kind in FLOORS}
    if options.json:
        print(json.dumps({"schema": "holdfast.bench.verify/1", "rows": rows}))
        return
    print(f"{'':12} {'bare check':>12} {'read + judge':>13} {'ratio':>7} {'floor':>6}")
    for kind, row in rows.items():
        print(
            f"{kind:12} {row['bare_us']:>9.1f} us {row['ours_us']:>10.1f} us "
            f"{row['ratio']:>7.2f} {row['floor']:>6.2f}"
        )


def measure(kind: str, rounds: int) -> dict[str, float]:
    """Microseconds for one of each, and bare / ours, over `rounds` alternating rounds."""
    authority = issue.root("bench", key_type=kind, at=AT - timedelta(days=30))
    signer = Signer(authority.certificate, authority.key, authority.certificate)
    subjects = [Subject(2**150 + 7919 * n, authority.certificate) for n in range(COUNT)]
    messages = [signed(signer, subject, n) for n, subject in enumerate(subjects)]
    bare = bare_check(authority.certificate.public_key, messages)

    def ours() -> None:
        for message, subject in zip(messages, subjects, strict=True):
            if not examine(Response.parse(message), subject, at=AT).good:
                raise SystemExit("a good response was not judged good")

    bare_times, our_times = [], []
    for _ in range(rounds):
        bare_times.append(timed(bare))
        our_times.append(timed(ours))
    # Neighbouring rounds see the same machine: the ratio is the median of theirs.
    ratio = statistics.median(b / o for b, o in zip(bare_times, our_times, strict=True))
    return {
        "bare_us": statistics.median(bare_times) / COUNT * 1e6,
        "ours_us": statistics.median(our_times) / COUNT * 1e6,
        "ratio": ratio,
        "floor": FLOORS[kind],
    }


def signed(signer: Signer, subject: Subject, n: int) -> bytes:
    this_update = AT - timedelta(hours=1, seconds=n)
    single = SingleResponse(
        CertID.of(subject.serial, subject.issuer),
        GOOD,
        this_update,
        AT + timedelta(hours=9, seconds=n),
    )
    return signer.respond([single], produced_at=this_update)


def bare_check(key: Any, messages: list[bytes]) -> Callable[[], None]:
    parsed = [Response.parse(message).basic for message in messages]
    pairs = [(basic.signature, basic.tbs) for basic in parsed if basic is not None]
    arguments: tuple[Any, ...] = (padding.PKCS1v15(), hashes.SHA256())
    if isinstance(key, ec.EllipticCurvePublicKey):
        arguments = (ec.ECDSA(hashes.SHA256()),)

    def check() -> None:
        for signature, tbs in pairs:
            key.verify(signature, tbs, *arguments)

    return check


def timed(work: Callable[[], None]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
