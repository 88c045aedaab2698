"""Answers to plain requests, put together from parts: what most clients ask, as fast as the key.

Plain is a request about one certificate of the CA with at most a nonce; its shape (all of it but
serial and nonce) is learned when the general reader has read one. An answer is signed from octets
to octets; what else an `Answer` tells is put to it where somebody asks (`QuickSigning.told`). Those
of several requests are signed one after the other: a signature goes through 150 kB of tables, and
what is done between two is then to be fetched again, which takes longer than to do it. Law: all are
what `plan.answering.answer` gives, or there is none here (`test_quick_signing.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

from holdfast.ocsp.certid import CertID
from holdfast.ocsp.extension import encode_extensions, nonce_extension
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import SingleResponse, encode_certificate_status
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import GOOD, CertificateStatus, ResponseStatus, Revoked
from holdfast.ocsp.template import Moment, Template
from holdfast.plan.answering import Answer, Signed, window
from holdfast.plan.rules import Nonces, Rules, SignedRequests
from holdfast.seams import LedgerEntry

MAX_SHAPES = 1024  # hashes, times lengths of serials, times lengths of nonces, as clients have them
_SECOND = timedelta(seconds=1)
_NEVER = datetime.min.replace(tzinfo=UTC)
_GOOD = encode_certificate_status(GOOD)


class Shape(NamedTuple):
    """A plain request without its serial and nonce. `nonce`: what stands before the nonce in an
    answer's extensions, b"" when there is none; `certid` is of any serial, `kind` its template."""

    serial_length: int
    length: int
    between: bytes
    nonce_length: int
    nonce: bytes
    certid: CertID
    kind: tuple[str, bool]


Parts = tuple[Shape, bytes, bytes]
"""What a plain request asks: the octets of the serial, as in its INTEGER, and the nonce."""


Asked = tuple[Parts, LedgerEntry]
"""The same, and what the ledger says of it."""


class Plain(NamedTuple):
    """What a plain request asks. `octets`: the serial's, as in its INTEGER."""

    shape: Shape
    octets: bytes
    serial: int
    nonce: bytes


class QuickSigning:
    """Reads plain requests and answers them for one CA, as `rules` have it."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._able = (
            rules.signed_requests is not SignedRequests.REQUIRED
            and rules.ca_revoked is None
            and rules.archive_cutoff is None
        )
        self._echoed = rules.nonces is Nonces.ECHOED
        self._shapes: dict[bytes, Shape] = {}
        self._splits: list[int] = []
        self._signer: Signer | None = None
        self._since = self._until = _NEVER
        self._window: tuple[datetime, datetime] = _NEVER, _NEVER
        self._begins = self._ends = 0  # the same as epoch seconds
        self._templates: dict[tuple[str, bool], Template] = {}
        self._moments: dict[tuple[str, bool], Moment] = {}

    def read(self, data: bytes) -> Plain | None:
        """What `data` asks, when its shape is known."""
        parts = self.parts(data)
        if parts is None:
            return None
        shape, octets, nonce = parts
        return Plain(shape, octets, int.from_bytes(octets, "big"), nonce)

    def parts(self, data: bytes) -> Parts | None:
        """The same without the serial's value."""
        for split in self._splits:
            shape = self._shapes.get(data[:split])
            if shape is None:
                continue
            serial_length, length, between = shape[:3]
            after = split + serial_length
            nonce_at = after + len(between)
            if len(data) != length or data[after:nonce_at] != between:
                return None
            octets = data[split:after]
            first = octets[0]
            if first >= 0x80 or (first == 0 and (len(octets) == 1 or octets[1] < 0x80)):
                return None  # zero, negative or not DER: not plain
            return shape, octets, data[nonce_at:]
        return None

    def learn(self, data: bytes, request: Request) -> None:
        """Know requests of this shape from now on, if `request`, read from `data`, is plain and
        about a certificate of the CA."""
        if not self._able or len(request.singles) != 1 or request.signature is not None:
            return
        certid, nonce = request.singles[0].certid, request.nonce
        if certid.serial <= 0 or Request.build(certid, nonce=nonce).encode() != data:
            return
        octets = certid.serial.to_bytes(certid.serial.bit_length() // 8 + 1, "big")
        certid_der = certid.encode()
        split = data.index(certid_der) + len(certid_der) - len(octets)
        size = 0 if nonce is None else len(nonce)
        told = b"" if nonce is None else encode_extensions(1, (nonce_extension(nonce),))
        if len(self._shapes) >= MAX_SHAPES:
            self._shapes.clear()
            self._splits.clear()
        self._shapes[data[:split]] = Shape(
            len(octets),
            len(data),
            data[split + len(octets) : len(data) - size],
            size,
            told[: len(told) - size],
            certid,
            (certid.hash_algorithm, certid.null_parameters),
        )
        if split not in self._splits:
            self._splits.append(split)

    def sign(self, asked: Sequence[Asked], signer: Signer, at: datetime) -> list[Signed | None]:
        """The answer to each of `asked`, signed by `signer`, which is fit to sign at `at`; None:
        there is more to it, ask in general."""
        if signer is not self._signer or not self._since <= at < self._until:
            self._begin(signer, at)
        given: list[Signed | None] = [None] * len(asked)
        begins, ends, echoed = self._begins, self._ends, self._echoed
        if ends <= begins:
            return given
        moments, work = self._moments, []
        for place, ((shape, octets, nonce), entry) in enumerate(asked):
            said, encoded = "good", _GOOD
            if entry.revoked_at is not None:
                if self._rules.tell:
                    continue
                said = "revoked"
                encoded = encode_certificate_status(Revoked(entry.revoked_at, entry.reason))
            moment = moments.get(shape.kind) or self._moment(shape.kind)
            nonced = echoed and nonce != b""
            extensions = shape.nonce + nonce if nonced else b""
            tbs = moment.unsigned(octets, encoded, extensions)
            work.append((place, tbs, moment.template, said, nonced))
        make = signer.make
        signatures = [make(one[1]) for one in work]
        for (place, tbs, template, said, nonced), signature in zip(work, signatures, strict=True):
            der = template.wrapped(tbs, signature)
            given[place] = der, begins, ends, said, nonced, sha256(der).hexdigest()
        return given

    def told(self, plain: Plain, entry: LedgerEntry, signed: Signed, at: datetime) -> Answer:
        """`signed`, which `sign` made of these at `at`, with all that it tells."""
        der, begins, ends, _, nonced, _ = signed
        this_update, next_update = self._window
        if (begins, ends) != (self._begins, self._ends):  # of another second
            this_update = datetime.fromtimestamp(begins, UTC)
            next_update = datetime.fromtimestamp(ends, UTC)
        name, name_hash, key_hash, _, null = plain.shape.certid
        certid = CertID(name, name_hash, key_hash, plain.serial, null)
        certificate_status: CertificateStatus = GOOD
        if entry.revoked_at is not None:
            certificate_status = Revoked(entry.revoked_at, entry.reason)
        return Answer(
            der,
            ResponseStatus.successful,
            this_update,
            next_update,
            nonced,
            (SingleResponse(certid, certificate_status, this_update, next_update),),
            "",
            at,
        )

    def _begin(self, signer: Signer, at: datetime) -> None:
        """Another second, or another signer."""
        if signer is not self._signer:
            self._templates.clear()
            self._signer = signer
        self._since = at.replace(microsecond=0)
        self._until = self._since + _SECOND
        self._window = this_update, next_update = window(signer, rules=self._rules, at=at)
        self._begins, self._ends = int(this_update.timestamp()), int(next_update.timestamp())
        self._moments.clear()

    def _moment(self, kind: tuple[str, bool]) -> Moment:
        template = self._templates.get(kind)
        if template is None:
            assert self._signer is not None
            template = Template(self._signer, (kind[0],), null_parameters=kind[1])
            self._templates[kind] = template
        this_update, next_update = self._window
        made = self._moments[kind] = template.moment(
            produced_at=self._since, this_update=this_update, next_update=next_update
        )
        return made
