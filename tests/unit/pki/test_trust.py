"""Paths to anchors, and names by RFC 9525."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509

from holdfast.errors import OperatorError
from holdfast.pki import issue
from holdfast.pki.certificate import Certificate
from holdfast.pki.trust import Untrusted, name_matches, path_to
from support.pki import AT, BEGIN, YEAR, a_key, a_root, a_server, a_signer, an_intermediate

ROOT = a_root()
CA = an_intermediate(ROOT)
LEAF = a_server(CA)


def path(leaf: Certificate, *between: Certificate, anchor: Certificate = ROOT.certificate) -> int:
    return len(path_to(leaf, [anchor], intermediates=between, at=AT).certificates)


def test_a_path_is_found() -> None:
    chain = path_to(LEAF.certificate, [ROOT.certificate], intermediates=[CA.certificate], at=AT)
    assert chain.certificates == (LEAF.certificate, CA.certificate, ROOT.certificate)
    assert path(LEAF.certificate, anchor=CA.certificate) == 2
    assert path(CA.certificate) == 2
    assert path(ROOT.certificate) == 1
    assert path(LEAF.certificate, anchor=LEAF.certificate) == 1


def test_odd_leaves_have_paths_too() -> None:
    """Delegated signers, and private CAs' certificates that the web's rules would refuse."""
    assert path(a_signer(CA).certificate, CA.certificate) == 3
    bare = a_server(
        ROOT,
        "x",
        omit=[
            issue.AKI,
            issue.SKI,
            issue.NAMES,
            issue.EKU,
            issue.KEY_USAGE,
            issue.BASIC_CONSTRAINTS,
        ],
    )
    assert path(bare.certificate) == 2


@pytest.mark.parametrize("key_type", ["ed25519", "ed448", "rsa-2048", "ecdsa-p384", "ml-dsa-44"])
def test_every_kind_of_private_ca(key_type: str) -> None:
    root = a_root(f"{key_type} root", key_type=key_type)
    ca = an_intermediate(root, f"{key_type} CA", key_type=key_type)
    leaf = a_server(ca, key_type=key_type).certificate
    assert path(leaf, ca.certificate, anchor=root.certificate) == 3
    # red twins
    forged = a_server(replace(ca, key=a_key("forger", key_type)), key_type=key_type).certificate
    usurped = a_server(a_server(ca, key_type=key_type).authority, "u", key_type=key_type)
    deep = an_intermediate(ca, "too deep", key_type=key_type)
    for bad, between in (
        (forged, [ca.certificate]),
        (usurped.certificate, [ca.certificate, *usurped.chain]),
        (a_server(deep, key_type=key_type).certificate, [ca.certificate, deep.certificate]),
    ):
        with pytest.raises(Untrusted):
            path(bad, *between, anchor=root.certificate)
    with pytest.raises(Untrusted, match="not in date"):
        path_to(leaf, [root.certificate], intermediates=[ca.certificate], at=AT + 2 * YEAR)


@pytest.mark.parametrize(
    ("leaf", "between", "says"),
    [
        (LEAF.certificate, [], "the issuer of CN=localhost, CN=Test Issuing CA, was not given"),
        (a_root("Stranger").certificate, [], "ends at CN=Stranger, which is not trusted"),
        (
            a_server(CA, not_before=BEGIN, not_after=AT - YEAR / 365).certificate,
            [CA.certificate],
            "CN=localhost is not in date at 2026-06-01T12:00:00Z",
        ),
        (
            a_server(replace(CA, key=a_key("forger"))).certificate,
            [CA.certificate],
            "was not given",
        ),
        (a_server(LEAF.authority).certificate, [LEAF.certificate, CA.certificate], ""),
    ],
)
def test_why_there_is_none(leaf: Certificate, between: list[Certificate], says: str) -> None:
    with pytest.raises(Untrusted) as caught:
        path_to(leaf, [ROOT.certificate], intermediates=between, at=AT)
    assert says in caught.value.reason
    assert caught.value.hint


def test_name_constraints_hold() -> None:
    only = x509.NameConstraints([x509.DNSName("ok.example")], None)
    ca = an_intermediate(ROOT, "Constrained", extensions=[issue.Extra(only, True)])
    assert path(a_server(ca, "a.ok.example").certificate, ca.certificate) == 3
    with pytest.raises(Untrusted):
        path(a_server(ca, "bad.example").certificate, ca.certificate)


def test_name_constraints_are_not_lost_on_the_plain_path() -> None:
    only = x509.NameConstraints([x509.DNSName("ok.example")], None)
    root = a_root("Ed", key_type="ed25519")
    ca = an_intermediate(root, "Ed CA", key_type="ed25519", extensions=[issue.Extra(only, True)])
    with pytest.raises(Untrusted):
        path(a_server(ca, "bad.example").certificate, ca.certificate, anchor=root.certificate)


def test_no_anchor() -> None:
    with pytest.raises(OperatorError, match="no trust anchor"):
        path_to(LEAF.certificate, [], at=AT)


@pytest.mark.parametrize(
    ("pattern", "host", "fits"),
    [
        ("www.example", "www.example", True),
        ("WWW.example", "www.EXAMPLE.", True),
        ("www.example", "example", False),
        ("*.a.example", "www.a.example", True),
        ("*.a.example", "a.example", False),
        ("*.a.example", "x.www.a.example", False),
        ("w*.a.example", "www.a.example", False),
        ("www.*.example", "www.a.example", False),
        ("*.example", "www.example", False),
        ("*", "localhost", False),
        ("*.a.example", "*.a.example", False),
        ("*.xn--bcher-kva.example", "www.bücher.example", True),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "[2001:DB8:0::1]", True),
        ("2001:db8::1", "2001:db8:0:0:0:0:0:1", True),
        ("*.0.2.1", "192.0.2.1", False),
        ("www.example", "", False),
        ("www.example", "www..example", False),
    ],
)
def test_names_by_rfc_9525(pattern: str, host: str, fits: bool) -> None:
    leaf = a_server(CA, pattern, who="names").certificate
    assert name_matches(leaf, host) is fits


def test_the_common_name_is_not_a_host_name() -> None:
    leaf = a_server(CA, "www.example", omit=[issue.NAMES]).certificate
    assert leaf.subject == "CN=www.example"
    assert not name_matches(leaf, "www.example")


def test_a_dns_name_that_looks_like_an_address_is_none() -> None:
    names = x509.SubjectAlternativeName([x509.DNSName("192.0.2.1")])
    leaf = a_server(CA, "x", extensions=[issue.Extra(names)]).certificate
    assert not name_matches(leaf, "192.0.2.1")
