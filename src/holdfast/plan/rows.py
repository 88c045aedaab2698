"""Rows: what is to be said of certificates, most of which are good.

Laws: each is good but those that `otherwise` names, so that millions take no more than their
serials; of two rows of one serial the stricter counts.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Iterator

from holdfast.ocsp.response import encode_certificate_status
from holdfast.ocsp.statuses import GOOD

GOOD_DER = encode_certificate_status(GOOD)
"""Less than any other certificate_status: its tag is 0x80, that of revoked 0xa1."""

Row = tuple[bytes, bytes]
"""A serial's content octets and its certificate_status in DER."""


class Rows:
    """`serials`: their content octets, in any order. `otherwise`: the certificate_status, in DER,
    of those of them that are not good."""

    __slots__ = ("otherwise", "serials")

    def __init__(
        self, serials: list[bytes] | None = None, otherwise: dict[bytes, bytes] | None = None
    ) -> None:
        self.serials: list[bytes] = [] if serials is None else serials
        self.otherwise: dict[bytes, bytes] = {} if otherwise is None else otherwise

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Rows:
        made = cls()
        for serial, certificate_status in rows:
            made.add(serial, certificate_status)
        return made

    def add(self, serial: bytes, certificate_status: bytes) -> None:
        self.serials.append(serial)
        if certificate_status != GOOD_DER:
            self.otherwise[serial] = max(certificate_status, self.said(serial))

    def said(self, serial: bytes) -> bytes:
        return self.otherwise.get(serial, GOOD_DER)

    def part(self, serials: list[bytes]) -> Rows:
        """The rows of `serials`, which are some of these."""
        said = self.otherwise
        return Rows(serials, {one: said[one] for one in serials if one in said} if said else None)

    def __len__(self) -> int:
        return len(self.serials)

    def __iter__(self) -> Iterator[Row]:
        said = self.otherwise
        return ((serial, said.get(serial, GOOD_DER)) for serial in self.serials)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rows) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[object, ...]:
        return Rows.unpacked, (self.packed(),)

    def packed(self) -> bytes:
        """For `unpacked`, in this version of Python."""
        return marshal.dumps((self.serials, self.otherwise), 2)  # 2: no object is looked for twice

    @classmethod
    def unpacked(cls, packed: bytes) -> Rows:
        """What `packed` was called on. Nothing from strangers: marshal trusts what it reads."""
        return cls(*marshal.loads(packed))  # noqa: S302
