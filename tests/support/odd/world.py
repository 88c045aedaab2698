"""The CA whose odd staples are served: who signs, for whom, and answers of any kind.

Everything is around the real clock, because other people's programs read it, and began 30 days ago,
so that an old answer is wrong in its age alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from holdfast.ocsp.certid import CertID
from holdfast.ocsp.extension import Extension
from holdfast.ocsp.response import Response, SingleResponse
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import GOOD, CertificateStatus
from holdfast.pki.certificate import Certificate
from holdfast.pki.issue import Authority, Issued
from support.builders import by_key, response_data, signed_response
from support.pki import a_root, a_server, a_signer, an_intermediate

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WINDOW = 4 * DAY
RESPONDER = "http://127.0.0.1:9/"  # never asked: what is judged is the staple
NAMES = ("localhost", "127.0.0.1")
UNHEARD_OF = "1.3.6.1.4.1.99999.1"  # an OID that no client knows


class World:
    """A root, an issuing CA below it and one server certificate."""

    def __init__(self, at: datetime | None = None) -> None:
        self.at = (at or datetime.now(UTC)).replace(microsecond=0)
        self.begin = self.at - 30 * DAY
        self.root = a_root(at=self.begin)
        self.ca = an_intermediate(self.root, at=self.begin)

    @property
    def began(self) -> datetime:
        """When a usual answer was made."""
        return self.at - HOUR

    @cached_property
    def site(self) -> Issued:
        return self.server()

    def server(self, ca: Authority | None = None, **wishes: Any) -> Issued:
        return a_server(ca or self.ca, *NAMES, at=self.begin, responder_urls=[RESPONDER], **wishes)

    @cached_property
    def told_about(self) -> Authority:
        """An issuing CA that has a responder for itself: its certificate can be stapled too."""
        return an_intermediate(
            self.root, "Test Stapled CA", at=self.begin, responder_urls=[RESPONDER]
        )

    @cached_property
    def stranger(self) -> Authority:
        """Another CA of the very same name."""
        return an_intermediate(self.root, at=self.begin, who="a stranger")

    # -- signers ------------------------------------------------------------------------------

    def delegate(self, ca: Authority | None = None, **wishes: Any) -> Signer:
        wishes.setdefault("at", self.begin)
        return self.signing(a_signer(ca or self.ca, **wishes))

    def signing(self, issued: Issued | Authority, **wishes: Any) -> Signer:
        """`issued` as it signs for the issuing CA, whether it may or not."""
        return Signer(issued.certificate, issued.key, self.ca.certificate, **wishes)

    # -- answers ------------------------------------------------------------------------------

    def single(
        self,
        status: CertificateStatus = GOOD,
        *,
        of: Certificate | None = None,
        issuer: Certificate | None = None,
        more: int = 0,
        hashed: str = "sha1",
        begin: datetime | None = None,
        window: timedelta | None = WINDOW,
        extensions: tuple[Extension, ...] = (),
    ) -> SingleResponse:
        """Of the site, unless `of` says otherwise; `more` is added to its serial."""
        serial = (of or self.site.certificate).serial + more
        begin = begin or self.began
        return SingleResponse(
            CertID.of(serial, issuer or self.ca.certificate, hashed),
            status,
            begin,
            None if window is None else begin + window,
            extensions,
        )

    def answer(
        self,
        *singles: SingleResponse,
        signer: Signer | None = None,
        produced_at: datetime | None = None,
        extensions: tuple[Extension, ...] = (),
    ) -> bytes:
        """Good, by the issuing CA itself, unless told otherwise."""
        spoken: Sequence[SingleResponse] = singles or (self.single(),)
        return (signer or self.signing(self.ca)).respond(
            spoken,
            produced_at=produced_at or min(self.began, spoken[0].this_update),
            extensions=extensions,
        )

    def of_the_issuer(self, status: CertificateStatus = GOOD) -> bytes:
        """The root's, about `told_about`."""
        said = self.single(status, of=self.told_about.certificate, issuer=self.root.certificate)
        signer = Signer(self.root.certificate, self.root.key, self.root.certificate)
        return self.answer(said, signer=signer)

    def under_it(self, site: Issued) -> bytes:
        """That of `told_about`, about a certificate that it issued."""
        issuer = self.told_about
        said = self.single(of=site.certificate, issuer=issuer.certificate)
        return self.answer(said, signer=Signer(issuer.certificate, issuer.key, issuer.certificate))

    def by_hand(self, *singles: SingleResponse | bytes, digest: str = "", key: Any = None) -> bytes:
        """What no signer of ours would make: no singles, SHA-1, another's key."""
        tbs = response_data(by_key(self.ca.certificate), self.began, singles)
        return signed_response(key or self.ca.key, tbs, digest=digest)


def flipped(answer: bytes) -> bytes:
    """One bit of the signature, in the middle of a number, so that its form stays."""
    basic = Response.parse(answer).basic
    assert basic is not None
    place = answer.index(basic.signature) + len(basic.signature) - 4
    return answer[:place] + bytes([answer[place] ^ 1]) + answer[place + 1 :]


Make = Callable[[World], bytes]
