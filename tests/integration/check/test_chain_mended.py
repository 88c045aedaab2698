"""A chain that a server sends wrong is told, and the right one given as a file that mends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from holdfast.pki import issue, pem
from holdfast.pki.issue import Authority, Issued
from support.check_world import Web, check, codes, looked
from support.pki import written
from support.tls_peers import openssl_server, program
from support.tls_world import YESTERDAY


class World:
    """root > middle > lower > site, each naming where its issuer's certificate is."""

    def __init__(self, web: Web, folder: Path) -> None:
        self.root: Authority = issue.root("Upper Root", at=YESTERDAY)
        self.middle = self.root.intermediate("Middle CA", at=YESTERDAY, path_length=1)
        named = [web.url + "/middle"]
        self.lower = self.middle.intermediate("Lower CA", at=YESTERDAY, issuer_urls=named)
        self.site: Issued = self.lower.server(
            "localhost", at=YESTERDAY, issuer_urls=[web.url + "/lower"]
        )
        web.answers = {
            "/middle": self.middle.certificate.der,
            "/lower": self.lower.certificate.der,
        }
        self.roots = folder / "roots.pem"
        self.roots.write_bytes(self.root.issued.pem)
        self.folder = folder

    def serving(self, *sent: Authority) -> Any:
        if not sent:
            _, key = written(self.site, self.folder)
            alone = self.folder / "alone.pem"
            alone.write_bytes(self.site.pem)
            words = ["openssl", "s_server", "-quiet", "-www", "-cert", alone, "-key", key]
            return program(words, lambda port: ["-accept", f"127.0.0.1:{port}"])
        above = self.folder / "sent.pem"
        above.write_bytes(b"".join(each.issued.pem for each in sent))
        return openssl_server(self.site, self.folder, b"", "-cert_chain", str(above))

    @property
    def proper(self) -> list[bytes]:
        return [self.site.certificate.der, self.lower.certificate.der, self.middle.certificate.der]


@pytest.fixture
def world(web: Web, tmp_path: Path) -> World:
    return World(web, tmp_path)


def chain_codes(report: dict[str, Any]) -> set[str]:
    return {code for code in codes(report) if code.startswith("chain-")}


@pytest.mark.parametrize("sends", ["nothing", "the first", "the second"])
def test_what_lacks_is_fetched_upward_and_saved_and_mends_the_server(
    world: World, tmp_path: Path, sends: str
) -> None:
    sent = {"nothing": [], "the first": [world.lower], "the second": [world.middle]}[sends]
    out = tmp_path / "chain.pem"
    with world.serving(*sent) as port:
        report = looked(port, world.roots, "--handshakes", 1, "--save-chain", out)
    assert "chain-incomplete" in codes(report)
    assert "chain-untrusted" not in codes(report)
    found = next(f for f in report["findings"] if f["code"] == "chain-incomplete")
    assert "--save-chain" in found["hint"]
    missing = report["leaves"][0]["chain"]["missing"]
    for one in missing:
        assert pem.certificates(one["pem"].encode())[0].sha256 == one["sha256"]
    saved = [c.der for c in pem.certificates(out.read_bytes())]
    assert saved == world.proper
    mended = pem.certificates(out.read_bytes())[1:]
    (tmp_path / "mended.pem").write_bytes(pem.encode_certificates(mended))
    with openssl_server(
        world.site, tmp_path, b"", "-cert_chain", str(tmp_path / "mended.pem")
    ) as p:
        assert chain_codes(looked(p, world.roots, "--no-fetch")) == set()


def test_out_of_order_and_superfluous_are_put_right_in_the_file(
    world: World, tmp_path: Path
) -> None:
    out = tmp_path / "chain.pem"
    with world.serving(world.root, world.middle, world.lower) as port:
        report = looked(port, world.roots, "--no-fetch", "--save-chain", out)
    assert chain_codes(report) == {"chain-out-of-order", "chain-superfluous"}
    assert [c.der for c in pem.certificates(out.read_bytes())] == world.proper


def test_red_what_cannot_be_fetched_is_not_written(world: World, web: Web, tmp_path: Path) -> None:
    """Neither another CA's certificate nor nothing at all is taken for the issuer."""
    stranger = issue.root("Lower CA", at=YESTERDAY)
    out = tmp_path / "chain.pem"
    for answer in (stranger.certificate.der, b"nothing"):
        web.answers = {"/lower": answer}
        with world.serving() as port:
            outcome = check(port, world.roots, "--tls", "1.3", "--save-chain", out)
        assert outcome.code == 1
        assert "chain-incomplete" in outcome.out
        assert "is not written" in outcome.err
        assert not out.exists()


def test_a_cross_certificate_above_a_trusted_root_makes_no_chain_incomplete(tmp_path: Path) -> None:
    """As Let's Encrypt's X1 under DST X3: the path ends below it, at a root that is known."""
    old = issue.root("Old Root", at=YESTERDAY)
    new = issue.root("New Root", at=YESTERDAY)
    cross = old.intermediate("New Root", at=YESTERDAY, key=new.key, path_length=1)
    lower = new.intermediate("Lower CA", at=YESTERDAY)
    site = lower.server("localhost", at=YESTERDAY)
    roots, above = tmp_path / "roots.pem", tmp_path / "sent.pem"
    roots.write_bytes(new.issued.pem)
    above.write_bytes(lower.issued.pem + cross.issued.pem)
    with openssl_server(site, tmp_path, b"", "-cert_chain", str(above)) as port:
        report = looked(port, roots, "--no-fetch")
    assert report["leaves"][0]["chain"] | {"certificates": []} == {
        "complete": True,
        "trusted": True,
        "certificates": [],
        "missing": [],
    }
    assert "chain-incomplete" not in codes(report)
