"""Template: responses about one certificate each, put together from parts that were encoded before.

Signing costs 15 to 20 microseconds with P-256 and encoding a response from values as much again,
though two answers of a signer differ in little but the serial. Law: what `Moment.respond` makes is
octet for octet what `Signer.respond` would have made of the same values; lengths come from the
encoder itself, which is asked once for each length that occurs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

from holdfast.ocsp import der
from holdfast.ocsp.algorithms import signing, signing_together
from holdfast.ocsp.certid import HASH_OIDS, issuer_hashes
from holdfast.ocsp.extension import Extension, encode_extensions
from holdfast.ocsp.response import assemble, encode_responder_id
from holdfast.ocsp.sign import Signer

MAX_SHAPES = 4096  # lengths and statuses whose parts are kept; then they are made anew
TOGETHER = 64  # responses that are signed one right after the other


class _Parts(NamedTuple):
    """A ResponseData that lacks its serial: `pieces` is what stands around each of it, `status_at`
    where the first certificate_status begins once it is in."""

    pieces: tuple[bytes, ...]
    status_at: int


class _Shape(NamedTuple):
    """What responses share whose serials are of this `length` and that say the same; `fronts` by
    the length of the signature: what stands before the response, before the ResponseData, and
    between that and the signature."""

    length: int
    said: bytes
    pieces: tuple[bytes, ...]
    status_at: int
    fronts: dict[int, tuple[bytes, bytes, bytes]]


class Template:
    """The responses of `signer` whose one certificate is named by each of `hash_algorithms`.

    Several hashes: a SingleResponse for each, in that order, so that clients of either find theirs
    (R28). `null_parameters`: how the hash is written (`CertID.null_parameters`).
    """

    def __init__(
        self,
        signer: Signer,
        hash_algorithms: Sequence[str] = ("sha1",),
        *,
        null_parameters: bool = True,
    ) -> None:
        self.signer = signer
        self.hash_algorithms = tuple(hash_algorithms)
        algorithm, self.sign = signing(signer.key, pss=signer.pss, digest=signer.digest)
        self.sign_together = signing_together(signer.key, pss=signer.pss, digest=signer.digest)
        self._algorithm = algorithm
        self._certificates = signer.certificates
        self.end = der.tlv(0xA0, der.sequence(*signer.certificates)) if signer.certificates else b""
        self.responder_id = encode_responder_id(signer.responder_id)
        self.certids = tuple(
            _before_serial(name, *issuer_hashes(signer.issuer, name), null_parameters)
            for name in hash_algorithms
        )
        self._envelopes: dict[tuple[int, int], tuple[bytes, bytes]] = {}

    def moment(
        self,
        *,
        produced_at: datetime,
        this_update: datetime,
        next_update: datetime,
        single_extensions: Sequence[Extension] = (),
    ) -> Moment:
        """What is signed with these times."""
        return Moment(self, produced_at, this_update, next_update, tuple(single_extensions))

    def wrapped(self, tbs: bytes, signature: bytes) -> bytes:
        """The response of a ResponseData and the signature on it."""
        lengths = len(tbs), len(signature)
        before, between = self._envelopes.get(lengths) or self.envelope(*lengths)
        return b"".join((before, tbs, between, signature, self.end))

    def envelope(self, tbs: int, signature: int) -> tuple[bytes, bytes]:
        """What stands before a ResponseData and a signature of these lengths."""
        found = self._envelopes.get((tbs, signature))
        if found is None:
            if len(self._envelopes) >= MAX_SHAPES:
                self._envelopes.clear()
            whole = assemble(bytes(tbs), self._algorithm, bytes(signature), self._certificates)
            bits = der.encode_bit_string(bytes(signature))
            between = self._algorithm.encode() + bits[: len(bits) - signature]
            after = tbs + len(between) + signature + len(self.end)
            found = whole[: len(whole) - after], between
            self._envelopes[tbs, signature] = found
        return found


class Moment:
    """The responses of a template with the same times; made by `Template.moment`."""

    __slots__ = ("_parts", "_produced_at", "_tail", "template")

    def __init__(
        self,
        template: Template,
        produced_at: datetime,
        this_update: datetime,
        next_update: datetime,
        single_extensions: tuple[Extension, ...],
    ) -> None:
        self.template = template
        self._produced_at = der.encode_time(produced_at)
        self._tail = b"".join(
            (
                der.encode_time(this_update),
                der.tlv(der.context(0), der.encode_time(next_update)),
                encode_extensions(1, single_extensions),
            )
        )
        self._parts: dict[tuple[int, bytes, int], _Parts] = {}

    def unsigned(self, serial: bytes, certificate_status: bytes, extensions: bytes = b"") -> bytes:
        """A ResponseData: `serial` is the content of its INTEGER, `certificate_status` DER,
        `extensions` what `encode_extensions(1, ...)` makes of the response's, such as a nonce."""
        shape = len(serial), certificate_status, len(extensions)
        parts = self._parts.get(shape) or self._made(shape)
        return serial.join(parts[0]) + extensions

    def respond(self, serial: bytes, certificate_status: bytes, extensions: bytes = b"") -> bytes:
        """The signed response of the same."""
        tbs = self.unsigned(serial, certificate_status, extensions)
        template = self.template
        return template.wrapped(tbs, template.sign(tbs))

    def shelved(
        self, serial: bytes, certificate_status: bytes, extensions: bytes = b""
    ) -> tuple[bytes, int]:
        """The same, and where in it the first certificate_status begins."""
        shape = len(serial), certificate_status, len(extensions)
        parts = self._parts.get(shape) or self._made(shape)
        tbs = serial.join(parts.pieces) + extensions
        template = self.template
        signature = template.sign(tbs)
        lengths = len(tbs), len(signature)
        before, between = template.envelope(*lengths)
        response = b"".join((before, tbs, between, signature, template.end))
        return response, len(before) + parts.status_at

    def records(
        self, rows: Sequence[tuple[bytes, bytes]], head: Callable[[int, int], bytes]
    ) -> list[tuple[bytes, bytes]]:
        """For each (serial, certificate_status) of `rows` the serial, and the response with its
        SHA-256 before it and before that what `head` makes of where in the response its
        certificate_status begins, and of how long that is. `TOGETHER` at a time, step by step: each
        step finds its code and tables still in the cache."""
        template = self.template
        end = template.end
        shapes: dict[tuple[int, bytes], _Shape] = {}
        shape: _Shape | None = None
        made: list[tuple[bytes, bytes]] = []
        for start in range(0, len(rows), TOGETHER):
            few = rows[start : start + TOGETHER]
            of_each: list[_Shape] = []
            signed: list[bytes] = []
            for serial, said in few:
                if shape is None or said is not shape.said or len(serial) != shape.length:
                    key = len(serial), said
                    shape = shapes.get(key)
                    if shape is None:
                        parts = self._parts.get((*key, 0)) or self._made((*key, 0))
                        shape = shapes[key] = _Shape(*key, *parts, {})
                of_each.append(shape)
                signed.append(serial.join(shape.pieces))
            fronts: list[tuple[bytes, bytes, bytes]] = []
            signatures = template.sign_together(signed)
            for tbs, signature, of in zip(signed, signatures, of_each, strict=True):
                front = of.fronts.get(len(signature))
                if front is None:
                    before, between = template.envelope(len(tbs), len(signature))
                    front = head(len(before) + of.status_at, len(of.said)), before, between
                    of.fronts[len(signature)] = front
                fronts.append(front)
            responses = [
                b"".join((before, tbs, between, signature, end))
                for (_, before, between), tbs, signature in zip(
                    fronts, signed, signatures, strict=True
                )
            ]
            digests = [sha256(response).digest() for response in responses]
            made += [
                (serial, b"".join((front[0], digest, response)))
                for (serial, _), front, digest, response in zip(
                    few, fronts, digests, responses, strict=True
                )
            ]
        return made

    def _made(self, shape: tuple[int, bytes, int]) -> _Parts:
        """The parts for a serial and response extensions of these lengths."""
        length, certificate_status, extensions = shape
        after = certificate_status + self._tail
        single_heads = []
        size = 0
        for certid in self.template.certids:
            inner = certid + bytes((der.INTEGER, length))
            inner_size = len(inner) + length
            head = _header(der.SEQUENCE, inner_size) + inner
            whole = len(head) + length + len(after)
            head = _header(der.SEQUENCE, whole) + head
            single_heads.append(head)
            size += len(head) + length + len(after)
        before = self.template.responder_id + self._produced_at + _header(der.SEQUENCE, size)
        before = _header(der.SEQUENCE, len(before) + size + extensions) + before
        pieces = [before + single_heads[0]]
        pieces += [after + head for head in single_heads[1:]]
        pieces.append(after)
        made = _Parts(tuple(pieces), len(pieces[0]) + length)
        if len(self._parts) >= MAX_SHAPES:
            self._parts.clear()
        self._parts[shape] = made
        return made


def _header(tag: int, length: int) -> bytes:
    """Tag and length of an element whose content has `length` octets."""
    whole = der.tlv(tag, bytes(length))
    return whole[: len(whole) - length]


def _before_serial(name: str, name_hash: bytes, key_hash: bytes, null_parameters: bool) -> bytes:
    """The content of a CertID up to its serial."""
    null = der.NULL_DER if null_parameters else b""
    return b"".join(
        (
            der.sequence(der.encode_oid(HASH_OIDS[name]), null),
            der.octet_string(name_hash),
            der.octet_string(key_hash),
        )
    )
