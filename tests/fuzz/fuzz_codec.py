"""Coverage-guided fuzzing of codec, judge and answers: python tests/fuzz/fuzz_codec.py -runs=N ...
Options are libFuzzer's (`-runs=`, `-max_total_time=`, `-seed=`, a corpus folder). With atheris the
inputs follow the branches they reach; where it is not installed the same target is fed damaged
vectors (`-runs=`, `-seed=`), which finds less in the same time. Whatever is raised but `Malformed`
is a find.
"""

from __future__ import annotations

import importlib.util
import sys
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.ocsp.request import Request

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / "src")]


def seeds() -> list[bytes]:
    """Every vector's response, and a few requests and paths; requests with every extension that
    there is, signed and unsigned, for the decision."""
    from holdfast.ocsp.http import get_url
    from support import vectors
    from support.messages import a_request

    rng = Random(1)
    requests = [a_request(rng).encode() for _ in range(50)]
    desk = Desk()
    asked = [desk.request(rng, number).encode() for number in range(96)]
    paths = [(get_url("", data) or "/MFE=").encode() for data in requests]
    responses = [case.response for case in vectors.load().values() if len(case.response) < 20_000]
    return [b"\x00" + one for one in responses] + [
        *(b"\x01" + one for one in requests),
        *(b"\x02" + one for one in paths),
        *(bytes((3, number)) + one for number, one in enumerate(asked)),
    ]


class Desk:
    """A responder's decision, under the rules that one octet chooses: 1 is good, 2 revoked."""

    def __init__(self) -> None:
        from dataclasses import replace
        from datetime import timedelta

        from holdfast.ocsp.certid import CertID
        from holdfast.ocsp.sign import Signer
        from holdfast.ocsp.single_extensions import CrlID
        from holdfast.ocsp.statuses import GOOD, RevocationReason, Revoked
        from holdfast.plan.answering import Detail
        from holdfast.plan.rules import NeverIssued, Nonces, OtherIssuers, Rules, SignedRequests
        from holdfast.plan.rules import Told as Tell
        from support.pki import AT, a_root, a_server, a_signer

        self.at = AT
        self.ca = a_root()
        self.clients = (a_server(self.ca, "client.test"), a_server(a_root("B"), "other.test"))
        self.signers = [
            Signer(made.certificate, made.key, self.ca.certificate)
            for made in (
                a_signer(self.ca, kind, key_type=kind) for kind in ("ed25519", "ml-dsa-44")
            )
        ]
        self.lost = Revoked(AT - timedelta(days=2), RevocationReason.CA_COMPROMISE)
        self.known = {1: GOOD, 2: replace(self.lost, reason=RevocationReason.SUPERSEDED)}
        self.detail = Detail(AT, CrlID("http://ca.test/ca.crl", 7, AT))
        self.certid = CertID.of
        self.rules = [
            Rules(
                signed_requests=signed,
                requestors=(self.ca.certificate,),
                never_issued=never_issued,
                other_issuers=list(OtherIssuers)[number % 2],
                nonces=list(Nonces)[number // 2 % 2],
                archive_cutoff=(None, timedelta(days=3650))[number // 4 % 2],
                tell=frozenset(Tell),
                ca_revoked=(None, None, self.lost)[number % 3],
            )
            for signed in SignedRequests
            for number, never_issued in enumerate(list(NeverIssued) * 8)
        ]

    def request(self, rng: Random, number: int) -> Request:
        from holdfast.ocsp.certid import HASH_OIDS
        from holdfast.ocsp.extension import SERVICE_LOCATOR, Extension
        from holdfast.ocsp.request import Request, SingleRequest
        from support.messages import LOCATOR, a_certid, a_nonce, signed_request, some_wishes

        certids = [
            self.certid(1 + number % 3, self.ca.certificate, tuple(HASH_OIDS)[number % 4]),
            *([a_certid(rng)] if number % 5 == 0 else []),
        ]
        locator = Extension(SERVICE_LOCATOR, number % 2 == 0, LOCATOR)
        singles = tuple(SingleRequest(one, (locator,) * (number % 3 == 0)) for one in certids)
        request = Request(singles, (a_nonce(rng), *some_wishes(rng)))
        if number % 2 == 0:
            return request
        return signed_request(request, self.clients[number % 4 == 3])

    def __call__(self, chosen: int, data: bytes) -> None:
        from holdfast.ocsp.response import Response
        from holdfast.ocsp.statuses import GOOD
        from holdfast.plan.answering import Answer, SignedRequests, answer, read_request
        from holdfast.plan.choosing import choose

        rules = self.rules[chosen % len(self.rules)]
        request = read_request(data)
        if isinstance(request, Answer):
            assert request.why
            assert len(request.der) == 5
            return
        ours = [
            one.certid
            for one in request.singles
            if one.certid.names(one.certid.serial, self.ca.certificate)
        ]
        given = answer(
            request,
            known={one: self.known.get(one.serial) for one in ours},
            signer=choose(self.signers, request, at=self.at),
            rules=rules,
            at=self.at,
            details=dict.fromkeys(ours, self.detail),
        )
        said = Response.parse(given.der)
        assert said.response_status is given.response_status
        if said.basic is None:
            return
        if rules.signed_requests is SignedRequests.REQUIRED:
            assert given.requestor == self.clients[0].certificate.subject
        for single in said.basic.singles:
            if single.certificate_status == GOOD:
                assert single.certid in ours
                assert self.known[single.certid.serial] == GOOD
                assert rules.ca_revoked is None


class Target:
    """What is fed: the first octet chooses the reader, the rest is read."""

    def __init__(self) -> None:
        from support import vectors

        self.subject = vectors.load()["answers-the-certificate"].subject
        self.at = datetime(2026, 6, 1, 12, tzinfo=UTC)
        self.desk = Desk()

    def __call__(self, data: bytes) -> None:
        from holdfast.errors import Malformed
        from holdfast.ocsp.http import decode_get_path
        from holdfast.ocsp.request import Request
        from holdfast.ocsp.verify import examine_bytes

        if not data:
            return
        kind, rest = data[0] % 4, data[1:]
        try:
            match kind:
                case 0:
                    verdict = examine_bytes(rest, self.subject, at=self.at)
                    for found in verdict.findings:
                        assert found.message
                    basic = verdict.response and verdict.response.basic
                    assert not basic or basic.certificates or basic.encode()
                case 1:
                    request = Request.parse(rest)
                    assert request.encode().startswith(rest[:1])
                    _ = request.nonce
                case 2:
                    decode_get_path(rest)
                case _:
                    self.desk(rest[0] if rest else 0, rest[1:])
        except Malformed as error:
            assert error.what  # noqa: PT017
            assert 0 <= error.offset <= len(rest)  # noqa: PT017


def option(words: list[str], name: str, usual: int) -> int:
    given = [word.split("=", 1)[1] for word in words if word.startswith(f"-{name}=")]
    return int(given[-1]) if given else usual


def without_guidance(words: list[str]) -> None:
    """The same target on damaged seeds."""
    from support.messages import damaged

    rng, target, pool = Random(option(words, "seed", 1)), Target(), seeds()
    runs = option(words, "runs", 100_000)
    for _ in range(runs):
        seed = rng.choice(pool)
        kept = 2 if seed[0] == 3 else 1
        target(seed[:kept] + damaged(rng, seed[kept:]))
    print(f"Done {runs} runs without guidance (atheris is not installed)")


def with_guidance(words: list[str]) -> None:
    import tempfile

    import atheris

    with atheris.instrument_imports(include=["holdfast.ocsp", "holdfast.pki", "holdfast.plan"]):
        import holdfast.ocsp.http
        import holdfast.ocsp.request
        import holdfast.ocsp.verify
        import holdfast.plan.answering
        import holdfast.plan.choosing  # noqa: F401
    target = Target()
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds()):
            (Path(corpus) / str(number)).write_bytes(seed)
        atheris.Setup([sys.argv[0], corpus, *words], target)
        atheris.Fuzz()


if __name__ == "__main__":
    if importlib.util.find_spec("atheris") is None:
        without_guidance(sys.argv[1:])
    else:
        with_guidance(sys.argv[1:])
