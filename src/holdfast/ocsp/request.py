"""OCSP requests as values: read strictly, written exactly. RFC 6960 4.1.1, RFC 9919.

Signed requests are read whole (requestor name, signature, certificates) and judged by nobody here:
a responder's setting decides (R7).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.errors import Malformed
from holdfast.ocsp import der
from holdfast.ocsp.algorithms import AlgorithmIdentifier, read_algorithm
from holdfast.ocsp.certid import CertID, read_certid
from holdfast.ocsp.extension import (
    Extension,
    encode_extensions,
    nonce_extension,
    nonce_of,
    read_extensions,
)

MAX_REQUEST = 65536  # bytes; one CertID takes 80, a signed request with certificates some KiB
MAX_REQUESTS = 1024  # CertIDs in one request
MAX_CERTIFICATES = 16


@dataclass(frozen=True, slots=True)
class SingleRequest:
    certid: CertID
    extensions: tuple[Extension, ...] = ()

    def encode(self) -> bytes:
        return der.sequence(self.certid.encode(), encode_extensions(0, self.extensions))


@dataclass(frozen=True, slots=True)
class RequestSignature:
    """`certificates`: DER each, unparsed."""

    algorithm: AlgorithmIdentifier
    signature: bytes
    certificates: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        certs = der.tlv(0xA0, der.sequence(*self.certificates)) if self.certificates else b""
        return der.sequence(self.algorithm.encode(), der.encode_bit_string(self.signature), certs)


@dataclass(frozen=True, slots=True)
class Request:
    """One OCSPRequest. `requestor`: the DER of the GeneralName, None when absent.

    `tbs` is what a signature covers, as it was read; of a request built here it is computed.
    """

    singles: tuple[SingleRequest, ...]
    extensions: tuple[Extension, ...] = ()
    requestor: bytes | None = None
    signature: RequestSignature | None = None
    tbs: bytes = field(default=b"", repr=False, compare=False)

    @classmethod
    def build(
        cls, *certids: CertID, nonce: bytes | None = None, extensions: tuple[Extension, ...] = ()
    ) -> Request:
        """A request for `certids`, with a nonce of 1 to 128 octets (RFC 9654) when given."""
        if nonce is not None:
            extensions = (*extensions, nonce_extension(nonce))
        return cls(tuple(SingleRequest(certid) for certid in certids), extensions)

    @classmethod
    def parse(cls, data: bytes) -> Request:
        """Read `data`, one DER OCSPRequest and nothing else; raise `Malformed` otherwise (R5)."""
        return _parse(data)

    @property
    def nonce(self) -> bytes | None:
        """The nonce's octets; raises `Malformed` when it is not 1 to 128 octets (R16)."""
        return nonce_of(self.extensions, "OCSPRequest")

    def encode_tbs(self) -> bytes:
        """TBSRequest, DER: what `signature` is made over."""
        if self.tbs:
            return self.tbs
        requestor = b"" if self.requestor is None else der.tlv(0xA1, self.requestor)
        return der.sequence(
            requestor,
            der.sequence(*(single.encode() for single in self.singles)),
            encode_extensions(2, self.extensions),
        )

    def encode(self) -> bytes:
        signature = b"" if self.signature is None else der.tlv(0xA0, self.signature.encode())
        return der.sequence(self.encode_tbs(), signature)


def _parse(data: bytes) -> Request:
    if len(data) > MAX_REQUEST:
        raise Malformed("OCSPRequest", f"{len(data)} bytes, more than {MAX_REQUEST}")
    start, stop = der.whole(data, der.SEQUENCE, "OCSPRequest")
    content, tbs_end = der.take(data, start, stop, der.SEQUENCE, "TBSRequest")
    tbs = data[start:tbs_end]
    if content < tbs_end and data[content] == 0xA0:
        raise Malformed(
            "TBSRequest.version",
            "written out: v1 is the default, which DER leaves away, and there is no other",
            offset=content,
        )
    requestor, content = _requestor(data, content, tbs_end)
    singles, content = _singles(data, content, tbs_end)
    extensions: tuple[Extension, ...] = ()
    if content < tbs_end:
        extensions, content = read_extensions(
            data, content, tbs_end, 2, "TBSRequest.requestExtensions"
        )
        der.finish(content, tbs_end, "TBSRequest")
    signature = None
    if tbs_end < stop:
        signature = _signature(data, tbs_end, stop)
    return Request(singles, extensions, requestor, signature, tbs)


def _requestor(data: bytes, position: int, end: int) -> tuple[bytes | None, int]:
    if position >= end or data[position] != 0xA1:
        return None, position
    what = "TBSRequest.requestorName"
    start, stop = der.take(data, position, end, 0xA1, what)
    tag, _, inner_end = der.element(data, start, stop, what)
    if tag & 0xC0 != 0x80:
        raise Malformed(what, f"tag 0x{tag:02x} is no GeneralName", offset=start)
    der.finish(inner_end, stop, what)
    return data[start:stop], stop


def _singles(data: bytes, position: int, end: int) -> tuple[tuple[SingleRequest, ...], int]:
    what = "TBSRequest.requestList"
    start, stop = der.take(data, position, end, der.SEQUENCE, what)
    if start == stop:
        raise Malformed(what, "empty: it asks for nothing", offset=start)
    found: list[SingleRequest] = []
    while start < stop:
        if len(found) == MAX_REQUESTS:
            raise Malformed(what, f"more than {MAX_REQUESTS} CertIDs", offset=start)
        inner, single_end = der.take(data, start, stop, der.SEQUENCE, "Request")
        certid, inner = read_certid(data, inner, single_end, "Request.reqCert")
        extensions: tuple[Extension, ...] = ()
        if inner < single_end:
            extensions, inner = read_extensions(
                data, inner, single_end, 0, "Request.singleRequestExtensions"
            )
            der.finish(inner, single_end, "Request")
        found.append(SingleRequest(certid, extensions))
        start = single_end
    return tuple(found), stop


def _signature(data: bytes, position: int, end: int) -> RequestSignature:
    what = "OCSPRequest.optionalSignature"
    outer, outer_end = der.take(data, position, end, 0xA0, what)
    der.finish(outer_end, end, "OCSPRequest")
    start, stop = der.take(data, outer, outer_end, der.SEQUENCE, what)
    der.finish(stop, outer_end, what)
    algorithm, start = read_algorithm(data, start, stop, f"{what}.signatureAlgorithm")
    bits, bits_end = der.bit_string(data, start, stop, f"{what}.signature")
    certificates: list[bytes] = []
    if bits_end < stop:
        inner, inner_end = der.take(data, bits_end, stop, 0xA0, f"{what}.certs")
        der.finish(inner_end, stop, what)
        first, last = der.take(data, inner, inner_end, der.SEQUENCE, f"{what}.certs")
        der.finish(last, inner_end, f"{what}.certs")
        while first < last:
            if len(certificates) == MAX_CERTIFICATES:
                raise Malformed(what, f"more than {MAX_CERTIFICATES} certificates", offset=first)
            _, after = der.take(data, first, last, der.SEQUENCE, f"{what}.certs")
            certificates.append(data[first:after])
            first = after
    return RequestSignature(algorithm, data[bits:bits_end], tuple(certificates))
