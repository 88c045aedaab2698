"""K16: the issuer found by key identifier, name and signature, whatever order things come in."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest

from holdfast.errors import OperatorError
from holdfast.pki import issue
from holdfast.pki.certificate import Certificate
from holdfast.pki.chain import find_issuer, order
from holdfast.pki.tlv import oid_der, tlv
from support.pki import AT, BEGIN, YEAR, a_key, a_root, a_server, an_intermediate, resigned

ROOT = a_root()
UPPER = an_intermediate(ROOT, "Upper", path_length=None)
LOWER = an_intermediate(UPPER, "Lower")
LEAF = a_server(LOWER)
LINE = (LEAF.certificate, LOWER.certificate, UPPER.certificate, ROOT.certificate)


@pytest.mark.parametrize("given", list(permutations(LINE)))
def test_K16_every_shuffle_comes_out_in_order(given: tuple[Certificate, ...]) -> None:
    chain = order(given)
    assert chain.certificates == LINE
    assert chain.complete
    assert chain.issuer == LOWER.certificate
    assert chain.leftover == ()


def test_K16_same_name_another_key() -> None:
    impostor = an_intermediate(UPPER, "Lower", who="impostor").certificate
    assert find_issuer(LEAF.certificate, [impostor]) is None
    chain = order([impostor, *LINE])
    assert chain.certificates == LINE
    assert chain.leftover == (impostor,)


def test_K16_same_name_and_key_id_another_key() -> None:
    """A key identifier is only a hint: the signature decides."""
    ski = issue.Extra(
        LOWER.certificate.x509.extensions.get_extension_for_oid(issue.SKI).value, False
    )
    forged = an_intermediate(UPPER, "Lower", who="forger", extensions=[ski]).certificate
    assert forged.subject_key_id == LOWER.certificate.subject_key_id
    assert order([LEAF.certificate, forged, LOWER.certificate]).issuer == LOWER.certificate
    assert order([LEAF.certificate, forged]).issuer is None


def test_K16_a_renewed_issuer_is_preferred() -> None:
    renewed = an_intermediate(
        UPPER, "Lower", key=LOWER.key, at=BEGIN + YEAR, not_after=LOWER.certificate.not_after + YEAR
    ).certificate
    for given in ([LOWER.certificate, renewed], [renewed, LOWER.certificate]):
        assert find_issuer(LEAF.certificate, given) == renewed
    assert order([*LINE, renewed]).leftover == (LOWER.certificate,)


def test_K16_a_cross_certificate_whose_root_is_absent_does_not_win() -> None:
    old = a_root("Old Root")
    cross = old.intermediate(
        "Test Root", key=ROOT.key, path_length=None, at=BEGIN, lifetime=9 * YEAR
    ).certificate
    root = a_root(lifetime=timedelta(days=300)).certificate  # ends before the cross-certificate
    chain = order([LEAF.certificate, cross, LOWER.certificate, root, UPPER.certificate])
    assert chain.certificates[-1] == root
    assert chain.leftover == (cross,)
    longer = order([LEAF.certificate, cross, LOWER.certificate, UPPER.certificate])
    assert longer.certificates[-1] == cross
    assert not longer.complete
    assert order(longer.certificates, extra=[old.certificate]).complete


def test_K16_a_ring_of_cross_certificates_ends() -> None:
    a, b = a_key("ring a"), a_key("ring b")
    first = a_root("A", key=a).intermediate("B", key=b, at=BEGIN, path_length=None)
    second = a_root("B", key=b).intermediate("A", key=a, at=BEGIN, path_length=None)
    leaf = a_server(first)
    chain = order([first.certificate, second.certificate, leaf.certificate])
    assert chain.certificates == (leaf.certificate, first.certificate, second.certificate)


def test_many_ways_up_are_bounded() -> None:
    keys = [a_key(f"level {i}") for i in range(8)]
    given = [a_server(a_root("L0", key=keys[0])).certificate]
    for level in range(7):
        upper = a_root(f"L{level + 1}", key=keys[level + 1])
        given += [
            upper.intermediate(f"L{level}", key=keys[level], at=BEGIN, path_length=None).certificate
            for _ in range(4)
        ]
    assert len(order(given).certificates) == 8


def test_a_version_1_root_first_is_not_the_leaf() -> None:
    plain = a_root("Plain", omit=[issue.BASIC_CONSTRAINTS])
    leaf = a_server(plain)
    assert order([plain.certificate, leaf.certificate]).leaf == leaf.certificate


def test_unreadable_extensions_do_not_stop_the_search() -> None:
    bad = b"".join(
        tlv(0x30, oid_der(oid), tlv(0x04, b"\xff"))
        for oid in ("2.5.29.14", "2.5.29.35", "2.5.29.19")
    )
    leaf = Certificate(resigned(LEAF.certificate, LOWER.key, extensions=bad))
    chain = order([LOWER.certificate, leaf])
    assert chain.certificates == (leaf, LOWER.certificate)


def test_a_self_signed_leaf_is_its_own_issuer() -> None:
    alone = order([ROOT.certificate])
    assert alone.issuer == ROOT.certificate
    assert alone.complete
    assert order([LEAF.certificate]).issuer is None
    assert not order([LEAF.certificate]).complete


def test_nothing_given() -> None:
    with pytest.raises(OperatorError, match="no certificate"):
        order([])


def test_in_date_is_not_asked() -> None:
    assert not LEAF.certificate.in_date(AT + 5 * YEAR)
    assert order(LINE).complete
