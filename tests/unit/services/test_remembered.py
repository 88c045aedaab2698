"""K26: the inventory as it was read last is taken only where nothing has changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.pki.certificate import Certificate
from holdfast.plan.entry import Need
from holdfast.services.inventory import CertificateFiles, Inventory, read_inventory
from holdfast.services.remembered import FILE, remembered_inventory
from support.pki import a_root, a_server, an_intermediate

ROOT = a_root()
ISSUING = an_intermediate(ROOT)
OTHER = an_intermediate(ROOT, "Another Issuing CA")
URLS = ("http://ocsp.test/",)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder of three certificates, one of them must-staple, beside their issuer."""
    (tmp_path / "certs").mkdir()
    for name in ("a.test", "b.test"):
        put(tmp_path, name)
    put(tmp_path, "must.test", must_staple=True)
    (tmp_path / "issuer.pem").write_bytes(ISSUING.issued.pem)
    return tmp_path


def put(world: Path, name: str, **how: bool) -> None:
    made = a_server(ISSUING, name, responder_urls=URLS, **how)
    (world / "certs" / f"{name}.pem").write_bytes(made.pem)


def named(world: Path) -> CertificateFiles:
    return CertificateFiles(
        chain=str(world / "certs"), issuer=str(world / "issuer.pem"), servers=("web", "proxy")
    )


def started(world: Path, *more: CertificateFiles, many: int | None = 1) -> Inventory:
    return remembered_inventory([named(world), *more], state=world / "state", many=many)


def facts(inventory: Inventory) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for kept in inventory.kept:
        leaf = kept.subject.leaf
        assert leaf is not None
        read = (leaf.der, leaf.names, leaf.not_before, leaf.not_after, leaf.must_staple)
        rest = (
            leaf.key_type,
            leaf.subject,
            leaf.responder_urls,
            leaf.signed_by(ISSUING.certificate),
        )
        found.append((kept, kept.key, kept.subject.certid, *read, *rest))
    return found


def spy(world: Path) -> Callable[[], bool]:
    """Whether the remembered inventory is written again: it is where something was read anew."""
    before = (world / "state" / FILE).stat().st_ino
    return lambda: (world / "state" / FILE).stat().st_ino != before


def test_k26_what_is_remembered_is_what_was_read(world: Path) -> None:
    first = started(world)
    anew = spy(world)
    again = started(world)
    assert not anew()
    assert facts(again) == facts(first) == facts(read_inventory([named(world)]))
    assert again.stamps == first.stamps
    assert {kept.need for kept in again.kept} == {Need.STRICT, Need.MUST}
    assert (world / "state" / FILE).stat().st_mode & 0o777 == 0o600


def _a_new_file(world: Path) -> None:
    put(world, "c.test")


def _a_file_less(world: Path) -> None:
    (world / "certs" / "a.test.pem").unlink()


def _another_certificate(world: Path) -> None:
    put(world, "a.test")


def _the_same_size_and_time(world: Path) -> None:
    path = world / "certs" / "a.test.pem"
    told = path.stat()
    data = path.read_bytes()
    path.write_bytes(data[:-2] + b" \n")
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))


def _another_issuer_file(world: Path) -> None:
    (world / "issuer.pem").write_bytes(ISSUING.issued.pem + OTHER.issued.pem)


@pytest.mark.parametrize(
    "change",
    [
        _a_new_file,
        _a_file_less,
        _another_certificate,
        _the_same_size_and_time,
        _another_issuer_file,
    ],
)
def test_k26_a_change_is_read(world: Path, change: Callable[[Path], None]) -> None:
    started(world)
    anew = spy(world)
    change(world)
    found = started(world)
    assert anew()
    assert facts(found) == facts(read_inventory([named(world)]))


def test_k26_other_settings_are_read(world: Path) -> None:
    started(world)
    anew = spy(world)
    changed = replace(named(world), servers=("web",))
    found = remembered_inventory([changed], state=world / "state", many=1)
    assert anew()
    assert {kept.servers for kept in found.kept} == {("web",)}
    anew = spy(world)
    remembered_inventory([changed], state=world / "state", many=1, issuers=[OTHER.certificate])
    assert anew(), "issuers found by AIA may be better ones"


@pytest.mark.parametrize("place", [0, 25, 60, -1])
def test_k26_spoiled_bytes_are_passed_over(world: Path, place: int) -> None:
    first = started(world)
    path = world / "state" / FILE
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    anew = spy(world)
    assert facts(started(world)) == facts(first)
    assert anew()


def test_k26_what_another_user_could_have_written_is_passed_over(world: Path) -> None:
    started(world)
    os.chmod(world / "state" / FILE, 0o620)
    anew = spy(world)
    started(world)
    assert anew()


def test_few_are_not_remembered_and_problems_never(world: Path) -> None:
    started(world, many=4)
    assert not (world / "state" / FILE).exists()
    started(world, many=None)
    assert not (world / "state" / FILE).exists()
    lacking = CertificateFiles(chain=str(world / "missing.pem"))
    assert started(world, lacking).problems
    assert not (world / "state" / FILE).exists()


def test_where_nothing_can_be_written_all_is_read_all_the_same(world: Path) -> None:
    (world / "state").write_bytes(b"a file, where the folder should be")
    assert len(started(world).kept) == 3


def test_a_recalled_certificate_reads_what_is_not_remembered() -> None:
    made = a_server(ISSUING, "a.test", responder_urls=URLS).certificate
    again = Certificate.recalled(made.der, {"names": ("a.test",)})
    assert again == made
    assert again.serial == made.serial
    assert again.sha256 == made.sha256


def test_k26_a_rotation_reads_what_was_rotated(world: Path) -> None:
    """In the running keeper, and after a restart."""
    running = started(world)
    for before in (running, started(world)):
        put(world, "b.test")
        after = remembered_inventory([named(world)], state=world / "state", many=1, before=before)
        assert facts(after) == facts(read_inventory([named(world)]))
        same = [one is other for one, other in zip(before.kept, after.kept, strict=True)]
        assert same == [True, False, True]


def test_k26_another_issuer_file_reads_all(world: Path) -> None:
    before = started(world)
    _another_issuer_file(world)
    after = read_inventory([named(world)], before=before)
    assert not any(one is other for one, other in zip(before.kept, after.kept, strict=True))


def test_k26_a_file_that_needs_anothers_issuer_is_read_with_it(world: Path) -> None:
    """Its issuer stands in a file that is not read again for its own sake; and when that is gone,
    nothing is kept of what was known."""
    wanted = CertificateFiles(chain=str(world / "certs"))
    for path in (world / "certs").iterdir():
        path.unlink()
    whole = a_server(ISSUING, "whole.test", responder_urls=URLS)
    (world / "certs" / "whole.pem").write_bytes(whole.fullchain_pem)
    put(world, "bare.test")
    before = read_inventory([wanted])
    put(world, "bare.test")
    after = read_inventory([wanted], before=before)
    assert [kept.name for kept in after.kept] == ["bare.test", "whole.test"]
    assert not after.problems
    (world / "certs" / "whole.pem").unlink()
    assert read_inventory([wanted], before=after).problems
