"""The audit of a responder: one line of JSON for each signature it made. R36.

Laws: the line is kept before the answer is sent; a line that cannot be kept is counted and told,
and does not keep an answer from those who ask. What stands in it is public: neither key nor nonce.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from holdfast.errors import StoreError
from holdfast.net.line_log import Lines
from holdfast.ocsp.sign import Signer
from holdfast.plan.answering import Answer, Signed
from holdfast.services.responder_tally import Tally

SIGNATURES, FAILURES = "signatures", "audit_failures"
COUNTED = (SIGNATURES, FAILURES)
TELL_EVERY = 60.0  # seconds between two complaints about a line that could not be kept

_log = logging.getLogger("holdfast.responder")
_encode = json.JSONEncoder(separators=(",", ":")).encode


class Audit:
    """Counts the signatures of the CA called `ca`, and writes each to `lines` where there are."""

    def __init__(self, ca: str, *, tally: Tally, lines: Lines | None = None) -> None:
        self._ca = ca
        self._lines = lines
        self._tally = tally
        self._told = float("-inf")
        self._failing = ""

    @property
    def failing(self) -> str:
        """Why the last line could not be kept; "" when it could."""
        return self._failing

    def __call__(self, answer: Answer, signer: Signer) -> None:
        """Note the signature under `answer`."""
        self._tally.count(SIGNATURES)
        if self._lines is not None:
            singles = [
                [f"{one.certid.serial:x}", one.certificate_status.text] for one in answer.singles
            ]
            self._note(answer.der, signer, singles, answer, kind="answer")

    def several(self, made: Sequence[tuple[int, Signed]], signer: Signer, at: datetime) -> None:
        """Note the signatures that `signer` made `at` once under answers about one certificate
        each, beside its serial. What the lines share is encoded once."""
        self._tally.count(SIGNATURES, len(made))
        if self._lines is None or not made:
            return
        _, begins, ends, *_ = made[0][1]
        who = {"ca": self._ca, "signer": f"{signer.certificate.serial:x}"}
        start = _encode({"at": _instant(at), "kind": "answer", **who})[:-1] + ',"singles":[["'
        this_update, next_update = (datetime.fromtimestamp(time, UTC) for time in (begins, ends))
        times = {"this_update": _instant(this_update), "next_update": _instant(next_update)}
        middle = '"]],' + _encode(times)[1:-1] + ',"nonce":'
        self._write(
            *(
                f'{start}{serial:x}","{said}{middle}{"true" if nonced else "false"}'
                f',"sha256":"{digest}"}}'.encode()
                for serial, (_, _, _, said, nonced, digest) in made
            )
        )

    def probed(self, der: bytes, signer: Signer) -> None:
        """Note a signature that was made to see whether one can be made; it is sent to nobody."""
        self._tally.count(SIGNATURES)
        if self._lines is not None:
            self._note(der, signer, [], None, kind="health")

    def _note(
        self, der: bytes, signer: Signer, singles: list[list[str]], answer: Answer | None, kind: str
    ) -> None:
        line = {
            "at": _instant(None if answer is None else answer.made_at) or _instant(_now()),
            "kind": kind,
            "ca": self._ca,
            "signer": f"{signer.certificate.serial:x}",
            "singles": singles,
            "this_update": _instant(None if answer is None else answer.this_update),
            "next_update": _instant(None if answer is None else answer.next_update),
            "nonce": answer is not None and answer.nonced,
            "sha256": hashlib.sha256(der).hexdigest(),
        }
        if answer is not None and answer.requestor:  # who proved to be asking (R7)
            line["requestor"] = answer.requestor
        self._write(_encode(line).encode())

    def _write(self, *written: bytes) -> None:
        assert self._lines is not None
        try:
            self._lines.write(*written)
        except StoreError as error:
            self._tally.count(FAILURES, self._lines.lost)
            self._failing = error.message
            if time.monotonic() - self._told >= TELL_EVERY:
                self._told = time.monotonic()
                _log.error("audit-failed ca=%s %s; %s", self._ca, error.message, error.hint)
        else:
            self._failing = ""


def _now() -> datetime:
    return datetime.now(UTC)


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")
