"""The extensions of a certificate as they stand in its bytes, readable or not (RFC 5280 4.1)."""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.errors import Malformed
from holdfast.pki.tlv import BOOLEAN, CONTEXT_3, Element, element, elements


def listed_extensions(tbs: bytes, fields: Iterable[Element]) -> list[Element]:
    """Each Extension of the TBSCertificate `tbs`, whose elements are `fields`."""
    listed = next((field for field in fields if field.tag == CONTEXT_3), None)
    if listed is None:
        return []
    inner = element(tbs, listed.start, listed.end)
    each = elements(tbs, inner.start, inner.end) if inner else None
    if each is None:
        raise Malformed("Certificate.extensions", "not a SEQUENCE of extensions")
    return each


def critical_among(tbs: bytes, extensions: Iterable[Element]) -> frozenset[bytes]:
    """The OBJECT IDENTIFIERs, DER, of those marked critical."""
    parts = [elements(tbs, one.start, one.end) or [] for one in extensions]
    return frozenset(
        tbs[part[0].head : part[0].end]
        for part in parts
        if len(part) > 2 and part[1].tag == BOOLEAN and tbs[part[1].start] != 0
    )
