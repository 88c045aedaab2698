"""`holdfast bundle`: any kinds, any order, any place; `openssl verify` accepts what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from holdfast.pki import pem
from holdfast.pki.issue import Authority, Issued
from support.cli import holdfast
from support.files_server import serving
from support.pki import a_root, a_server, an_intermediate, subjects
from support.processes import ran


@dataclass(frozen=True)
class World:
    """root - upper - middle - lower - leaf."""

    folder: Path
    root: Authority
    upper: Authority
    middle: Authority
    lower: Authority
    leaf: Issued

    def verified(self, bundle: Path) -> bool:
        """`openssl verify` of the leaf, by the root alone and what is in `bundle`."""
        root, leaf = self.folder / "trusted.pem", self.folder / "only-leaf.pem"
        root.write_bytes(self.root.issued.pem)
        leaf.write_bytes(self.leaf.pem)
        command = ["openssl", "verify", "-attime", "1780315200", "-CAfile", root]
        return ran([*command, "-untrusted", bundle, leaf]).returncode == 0


@pytest.fixture
def world(tmp_path: Path) -> World:
    root = a_root()
    upper = an_intermediate(root, "Upper", path_length=None)
    middle = an_intermediate(upper, "Middle", path_length=None)
    lower = an_intermediate(middle, "Lower")
    return World(tmp_path, root, upper, middle, lower, a_server(lower, "leaf.test"))


IN_ORDER = ["CN=leaf.test", "CN=Lower", "CN=Middle", "CN=Upper", "CN=Test Root"]


def sources(world: World, url: str) -> list[object]:
    """A PEM, a DER, a PKCS#7, a directory with rubbish in it, and a URL, in the wrong order."""
    folder = world.folder
    (folder / "middle.pem").write_bytes(world.middle.issued.pem)
    (folder / "root.der").write_bytes(world.root.certificate.der)
    (folder / "leaf.pem").write_bytes(world.leaf.pem)
    command = ["openssl", "crl2pkcs7", "-nocrl", "-certfile", folder / "leaf.pem"]
    assert ran([*command, "-outform", "DER", "-out", folder / "leaf.p7b"]).returncode == 0
    kept = folder / "kept"
    kept.mkdir(exist_ok=True)
    (kept / "upper.crt").write_bytes(world.upper.certificate.der)
    (kept / "notes.txt").write_text("not a certificate\n")
    (kept / "key.pem").write_bytes(world.leaf.key_pem())
    return [
        folder / "root.der",
        folder / "middle.pem",
        f"{url}/lower.crt",
        kept,
        folder / "leaf.p7b",
    ]


def test_every_kind_in_the_wrong_order(world: World) -> None:
    with serving({b"/lower.crt": world.lower.certificate.der}) as url:
        given = sources(world, url)
        out = world.folder / "out.pem"
        done = holdfast("bundle", *given, "-o", out)
        backwards = holdfast("bundle", *reversed(given))
    assert done.code == 0, done.err
    assert subjects(pem.certificates(out.read_bytes())) == IN_ORDER
    assert backwards.stdout == out.read_bytes()
    assert world.verified(out)
    out.write_bytes(world.lower.issued.pem)  # the red twin: two are missing
    assert not world.verified(out)


def test_without_a_leaf_every_issuer_is_kept_in_order(world: World) -> None:
    files = []
    for name, ca in (("u", world.upper), ("l", world.lower), ("m", world.middle)):
        files.append(world.folder / name)
        files[-1].write_bytes(ca.certificate.der)
    stranger = world.folder / "stranger"
    stranger.write_bytes(a_root("Stranger").issued.pem)
    done = holdfast("bundle", *files, stranger)
    found = subjects(pem.certificates(done.stdout))
    assert found == ["CN=Lower", "CN=Middle", "CN=Upper", "CN=Stranger"]


def test_what_belongs_to_no_chain_is_left_out_and_said(world: World) -> None:
    given = world.folder / "mixed.pem"
    given.write_bytes(a_root("Stranger").issued.pem + world.leaf.fullchain_pem)
    done = holdfast("bundle", given)
    assert subjects(pem.certificates(done.stdout)) == IN_ORDER[:4]
    assert "left out" in done.err
    assert "Stranger" in done.err
    assert "Stranger" in subjects(pem.certificates(holdfast("bundle", given, "--all").stdout))[4]
    root = world.folder / "root.pem"
    root.write_bytes(world.root.issued.pem)
    short = holdfast("bundle", given, root, "--no-root")
    assert subjects(pem.certificates(short.stdout)) == IN_ORDER[:4]


def test_aia_fills_the_gaps(world: World) -> None:
    """K16: caIssuers, followed upward, DER and PEM; what is not the issuer is not taken."""
    files: dict[bytes, bytes] = {b"/wrong.crt": a_root("Stranger").certificate.der}
    with serving(files) as url:
        root = a_root()
        upper = an_intermediate(root, "Upper", path_length=None, issuer_urls=[f"{url}/root.pem"])
        lower = an_intermediate(
            upper, "Lower", issuer_urls=[f"{url}/gone", f"{url}/wrong.crt", f"{url}/upper.crt"]
        )
        leaf = a_server(lower, "leaf.test", issuer_urls=[f"{url}/lower.crt"])
        files[b"/lower.crt"] = lower.certificate.der
        files[b"/upper.crt"] = upper.certificate.der
        files[b"/root.pem"] = root.issued.pem
        given = world.folder / "leaf.der"
        given.write_bytes(leaf.certificate.der)
        done = holdfast("bundle", given, "--aia")
        assert done.code == 0, done.err
        assert subjects(pem.certificates(done.stdout)) == [
            "CN=leaf.test",
            "CN=Lower",
            "CN=Upper",
            "CN=Test Root",
        ]
        alone = holdfast("bundle", given)
    assert subjects(pem.certificates(alone.stdout)) == ["CN=leaf.test"]


def test_dry_run_and_json(world: World) -> None:
    given, out = world.folder / "chain.pem", world.folder / "out.pem"
    given.write_bytes(world.leaf.fullchain_pem)
    done = holdfast("bundle", given, "-o", out, "--dry-run", "--json").json
    assert done["certificates"] == IN_ORDER[:4]
    assert not out.exists()


def test_a_url_that_gives_nothing_is_no_answer(world: World) -> None:
    with serving({b"/page": b"<html>hello</html>"}) as url:
        for path in ("gone", "page"):
            done = holdfast("bundle", f"{url}/{path}")
            assert done.code == 3
            assert done.err.startswith("holdfast: ")
