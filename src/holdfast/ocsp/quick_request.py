"""The OCSP request that nearly every client sends, recognised whole by one look into a dict.

One certificate, no extensions, no signature: up to its serial such a request about a certificate
of one CA is always the same bytes but for the lengths in it, which the serial's length decides.
Law: what is recognised here the general reader (`request.Request`) reads to the same values, and
whatever is not goes to it (`tests/unit/ocsp/test_quick_request.py`). RFC 6960 4.1.1, RFC 9919 3.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from holdfast.ocsp.certid import CertID, ca_tag
from holdfast.ocsp.request import Request
from holdfast.pki.certificate import Certificate

MAX_SERIAL = 21  # octets; RFC 5280 4.1.2.2 allows 20 of value
CERTID_AT = 10  # where a recognised request's CertID has its content: to the request's end
_ALGORITHM_LENGTH_AT = 11  # of the CertID's AlgorithmIdentifier, while every length is short

Plain = tuple[bytes, bytes]
"""The tag of the CA asked and the content octets of the serial."""


class QuickRequests:
    """Recognises requests about certificates of some CAs, by some hashes.

    Hash parameters are NULL, as clients write them; requests without are left to the general
    reader, so that a CertID is echoed as it came (R2). SHA-384 and SHA-512 need long lengths and
    are not among those recognised.
    """

    def __init__(
        self, issuers: Iterable[Certificate], hash_algorithms: Sequence[str] = ("sha1",)
    ) -> None:
        self._known: dict[bytes, tuple[bytes, int]] = {}
        self._split = bytearray(256)
        for issuer in issuers:
            for name in hash_algorithms:
                self._learn(issuer, name)

    def _learn(self, issuer: Certificate, hash_algorithm: str) -> None:
        for length in range(1, MAX_SERIAL + 1):
            serial = 1 << (8 * length - 2)  # of that many octets
            whole = Request.build(CertID.of(serial, issuer, hash_algorithm)).encode()
            if len(whole) > 129:  # 0x81 stands for a long length then
                return
            before = whole[: len(whole) - length]
            self._split[whole[_ALGORITHM_LENGTH_AT]] = len(before)
            self._known[before] = ca_tag(issuer), len(whole)

    def read(self, data: bytes) -> Plain | None:
        """What `data` asks; None when it is of another shape, about another CA, or malformed."""
        return self.read_all((data,))[0]

    def read_all(self, several: Sequence[bytes | None]) -> list[Plain | None]:
        """The same of each; of None too."""
        splits, known = self._split, self._known
        asked: list[Plain | None] = []
        for data in several:
            one: Plain | None = None
            if data is not None and len(data) > _ALGORITHM_LENGTH_AT:
                split = splits[data[_ALGORITHM_LENGTH_AT]]
                found = known.get(data[:split])
                if found is not None and found[1] == len(data):
                    serial = data[split:]
                    first = serial[0]
                    if first and first < 0x80:
                        one = found[0], serial
                    elif first == 0 and (len(serial) == 1 or serial[1] >= 0x80):
                        one = found[0], serial  # else it is negative, or not DER
            asked.append(one)
        return asked
