"""Which certificates are kept: files, folders, globs, issuers, names."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.plan.entry import Need
from holdfast.services.inventory import CertificateFiles, Inventory, read_inventory
from support.pki import a_root, a_server, an_intermediate

ROOT = a_root()
ISSUING = an_intermediate(ROOT)
URLS = ("http://ocsp.test/",)


def inventory(*files: CertificateFiles) -> Inventory:
    return read_inventory(files)


def test_a_fullchain_in_any_order(tmp_path: Path) -> None:
    """K16: the issuer is found by key and signature, whatever the order."""
    server = a_server(ISSUING, "x.test", responder_urls=URLS)
    chain = tmp_path / "fullchain.pem"
    chain.write_bytes(ROOT.issued.pem + ISSUING.issued.pem + server.pem)
    (kept,) = inventory(CertificateFiles(chain=str(chain), servers=("web",))).kept
    assert kept.subject.leaf == server.certificate
    assert kept.subject.issuer == ISSUING.certificate
    assert (kept.name, kept.servers, kept.need) == ("x.test", ("web",), Need.STRICT)
    assert kept.applicable


def test_the_issuer_from_its_own_file(tmp_path: Path) -> None:
    server = a_server(ISSUING, "x.test", responder_urls=URLS)
    (tmp_path / "leaf.pem").write_bytes(server.pem)
    (tmp_path / "ca.der").write_bytes(ISSUING.certificate.der)
    (kept,) = inventory(
        CertificateFiles(chain=str(tmp_path / "leaf.pem"), issuer=str(tmp_path / "ca.der"))
    ).kept
    assert kept.subject.issuer == ISSUING.certificate


def test_no_issuer_is_a_problem_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "leaf.pem").write_bytes(a_server(ISSUING, "x.test").pem)
    found = inventory(CertificateFiles(chain=str(tmp_path / "leaf.pem")))
    assert found.kept == ()
    (problem,) = found.problems
    assert "leaf.pem" in problem.message
    assert "Test Issuing CA" in problem.hint


def test_a_folder_pools_its_issuers_and_passes_over_the_rest(tmp_path: Path) -> None:
    for name in ("a.test", "b.test"):
        server = a_server(ISSUING, name, responder_urls=URLS)
        (tmp_path / f"{name}.pem").write_bytes(server.pem)
        (tmp_path / f"{name}.key.pem").write_bytes(server.key_pem())
    (tmp_path / "issuing.crt").write_bytes(ISSUING.issued.pem)
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "garbage.pem").write_text("garbage")
    found = inventory(CertificateFiles(chain=str(tmp_path)))
    assert [kept.name for kept in found.kept] == ["a.test", "b.test"]
    assert found.problems == ()
    assert str(tmp_path) in found.stamps, "a new file there is noticed"


def test_a_glob_as_certbot_lays_them_out(tmp_path: Path) -> None:
    for name in ("a.test", "b.test"):
        folder = tmp_path / "live" / name
        folder.mkdir(parents=True)
        server = a_server(ISSUING, name, responder_urls=URLS)
        (folder / "fullchain.pem").write_bytes(server.fullchain_pem)
    found = inventory(CertificateFiles(chain=str(tmp_path / "live/*/fullchain.pem")))
    assert [kept.name for kept in found.kept] == ["a.test", "b.test"]
    assert str(tmp_path / "live") in found.stamps


def test_a_glob_that_matches_nothing_is_a_problem(tmp_path: Path) -> None:
    (problem,) = inventory(CertificateFiles(chain=str(tmp_path / "*.pem"))).problems
    assert "no file matches" in problem.message


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x30\x03\x02\x01\x01"])
def test_one_bad_file_costs_its_own_certificate_only(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.pem").write_bytes(content)
    good = a_server(ROOT, "x.test", responder_urls=URLS)
    (tmp_path / "good.pem").write_bytes(good.pem + ROOT.issued.pem)
    found = inventory(
        CertificateFiles(chain=str(tmp_path / "bad.pem")),
        CertificateFiles(chain=str(tmp_path / "good.pem")),
    )
    assert [kept.name for kept in found.kept] == ["x.test"]
    (problem,) = found.problems
    assert "bad.pem" in problem.message


def test_k20_named_twice_kept_once(tmp_path: Path) -> None:
    server = a_server(ROOT, "x.test", responder_urls=URLS)
    for name in ("one.pem", "two.pem"):
        (tmp_path / name).write_bytes(server.pem + ROOT.issued.pem)
    (kept,) = inventory(
        CertificateFiles(chain=str(tmp_path / "one.pem"), servers=("a",)),
        CertificateFiles(chain=str(tmp_path / "two.pem"), servers=("b", "a")),
    ).kept
    assert kept.servers == ("a", "b")


def test_rsa_and_ecdsa_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for kind in ("ecdsa-p256", "rsa-2048"):
        server = a_server(ROOT, "x.test", key_type=kind, responder_urls=URLS)
        (tmp_path / f"{kind}.pem").write_bytes(server.pem + ROOT.issued.pem)
    found = inventory(CertificateFiles(chain=str(tmp_path / "*.pem")))
    assert [kept.name for kept in found.kept] == ["x.test-ecdsa", "x.test-rsa"]


def test_k17_without_a_responder_it_does_not_apply(tmp_path: Path) -> None:
    server = a_server(ROOT, "x.test")
    (tmp_path / "x.pem").write_bytes(server.pem + ROOT.issued.pem)
    (kept,) = inventory(CertificateFiles(chain=str(tmp_path / "x.pem"))).kept
    assert not kept.applicable
    told = CertificateFiles(chain=str(tmp_path / "x.pem"), responder_urls=("http://mine/",))
    (kept,) = inventory(told).kept
    assert kept.applicable
    (kept,) = read_inventory(
        [CertificateFiles(chain=str(tmp_path / "x.pem"))], always_ask=True
    ).kept
    assert kept.applicable


def test_k19_must_staple_needs_it_most(tmp_path: Path) -> None:
    server = a_server(ROOT, "x.test", must_staple=True, responder_urls=URLS)
    (tmp_path / "x.pem").write_bytes(server.pem + ROOT.issued.pem)
    files = CertificateFiles(chain=str(tmp_path / "x.pem"))
    assert inventory(files).kept[0].need is Need.MUST
    lenient = CertificateFiles(chain=str(tmp_path / "x.pem"), need=Need.LENIENT)
    assert inventory(lenient).kept[0].need is Need.LENIENT


def test_k16_without_the_issuer_it_is_lacking_where_the_certificate_says_where(
    tmp_path: Path,
) -> None:
    server = a_server(
        ISSUING, "x.test", responder_urls=URLS, issuer_urls=("http://ca.test/issuing.der",)
    )
    (tmp_path / "leaf.pem").write_bytes(server.pem)
    files = CertificateFiles(chain=str(tmp_path / "leaf.pem"))
    found = inventory(files)
    assert (found.kept, found.problems) == ((), ())
    assert found.lacking == (server.certificate,)
    assert read_inventory([files], issuers=[ROOT.certificate]).lacking, "only by its signature"
    again = read_inventory([files], issuers=[ISSUING.certificate])
    assert again.lacking == ()
    assert again.kept[0].subject.issuer == ISSUING.certificate


def test_a_folders_file_that_cannot_be_read_is_told_and_a_key_is_not(tmp_path: Path) -> None:
    server = a_server(ISSUING, "x.test", responder_urls=URLS)
    (tmp_path / "x.pem").write_bytes(server.fullchain_pem)
    (tmp_path / "key.pem").write_bytes(server.key_pem())
    (tmp_path / "spoilt.pem").write_bytes(server.pem[:200])
    found = inventory(CertificateFiles(chain=str(tmp_path)))
    assert len(found.kept) == 1
    assert found.problems == ()
    (told,) = found.passed_over
    assert "spoilt.pem" in told
