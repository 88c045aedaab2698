"""What several CRLs say together: whose count, which supersedes, what they do not speak of."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from holdfast.errors import OperatorError
from holdfast.pki.crl import Crl
from holdfast.pki.crl_view import ALL_REASONS, blind_spot, objection, supersedes, view
from holdfast.pki.extras import Extra
from holdfast.pki.issue import Authority, Revocation
from support.pki import AT, a_root, an_intermediate

CA = a_root()
OTHER = a_root("CRL Signer")
DAY = timedelta(days=1)


def a_crl(*serials: int, ca: Authority = CA, reason: int | None = None, **wishes: Any) -> Crl:
    wishes.setdefault("this_update", AT)
    wishes.setdefault("next_update", AT + DAY)
    return Crl(ca.crl([Revocation(serial, AT, reason) for serial in serials], **wishes))


def a_point(**wishes: Any) -> Extra:
    usual: dict[str, Any] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return Extra(x509.IssuingDistributionPoint(**(usual | wishes)), True)


def test_the_cas_own_crl_counts() -> None:
    assert objection(a_crl(), ca=CA.certificate) == ""


def test_another_key_does_not_count() -> None:
    """The red twin: same name, another key."""
    twin = a_root(who="another key")
    assert "neither" in objection(a_crl(ca=twin), ca=CA.certificate)


def test_a_named_issuer_counts_for_an_indirect_list_alone() -> None:
    indirect = a_crl(ca=OTHER, indirect=True)
    assert objection(indirect, ca=CA.certificate, issuers=[OTHER.certificate]) == ""
    assert "neither" in objection(indirect, ca=CA.certificate)
    direct = a_crl(ca=OTHER)
    told = objection(direct, ca=CA.certificate, issuers=[OTHER.certificate])
    assert "not indirect" in told


def test_a_signer_without_crl_sign_does_not_count() -> None:
    usage = x509.KeyUsage(True, False, False, False, False, True, False, False, False)
    weak = a_root(extensions=[Extra(usage, True)])
    assert "cRLSign" in objection(a_crl(ca=weak), ca=weak.certificate)


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        (Extra(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True), "1.2"),
        (a_point(only_contains_attribute_certs=True), "attribute"),
    ],
)
def test_what_is_not_understood_does_not_count(extra: Extra, told: str) -> None:
    assert told in objection(a_crl(extensions=[extra]), ca=CA.certificate)


def test_numbers_decide_what_is_newer_and_not_the_time() -> None:
    two, three = a_crl(number=2, this_update=AT + timedelta(hours=1)), a_crl(number=3)
    assert supersedes(three, two)
    assert not supersedes(two, three)
    assert supersedes(three, three)
    assert not supersedes(a_crl(number=3, this_update=AT - timedelta(hours=1)), three)


def test_a_delta_is_applied_to_its_full_crl() -> None:
    """RFC 5280 5.2.4."""
    full = a_crl(1, 2, number=5, next_update=AT + 7 * DAY)
    delta = Crl(
        CA.crl(
            [Revocation(2, AT, 8), Revocation(3, AT)],
            this_update=AT,
            next_update=AT + DAY,
            number=6,
            delta_base=5,
        )
    )
    seen = view([("full", full), ("delta", delta)], ca=CA.certificate)
    assert sorted(seen.revoked) == [1, 3]
    assert (seen.next_update, seen.ends_first) == (AT + DAY, "delta")


def test_a_full_crl_as_new_as_the_delta_says_it_all() -> None:
    full = a_crl(1, number=7, next_update=AT + 7 * DAY)
    delta = a_crl(9, number=6, delta_base=5)
    seen = view([("full", full), ("delta", delta)], ca=CA.certificate)
    assert sorted(seen.revoked) == [1]
    assert seen.ends_first == "full"


def test_a_delta_for_a_later_full_crl_is_refused() -> None:
    with pytest.raises(OperatorError, match="needs 6 or later"):
        view([("f", a_crl(number=5)), ("d", a_crl(number=7, delta_base=6))], ca=CA.certificate)


def test_a_delta_alone_is_refused() -> None:
    delta = a_crl(number=7, delta_base=6)
    with pytest.raises(OperatorError, match="no full CRL"):
        view([("d", delta)], ca=CA.certificate)
    users = a_crl(number=6, extensions=[a_point(only_contains_user_certs=True)])
    with pytest.raises(OperatorError, match="full CRL of this delta is missing"):
        view([("d", delta), ("u", users)], ca=CA.certificate)


def test_an_indirect_list_is_read_for_this_ca_alone() -> None:
    listed = Crl(
        OTHER.crl(
            [Revocation(1, AT), Revocation(2, AT, issuer=CA.certificate)],
            this_update=AT,
            next_update=AT + DAY,
            indirect=True,
        )
    )
    assert sorted(view([("i", listed)], ca=CA.certificate).revoked) == [2]
    assert sorted(view([("i", listed)], ca=OTHER.certificate).revoked) == [1]


def test_parts_are_put_together() -> None:
    users = a_crl(1, number=1, extensions=[a_point(only_contains_user_certs=True)])
    cas = a_crl(2, number=1, extensions=[a_point(only_contains_ca_certs=True)])
    seen = view([("u", users), ("c", cas)], ca=CA.certificate)
    assert sorted(seen.revoked) == [1, 2]
    assert blind_spot(seen.lists, ca=CA.certificate) == ""
    assert blind_spot([users], ca=CA.certificate) == "the certificates of CAs"
    assert blind_spot([cas], ca=CA.certificate) == "the certificates of users"


def test_a_ca_that_issues_no_cas_needs_no_list_of_them() -> None:
    last = an_intermediate(CA, path_length=0)
    users = a_crl(ca=last, extensions=[a_point(only_contains_user_certs=True)])
    assert blind_spot([users], ca=last.certificate) == ""


def test_parts_by_reason_must_make_up_all() -> None:
    flags = [flag for flag in x509.ReasonFlags if flag.value in ALL_REASONS]
    some = a_crl(extensions=[a_point(only_some_reasons=frozenset(flags[:3]))])
    rest = a_crl(extensions=[a_point(only_some_reasons=frozenset(flags[3:]))])
    assert blind_spot([some, rest], ca=CA.certificate) == ""
    assert "revocations for" in blind_spot([some], ca=CA.certificate)
