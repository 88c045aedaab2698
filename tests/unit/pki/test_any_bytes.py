"""Any bytes give a value or a HoldfastError, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdfast.errors import HoldfastError
from holdfast.pki import keys, pem
from holdfast.pki.certificate import Certificate
from holdfast.pki.chain import order
from holdfast.pki.crl import Crl
from holdfast.pki.issue import Revocation
from holdfast.pki.kind import Kind, kind_of
from holdfast.pki.trust import name_matches, path_to
from support.depth import examples
from support.pki import AT, a_root, a_server, a_signer

ROOT = a_root()
LEAF = a_server(
    ROOT,
    must_staple=True,
    responder_urls=["http://o.example/"],
    issuer_urls=["http://i.example/"],
    crl_urls=["http://c.example/"],
)
CRL = ROOT.crl(
    [Revocation(5, AT, 1, AT, ROOT.certificate)],
    this_update=AT,
    next_update=AT + timedelta(days=1),
    delta_base=1,
    indirect=True,
)
P7 = pkcs7.serialize_certificates([LEAF.certificate.x509, ROOT.certificate.x509], Encoding.DER)
SEEDS = [
    LEAF.certificate.der,
    a_signer(ROOT).certificate.der,
    CRL,
    P7,
    LEAF.fullchain_pem,
    LEAF.key_pem(),
    LEAF.key_pem(passphrase=b"x"),
    pem.encode("PKCS7", P7),
]

FACTS = [
    name
    for name in dir(Certificate)
    if not name.startswith("__") and not callable(getattr(Certificate, name))
]
CRL_FACTS = [n for n in dir(Crl) if not n.startswith("__") and not callable(getattr(Crl, n))]


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A good input with some bytes changed, cut out or put in."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.integers(0, 2)):
            case 0 if data:
                data[at] = draw(st.integers(0, 255))
            case 1:
                del data[at : at + draw(st.integers(1, 8))]
            case _:
                data[at:at] = draw(st.binary(max_size=8))
    return bytes(data)


def _facts(thing: object, names: list[str]) -> None:
    for name in names:
        _try(lambda name=name: getattr(thing, name))  # type: ignore[misc]


def _try(action: Callable[[], object]) -> object:
    try:
        return action()
    except HoldfastError:
        return None


def _everything(data: bytes) -> None:
    kind_of(data)
    _try(lambda: pem.decode(data))
    found = _try(lambda: pem.certificates(data, name="f"))
    for certificate in found if isinstance(found, tuple) else ():
        _facts(certificate, FACTS)
        repr(certificate)
        _try(lambda c=certificate: name_matches(c, "localhost"))  # type: ignore[misc]
        _try(lambda c=certificate: c.signed_by(ROOT.certificate))  # type: ignore[misc]
        _try(lambda c=certificate: LEAF.certificate.signed_with_key_of(c))  # type: ignore[misc]
        _try(lambda c=certificate: path_to(c, [ROOT.certificate], at=AT))  # type: ignore[misc]
        _try(lambda c=certificate: path_to(LEAF.certificate, [c], at=AT))  # type: ignore[misc]
    if isinstance(found, tuple):
        _try(lambda: order([*found, LEAF.certificate]))
    lists = _try(lambda: pem.crls(data))
    for crl in lists if isinstance(lists, tuple) else ():
        _facts(crl, CRL_FACTS)
        repr(crl)
        _try(lambda c=crl: c.entry(5))  # type: ignore[misc]
        _try(lambda c=crl: c.covers(LEAF.certificate))  # type: ignore[misc]
        crl.signed_by(ROOT.certificate)
    _try(lambda: pem.single(data, Kind.OCSP_RESPONSE))
    _try(lambda: keys.load(data, passphrase=b"x"))


@pytest.mark.parametrize("data", SEEDS)
def test_the_seeds_themselves(data: bytes) -> None:
    _everything(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
@example(b"\x30\x80")
@example(b"-----BEGIN -----")
@example(b"-----BEGIN X-----\n-----END X-----")
@example(b"\xff\xfe0")
@example(b"0")
def test_any_bytes(data: bytes) -> None:
    _everything(data)


@examples(300, slow=5000)
def test_almost_good_bytes(examples: int) -> None:
    @settings(max_examples=examples, deadline=None)
    @given(mangled())
    def law(data: bytes) -> None:
        _everything(data)

    law()
