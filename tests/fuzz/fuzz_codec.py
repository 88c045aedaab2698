"""Coverage-guided fuzzing of the codec and the judge: python tests/fuzz/fuzz_codec.py [-runs=N ...]

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

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / "src")]


def seeds() -> list[bytes]:
    """Every vector's response, and a few requests and paths."""
    from holdfast.ocsp.http import get_url
    from support import vectors
    from support.messages import a_request

    rng = Random(1)
    requests = [a_request(rng).encode() for _ in range(50)]
    paths = [(get_url("", data) or "/MFE=").encode() for data in requests]
    responses = [case.response for case in vectors.load().values() if len(case.response) < 20_000]
    return [b"\x00" + one for one in responses] + [
        *(b"\x01" + one for one in requests),
        *(b"\x02" + one for one in paths),
    ]


class Target:
    """What is fed: the first octet chooses the reader, the rest is read."""

    def __init__(self) -> None:
        from support import vectors

        self.subject = vectors.load()["answers-the-certificate"].subject
        self.at = datetime(2026, 6, 1, 12, tzinfo=UTC)

    def __call__(self, data: bytes) -> None:
        from holdfast.errors import Malformed
        from holdfast.ocsp.http import decode_get_path
        from holdfast.ocsp.request import Request
        from holdfast.ocsp.verify import examine_bytes

        if not data:
            return
        kind, rest = data[0] % 3, data[1:]
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
                case _:
                    decode_get_path(rest)
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
        target(seed[:1] + damaged(rng, seed[1:]))
    print(f"Done {runs} runs without guidance (atheris is not installed)")


def with_guidance(words: list[str]) -> None:
    import tempfile

    import atheris

    with atheris.instrument_imports(include=["holdfast.ocsp", "holdfast.pki"]):
        import holdfast.ocsp.http
        import holdfast.ocsp.request
        import holdfast.ocsp.verify  # noqa: F401
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
