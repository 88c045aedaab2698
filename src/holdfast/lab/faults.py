"""Every fault that the scripted responder knows, as a table.

`seen` is what holdfast itself makes of it: "good", a failure class of `sources/http` (Unavailable
and PeerError), or the finding code with which `examine` refuses or remarks on the response. The
integration test holds every row to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Stage(Enum):
    """Where a fault is put in."""

    ANSWER = "answer"  # what is said and signed
    BYTES = "bytes"  # the signed bytes are spoilt
    HTTP = "http"  # another HTTP reply in the answer's place, or wrong headers round it
    WIRE = "wire"  # the connection itself
    LISTEN = "listen"  # the listening socket


class Seen(Enum):
    GOOD = "good"  # nothing is wrong, or what is wrong is tolerated
    FAILURE = "failure"  # the source raises; the word is the failure class
    FINDING = "finding"  # the response comes, and `examine` finds this


@dataclass(frozen=True, slots=True)
class Fault:
    """One row. `word`: the failure class or finding code of `seen`."""

    name: str
    stage: Stage
    does: str
    seen: Seen = Seen.GOOD
    word: str = ""


def _failure(name: str, stage: Stage, word: str, does: str) -> Fault:
    return Fault(name, stage, does, Seen.FAILURE, word)


def _finding(name: str, stage: Stage, word: str, does: str) -> Fault:
    return Fault(name, stage, does, Seen.FINDING, word)


_ROWS = (
    # what is said
    Fault("good", Stage.ANSWER, "no fault: the certificate is good"),
    _finding("revoked", Stage.ANSWER, "response-revoked", "revoked, an hour ago"),
    _finding("unknown", Stage.ANSWER, "response-unknown", "the certificate is unknown"),
    _failure("malformedRequest", Stage.ANSWER, "malformed-request", "this error status"),
    _failure("internalError", Stage.ANSWER, "internal-error", "this error status"),
    _failure("tryLater", Stage.ANSWER, "try-later", "this error status, and Retry-After"),
    _failure("sigRequired", Stage.ANSWER, "sig-required", "this error status"),
    _failure("unauthorized", Stage.ANSWER, "unauthorized", "this error status"),
    _finding(
        "wrong-serial",
        Stage.ANSWER,
        "response-wrong-certificate",
        "an answer for the next serial number",
    ),
    _finding(
        "wrong-issuer",
        Stage.ANSWER,
        "response-wrong-certificate",
        "an answer for the same serial of another issuer",
    ),
    _finding(
        "unauthorised-signer",
        Stage.ANSWER,
        "response-signer-unauthorised",
        "signed by a certificate of the CA that lacks OCSPSigning",
    ),
    _finding(
        "foreign-signer",
        Stage.ANSWER,
        "response-signer-unauthorised",
        "signed by an OCSP signer of another CA with the same name",
    ),
    _finding(
        "expired-signer",
        Stage.ANSWER,
        "response-signer-expired",
        "signed by a delegated signer that ended yesterday",
    ),
    _finding("expired", Stage.ANSWER, "response-expired", "nextUpdate an hour ago"),
    _finding("not-yet-valid", Stage.ANSWER, "response-not-yet-valid", "thisUpdate in an hour"),
    _finding("no-next-update", Stage.ANSWER, "response-no-next-update", "no nextUpdate"),
    _finding("long-window", Stage.ANSWER, "response-window-too-long", "nextUpdate in 60 days"),
    Fault("several-singles", Stage.ANSWER, "the answer stands between two for other serials"),
    _finding(
        "contradictory-singles",
        Stage.ANSWER,
        "response-conflicting-singles",
        "good and revoked in one response",
    ),
    _finding(
        "critical-extension",
        Stage.ANSWER,
        "response-critical-extension",
        "an unknown critical extension",
    ),
    Fault("no-nonce", Stage.ANSWER, "a nonce is not echoed"),
    Fault("wrong-nonce", Stage.ANSWER, "another nonce than was asked with"),
    # the bytes
    _finding("bad-signature", Stage.BYTES, "response-bad-signature", "one bit of it is flipped"),
    _failure("malformed", Stage.BYTES, "malformed", "DER that is no OCSP response"),
    _failure("truncated", Stage.BYTES, "truncated", "the first half of the response"),
    _failure("trailing-bytes", Stage.BYTES, "malformed", "a byte after the response"),
    _failure("empty", Stage.BYTES, "empty", "status 200 and an empty body"),
    # HTTP
    _failure("http-404", Stage.HTTP, "http-4xx", "status 404"),
    _failure("http-500", Stage.HTTP, "http-5xx", "status 500"),
    _failure("http-503", Stage.HTTP, "http-5xx", "status 503, and Retry-After"),
    _failure("html", Stage.HTTP, "html", "status 200 and a web page, as captive portals do"),
    Fault("wrong-content-type", Stage.HTTP, "the right bytes as text/html"),
    Fault("redirect", Stage.HTTP, "status 307 to another path, which answers"),
    _failure("redirect-loop", Stage.HTTP, "redirect", "status 307 to the same path"),
    _failure("redirect-inside", Stage.HTTP, "address-refused", "status 307 to 169.254.169.254"),
    # the connection
    Fault("chunked", Stage.WIRE, "the right answer in chunks of 7 bytes"),
    _failure("lying-content-length", Stage.WIRE, "truncated", "a Content-Length that is too large"),
    _failure("huge", Stage.WIRE, "oversized", "a body of 64 MiB"),
    _failure("drip", Stage.WIRE, "timeout", "one byte of the body every half second"),
    _failure("hang", Stage.WIRE, "timeout", "the request is read, and nothing is sent"),
    _failure("reset", Stage.WIRE, "reset", "a TCP reset in the answer's place"),
    _failure("refused", Stage.LISTEN, "refused", "the port is closed until another fault is set"),
)

FAULTS: dict[str, Fault] = {fault.name: fault for fault in _ROWS}
