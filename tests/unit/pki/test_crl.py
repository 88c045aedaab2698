"""CRLs: full, delta and indirect."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from holdfast.errors import Malformed, OperatorError
from holdfast.pki import issue, pem
from holdfast.pki.crl import Crl, combine
from holdfast.pki.issue import Authority, Revocation
from support.pki import AT, YEAR, a_root, a_server, an_intermediate

CA = a_root()
OTHER = a_root("Other CA")
DAY = timedelta(days=1)


def a_crl(*revoked: Revocation, ca: Authority = CA, **wishes: Any) -> Crl:
    wishes.setdefault("this_update", AT)
    wishes.setdefault("next_update", AT + DAY)
    return Crl(ca.crl(revoked, **wishes))


def test_a_full_crl() -> None:
    crl = a_crl(Revocation(5, AT - DAY, 1, AT - 2 * DAY), Revocation(6, AT - DAY), number=7)
    assert (crl.this_update, crl.next_update, crl.number) == (AT, AT + DAY, 7)
    assert not crl.is_delta
    assert not crl.indirect
    assert len(crl) == 2
    entry = crl.entry(5)
    assert entry is not None
    assert (entry.revoked_at, entry.reason, entry.invalidity_date) == (AT - DAY, 1, AT - 2 * DAY)
    assert crl.entry(5, CA.certificate) == entry
    assert crl.entries[CA.certificate.subject_der, 5] == entry
    six = crl.entry(6)
    assert six is not None
    assert six.reason is None
    assert crl.entry(7) is None
    assert crl.entry(5, OTHER.certificate) is None
    assert crl.unknown_critical == ()


def test_the_signature_is_the_issuers() -> None:
    assert a_crl().signed_by(CA.certificate)
    assert not a_crl().signed_by(OTHER.certificate)
    assert not a_crl().signed_by(a_root(who="same name, another key").certificate)
    der = bytearray(a_crl(Revocation(5, AT)).der)
    der[-1] ^= 1
    assert not Crl(bytes(der)).signed_by(CA.certificate)


def test_currency() -> None:
    assert a_crl().current(AT)
    assert not a_crl().current(AT + DAY)
    assert not a_crl().current(AT - DAY)


def test_an_indirect_crl_speaks_for_several() -> None:
    """RFC 5280 5.3.3: the certificate issuer holds on until the next one named."""
    crl = a_crl(
        Revocation(1, AT),
        Revocation(2, AT, issuer=OTHER.certificate),
        Revocation(3, AT),
        Revocation(4, AT, issuer=CA.certificate),
        indirect=True,
    )
    assert crl.indirect
    assert crl.entry(1) is not None
    assert crl.entry(2) is None
    assert crl.entry(2, OTHER.certificate) is not None
    assert crl.entry(3, OTHER.certificate) is not None
    assert crl.entry(3) is None
    assert crl.entry(4, CA.certificate) is not None


def test_a_delta_brings_a_base_up_to_date() -> None:
    """RFC 5280 5.2.4 and removeFromCRL."""
    base = a_crl(Revocation(1, AT, 6), Revocation(2, AT, 1), number=10)
    delta = a_crl(
        Revocation(1, AT, 8),
        Revocation(3, AT, 4),
        number=12,
        delta_base=9,
        this_update=AT + DAY / 2,
        next_update=AT + 2 * DAY,
    )
    assert delta.delta_base == 9
    now = combine(base, delta)
    assert now.entry(1) is None
    assert now.entry(2) is not None
    three = now.entry(3, CA.certificate)
    assert three is not None
    assert three.reason == 4
    assert (now.number, now.next_update) == (12, AT + 2 * DAY)
    assert combine(base).entry(1) is not None


@pytest.mark.parametrize(
    ("base", "delta", "says"),
    [
        (a_crl(number=8), a_crl(number=12, delta_base=9), "needs 9 or later"),
        (a_crl(number=12), a_crl(number=12, delta_base=9), "not newer"),
        (a_crl(number=10), a_crl(number=12), "a full CRL where a delta"),
        (a_crl(number=10, delta_base=9), None, "a delta CRL where a full"),
        (a_crl(number=10), a_crl(number=12, delta_base=9, ca=OTHER), "another issuer"),
        (a_crl(number=10), a_crl(number=12, delta_base=9, indirect=True), "scope"),
        (a_crl(number=None), a_crl(number=12, delta_base=9), "without a number"),
    ],
)
def test_a_delta_that_does_not_belong(base: Crl, delta: Crl | None, says: str) -> None:
    with pytest.raises(OperatorError, match=says):
        combine(base, delta)


def _point(**what: Any) -> issue.Extra:
    usual: dict[str, Any] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return issue.Extra(x509.IssuingDistributionPoint(**usual | what), True)


def test_the_scope() -> None:
    leaf, sub = a_server(CA).certificate, an_intermediate(CA).certificate
    users = a_crl(extensions=[_point(only_contains_user_certs=True)])
    authorities = a_crl(extensions=[_point(only_contains_ca_certs=True)])
    assert users.covers(leaf)
    assert not users.covers(sub)
    assert authorities.covers(sub)
    assert not authorities.covers(leaf)
    assert not a_crl().covers(a_server(OTHER).certificate)
    some = a_crl(
        extensions=[_point(only_some_reasons=frozenset([x509.ReasonFlags.key_compromise]))]
    )
    assert some.only_some_reasons == frozenset({"keyCompromise"})
    url = x509.UniformResourceIdentifier("http://crl.example/1")
    assert a_crl(extensions=[_point(full_name=[url])]).point_urls == ("http://crl.example/1",)


def test_unknown_critical_extensions_are_told() -> None:
    crl = a_crl(extensions=[issue.raw("1.2.3.4", b"\x05\x00", critical=True)])
    assert crl.unknown_critical == ("1.2.3.4",)


def test_freshest_crl_addresses() -> None:
    url = x509.UniformResourceIdentifier("http://crl.example/delta")
    points = x509.FreshestCRL([x509.DistributionPoint([url], None, None, None)])
    assert a_crl(extensions=[issue.Extra(points)]).delta_urls == ("http://crl.example/delta",)


def test_many_entries_are_quick() -> None:
    crl = a_crl(*(Revocation(n, AT) for n in range(1, 5001)))
    assert crl.entry(5000) is not None
    assert crl.entry(5001) is None


def test_what_is_no_crl() -> None:
    with pytest.raises(Malformed):
        Crl(a_server(CA).certificate.der)
    with pytest.raises(Malformed):
        Crl(a_crl().der + b"\x00")
    with pytest.raises(OperatorError, match="is a certificate, not a CRL"):
        pem.crls(a_server(CA).pem, name="f")


def test_an_expired_ca_may_still_be_asked() -> None:
    late = a_crl(Revocation(5, AT), this_update=AT + 20 * YEAR, next_update=AT + 21 * YEAR)
    assert late.signed_by(CA.certificate)
