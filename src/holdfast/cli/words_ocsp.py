"""OCSP requests and responses in words: plain objects that `show` prints and `--json` writes.

Law: every field of the message is told, in its order; nothing is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast.errors import Malformed
from holdfast.ocsp import der, extension
from holdfast.ocsp.algorithms import AlgorithmIdentifier, scheme_of
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.extension import Extension
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import ResponderKey, ResponderName, Response, SingleResponse
from holdfast.ocsp.statuses import RevocationReason, Revoked

Words = dict[str, Any]


def request_words(data: bytes) -> Words:
    """The OCSP request in `data`; `Malformed` when it is none."""
    request = Request.parse(data)
    words: Words = {"kind": "OCSP request"}
    if request.requestor is not None:
        words["requestor_name"] = _general_name(request.requestor)
    words["asks_about"] = [
        {**certid_words(single.certid), **_extensions(single.extensions)}
        for single in request.singles
    ]
    words |= _extensions(request.extensions)
    if request.signature is not None:
        words["signature_algorithm"] = algorithm_words(request.signature.algorithm)
        words["signature"] = request.signature.signature.hex()
        words["certificates"] = _certificates(request.signature.certificates)
    return words


def response_words(data: bytes) -> Words:
    """The OCSP response in `data`; `Malformed` when it is none."""
    response = Response.parse(data)
    words: Words = {
        "kind": "OCSP response",
        "bytes": len(data),
        "response_status": response.response_status.name,
    }
    basic = response.basic
    if basic is None:
        return words
    match basic.responder_id:
        case ResponderName(name):
            words["responder_name"] = name_text(name)
        case ResponderKey(key_hash):
            words["responder_key_hash"] = key_hash.hex()
    words["produced_at"] = basic.produced_at
    words["answers"] = [_single(single) for single in basic.singles]
    words |= _extensions(basic.extensions)
    words["signature_algorithm"] = algorithm_words(basic.signature_algorithm)
    words["signature"] = basic.signature.hex()
    words["certificates"] = _certificates(basic.certificates)
    return words


def certid_words(certid: CertID) -> Words:
    return {
        "serial": f"{certid.serial:x}",
        "hash_algorithm": certid.hash_algorithm,
        "issuer_name_hash": certid.issuer_name_hash.hex(),
        "issuer_key_hash": certid.issuer_key_hash.hex(),
    }


def algorithm_words(algorithm: AlgorithmIdentifier) -> str:
    scheme = scheme_of(algorithm)
    if scheme is None:
        return f"{algorithm.oid} (not known)"
    return f"{scheme.name} (weak)" if scheme.weak else scheme.name


def name_text(name: bytes) -> str:
    """RFC 4514 text of a DER Name; hexadecimal when it has none."""
    from cryptography import x509

    try:  # the Name of a made-up certificate request: there is no other reader of bare Names
        spki = bytes.fromhex("302a300506032b6570032100" + "00" * 32)
        info = der.sequence(der.encode_integer(0), name, spki, b"\xa0\x00")
        bare = der.sequence(info, bytes.fromhex("300506032b6570"), der.encode_bit_string(b""))
        return x509.load_der_x509_csr(bare).subject.rfc4514_string()
    except ValueError:
        return f"#{name.hex()}"


def _single(single: SingleResponse) -> Words:
    status = single.certificate_status
    words: Words = {**certid_words(single.certid), "certificate_status": status.text}
    if isinstance(status, Revoked):
        words["revoked_at"] = status.at
        words["reason"] = None if status.reason is None else status.reason.text
    words["this_update"] = single.this_update
    words["next_update"] = single.next_update
    return words | _extensions(single.extensions)


def _certificates(certificates: Sequence[bytes]) -> list[Words]:
    from holdfast.cli.words_x509 import certificate_summary
    from holdfast.pki.certificate import Certificate

    found: list[Words] = []
    for one in certificates:
        try:
            found.append(certificate_summary(Certificate(one)))
        except Malformed as error:
            found.append({"unreadable": error.message, "bytes": len(one)})
    return found


def _extensions(extensions: tuple[Extension, ...]) -> Words:
    if not extensions:
        return {}
    return {"extensions": [_extension(one) for one in extensions]}


def _extension(one: Extension) -> Words:
    words: Words = {"name": extension.NAMES.get(one.oid, "not known"), "oid": one.oid}
    if one.critical:
        words["critical"] = True
    try:
        words["value"] = _value(one)
    except Malformed:
        words["value"] = one.value.hex()
    return words


def _value(one: Extension) -> object:
    data, what = one.value, "extension"
    match one.oid:
        case extension.NONCE:
            start, stop = der.whole(data, der.OCTET_STRING, what)
            return data[start:stop].hex()
        case extension.ARCHIVE_CUTOFF | extension.INVALIDITY_DATE:
            return der.generalized_time(data, 0, len(data), what)[0]
        case extension.CRL_REASON:
            start, stop = der.whole(data, der.ENUMERATED, what)
            code = der.integer_content(data, start, stop, what)
            reason = RevocationReason.by_code(code)
            return code if reason is None else reason.text
        case extension.ACCEPTABLE_RESPONSES:
            return _oids(data)
        case extension.PREFERRED_SIGNATURE_ALGORITHMS:
            return _preferred(data)
        case extension.CRL_REFERENCE:
            return _crl_reference(data)
        case extension.EXTENDED_REVOKE:
            return "yes"
        case extension.SCT_LIST:
            start, stop = der.whole(data, der.OCTET_STRING, what)
            return f"{_count(data[start + 2 : stop])} timestamps"
        case _:
            return data.hex()


def _oids(data: bytes) -> list[str]:
    position, end = der.whole(data, der.SEQUENCE, "acceptable response types")
    found = []
    while position < end:
        dotted, position = der.oid(data, position, end, "acceptable response types")
        known = dotted == "1.3.6.1.5.5.7.48.1.1"
        found.append("basic" if known else dotted)
    return found


def _preferred(data: bytes) -> list[str]:
    """RFC 6960 4.4.7.1: SEQUENCE OF SEQUENCE {sigIdentifier, certIdentifier OPTIONAL}."""
    from holdfast.ocsp.algorithms import read_algorithm

    what = "preferred signature algorithms"
    position, end = der.whole(data, der.SEQUENCE, what)
    found = []
    while position < end:
        start, stop = der.take(data, position, end, der.SEQUENCE, what)
        algorithm, _ = read_algorithm(data, start, stop, what)
        found.append(algorithm_words(algorithm))
        position = stop
    return found


def _crl_reference(data: bytes) -> Words:
    """RFC 6960 4.4.2: CrlID {url [0] IA5String, num [1] INTEGER, time [2] GeneralizedTime}."""
    what = "CRL reference"
    position, end = der.whole(data, der.SEQUENCE, what)
    words: Words = {}
    while position < end:
        tag, start, stop = der.element(data, position, end, what)
        match tag:
            case 0xA0:
                _, text, last = der.element(data, start, stop, what)
                words["url"] = data[text:last].decode("ascii", "replace")
            case 0xA1:
                words["number"] = der.integer(data, start, stop, what)[0]
            case 0xA2:
                words["time"] = der.generalized_time(data, start, stop, what)[0]
            case _:
                raise Malformed(what, f"tag 0x{tag:02x}", offset=position)
        position = stop
    return words


def _count(listed: bytes) -> int:
    """RFC 6962 3.3: each SCT has two octets of length before it."""
    count = position = 0
    while position + 2 <= len(listed):
        position += 2 + int.from_bytes(listed[position : position + 2], "big")
        count += 1
    return count


def _general_name(name: bytes) -> str:
    """A GeneralName: a directory name, a text, or hexadecimal."""
    tag, start, stop = der.element(name, 0, len(name), "GeneralName")
    if tag == 0xA4:
        return name_text(name[start:stop])
    if tag in (0x81, 0x82, 0x86):
        return name[start:stop].decode("ascii", "replace")
    return name.hex()
