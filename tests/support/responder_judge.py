"""What is wrong with a responder's reply: each judge returns its objections.

The answers are read by asn1crypto and by the bare bytes, not by the parser of ours that the
responder shares. RFC 6960, RFC 9919 (R20 to R28), RFC 9110 8.8 and 5.6.7.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime

from asn1crypto import ocsp

from support.responder_wire import Got

RESPONSE_TYPE = "application/ocsp-response"
CACHING = ("cache-control", "etag", "expires", "last-modified", "date")
_DATE = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
    r" \d{4} \d\d:\d\d:\d\d GMT"
)
_CACHE_CONTROL = re.compile(r"max-age=(\d+), public, no-transform, must-revalidate")
_ERROR = re.compile(rb"\x30\x03\x0a\x01([\x01\x02\x03\x05\x06])")


def read(body: bytes) -> ocsp.OCSPResponse:
    return ocsp.OCSPResponse.load(body, strict=True)


def singles_of(body: bytes) -> list[ocsp.SingleResponse]:
    return list(read(body).basic_ocsp_response["tbs_response_data"]["responses"])


def response_status_of(body: bytes) -> str:
    return str(read(body)["response_status"].native)


def states_of(body: bytes) -> list[tuple[int, str]]:
    """Each single's serial and certificate_status: good, revoked or unknown."""
    return [
        (int(s["cert_id"]["serial_number"].native), str(s["cert_status"].name))
        for s in singles_of(body)
    ]


def error_objections(body: bytes, *expected: str) -> list[str]:
    """R4: an error is five octets, and one of `expected` when these are given."""
    if _ERROR.fullmatch(body) is None:
        return [f"not an error response without bytes: {body[:40].hex()}"]
    found = response_status_of(body)
    return [f"{found}, not {' or '.join(expected)}"] if expected and found not in expected else []


def date_of(text: str | None) -> datetime | None:
    """An IMF-fixdate, whose weekday is right, or None."""
    if text is None or _DATE.fullmatch(text) is None:
        return None
    at = datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    return at if at.strftime("%a") == text[:3] else None


def caching_objections(got: Got, *, body: bytes | None = None) -> list[str]:
    """R21. `body`: of the answer that a 304 or a HEAD speaks of."""
    told = body if body is not None else got.body
    bad: list[str] = []
    if got.code != 304:
        if got.field("content-type") != RESPONSE_TYPE:
            bad.append(f"Content-Type: {got.field('content-type')}")
        if got.field("content-length") != str(len(told)):
            bad.append(f"Content-Length: {got.field('content-length')} of {len(told)}")
    dates = {name: date_of(got.field(name)) for name in ("date", "last-modified", "expires")}
    bad += [f"{name}: {got.field(name)} is no IMF-fixdate" for name, at in dates.items() if not at]
    if got.field("etag") != f'"{hashlib.sha256(told).hexdigest()}"':
        bad.append(f"ETag: {got.field('etag')}")
    if got.field("pragma") is not None or got.field("vary") is not None:
        bad.append("Pragma or Vary")
    control = _CACHE_CONTROL.fullmatch(got.field("cache-control") or "")
    if control is None:
        bad.append(f"Cache-Control: {got.field('cache-control')}")
    date, modified, expires = dates["date"], dates["last-modified"], dates["expires"]
    if bad or control is None or date is None:
        return bad
    singles = singles_of(told)
    this_update = max(s["this_update"].native for s in singles)
    next_update = min(s["next_update"].native for s in singles)
    if modified != this_update:
        bad.append(f"Last-Modified: {modified}, thisUpdate: {this_update}")
    if expires != next_update:
        bad.append(f"Expires: {expires}, nextUpdate: {next_update}")
    if date.timestamp() + int(control[1]) >= next_update.timestamp():
        bad.append(f"max-age={control[1]} at {date} reaches nextUpdate {next_update}")
    return bad


def uncached_objections(got: Got) -> list[str]:
    """R22: nobody keeps this."""
    bad = []
    control = {word.strip() for word in (got.field("cache-control") or "").split(",")}
    if "no-store" not in control:
        bad.append(f"Cache-Control: {got.field('cache-control')}")
    if "public" in control or any(word.startswith(("max-age", "s-maxage")) for word in control):
        bad.append("Cache-Control with both")
    if expires := got.field("expires"):
        at, now = date_of(expires), date_of(got.field("date"))
        if at is None or now is None or at > now:
            bad.append(f"Expires: {expires}")
    return bad


def not_modified_objections(got: Got, body: bytes) -> list[str]:
    """R23, RFC 9110 15.4.5: no content, and the fields that the 200 would have."""
    bad = [] if got.code == 304 else [f"code {got.code}"]
    if got.body:
        bad.append("content")
    bad += [f"no {name}" for name in CACHING if got.field(name) is None]
    return bad or caching_objections(got, body=body)


def time_objections(body: bytes) -> list[str]:
    """R20: each single ends; every time is `YYYYMMDDHHMMSSZ`, in the bytes themselves."""
    basic = read(body).basic_ocsp_response
    times = list(generalized_times(basic["tbs_response_data"].dump()))
    bad = [f"time {t!r}" for t in times if re.fullmatch(rb"\d{14}Z", t) is None]
    return bad or [
        f"serial {s['cert_id']['serial_number'].native:x} has no nextUpdate"
        for s in singles_of(body)
        if s["next_update"].native is None
    ]


def echo_objections(body: bytes, certids: list[bytes]) -> list[str]:
    """R2: one SingleResponse for each CertID asked, in order, the very octets."""
    echoed = [single["cert_id"].dump() for single in singles_of(body)]
    return [] if echoed == certids else [f"asked {certids!r}, answered {echoed!r}"]


def wrong_states(body: bytes, good: set[int], revoked: set[int]) -> list[str]:
    """What is told of a serial and is not so; for a ledger that says `good` and `revoked`."""
    bad = []
    for serial, state in states_of(body):
        right = "good" if serial in good else "revoked" if serial in revoked else "unknown"
        if state != right:
            bad.append(f"serial {serial:x} is {right}, answered {state}")
    return bad


def generalized_times(der: bytes) -> Iterator[bytes]:
    """The contents of every GeneralizedTime in `der`, at whatever depth."""
    at = 0
    while at < len(der):
        tag, size, at = der[at], der[at + 1], at + 2
        if size & 0x80:
            octets = size & 0x7F
            size, at = int.from_bytes(der[at : at + octets]), at + octets
        content, at = der[at : at + size], at + size
        if tag == 0x18:
            yield content
        elif tag & 0x20:
            yield from generalized_times(content)
