"""Template: responses about one certificate each, put together from parts that were encoded before.

Signing costs 15 to 20 microseconds with P-256 and encoding a response from values as much again,
though two answers of a signer differ in little but the serial. Law: what `Moment.respond` makes is
octet for octet what `Signer.respond` would have made of the same values; lengths come from the
encoder itself, which is asked once for each length that occurs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from itertools import repeat
from typing import NamedTuple

from holdfast.ocsp import der
from holdfast.ocsp.algorithms import signing, signing_together
from holdfast.ocsp.certid import HASH_OIDS, issuer_hashes
from holdfast.ocsp.extension import Extension, encode_extensions
from holdfast.ocsp.response import assemble, encode_responder_id
from holdfast.ocsp.sign import Signer

MAX_SHAPES = 4096  # lengths and statuses whose parts are kept; then they are made anew
TOGETHER = 64  # responses that are signed one right after the other
NONE: Mapping[bytes, bytes] = {}

Head = Callable[[int, int], bytes]
"""What stands before a stored response, of where its certificate_status begins and of how long that
is."""


class _Parts(NamedTuple):
    """A ResponseData that lacks its serial: `pieces` is what stands around each of it, `status_at`
    where the first certificate_status begins once it is in."""

    pieces: tuple[bytes, ...]
    status_at: int


Front = tuple[bytes, bytes, bytes]
"""What stands before a stored response, before its ResponseData, and between that and the
signature."""


class _Fronts(dict[int, Front]):
    """Those of responses that say the same of serials of one length, by the signature's length."""

    def __init__(self, template: Template, tbs: int, head: Callable[[int], bytes]) -> None:
        self._template, self._tbs, self._head = template, tbs, head

    def __missing__(self, signature: int) -> Front:
        before, between = self._template.envelope(self._tbs, signature)
        made = self[signature] = self._head(len(before)), before, between
        return made


class _Shapes(dict[int, tuple[tuple[bytes, ...], _Fronts]]):
    """What stands around the serials in what is signed, and around that, of responses that say the
    same, by the length of their serials."""

    def __init__(self, moment: Moment, said: bytes, head: Head) -> None:
        self._moment, self._said, self._head = moment, said, head

    def __missing__(self, length: int) -> tuple[tuple[bytes, ...], _Fronts]:
        pieces, status_at = self._moment.parts(length, self._said)
        head, said = self._head, len(self._said)
        tbs = sum(map(len, pieces)) + length * (len(pieces) - 1)
        fronts = _Fronts(self._moment.template, tbs, lambda before: head(before + status_at, said))
        made = self[length] = pieces, fronts
        return made


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

    def records(
        self,
        serials: Sequence[bytes],
        head: Head,
        *,
        said: bytes,
        otherwise: Mapping[bytes, bytes] = NONE,
    ) -> list[bytes]:
        """For each of `serials` the response with its SHA-256 before it and before that what `head`
        makes of where in the response its certificate_status begins, and of how long that is.

        `said` is the certificate_status, and `otherwise` that of those that have another.
        `TOGETHER` at a time, step by step: each step finds its code and tables in the cache.
        """
        template = self.template
        usual = _Shapes(self, said, head)
        others: dict[bytes, _Shapes] = {}
        made: list[bytes] = []
        for start in range(0, len(serials), TOGETHER):
            few = serials[start : start + TOGETHER]
            shapes = list(map(usual.__getitem__, map(len, few)))
            if otherwise:
                for at, serial in enumerate(few):
                    other = otherwise.get(serial)
                    if other is not None:
                        if other not in others:
                            others[other] = _Shapes(self, other, head)
                        shapes[at] = others[other][len(serial)]
            pieces, fronts = zip(*shapes, strict=True)
            signed = list(map(bytes.join, few, pieces))
            signatures = template.sign_together(signed)
            heads, befores, betweens = zip(
                *map(dict.__getitem__, fronts, map(len, signatures)), strict=True
            )
            parts = zip(befores, signed, betweens, signatures, repeat(template.end))
            responses = list(map(b"".join, parts))
            digests = [one.digest() for one in map(sha256, responses)]
            made += map(b"".join, zip(heads, digests, responses, strict=True))
        return made

    def parts(self, length: int, certificate_status: bytes) -> _Parts:
        """Those for a serial of this length."""
        shape = length, certificate_status, 0
        return self._parts.get(shape) or self._made(shape)

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
