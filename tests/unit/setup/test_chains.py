"""Chains of a site: whole, completed from files, trust store and AIA, or told with the cure."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates

from holdfast.errors import OperatorError
from holdfast.net.http_client import Http
from holdfast.pki.certificate import Certificate
from holdfast.pki.issue import Issued
from holdfast.setup.chains import Chains, certificates_from, chains_of, system_trust_store
from holdfast.setup.words import CertificateAt, Place, Site
from support.files_server import serving
from support.pki import AT, a_key, a_root, a_server, an_intermediate

URL = "http://ocsp.test/"
ROOT = a_root()
ISSUER = an_intermediate(ROOT)
IMPOSTOR = an_intermediate(ROOT, key=a_key("impostor"))


def leaf(*issuer_urls: str, **wishes: object) -> Issued:
    wishes.setdefault("responder_urls", [URL])
    return a_server(ISSUER, "www.test", issuer_urls=list(issuer_urls), **wishes)


def site(folder: Path, *files: bytes, more: Sequence[bytes] = ()) -> Site:
    """A site whose certificates are in `files`; the first has `more` files of issuers."""
    certificates = []
    for number, content in enumerate(files):
        path = folder / f"c{number}.pem"
        path.write_bytes(content)
        others = []
        for extra, data in enumerate(more if number == 0 else ()):
            others.append(folder / f"more{extra}.pem")
            others[-1].write_bytes(data)
        place = Place(folder / "server.conf", 10 + number)
        certificates.append(CertificateAt(chain=path, more=tuple(others), place=place))
    return Site(
        name="www.test",
        place=Place(folder / "server.conf", 9),
        certificates=tuple(certificates),
        listens=(("127.0.0.1", 443),),
    )


def chains(
    where: Site,
    *,
    given: Sequence[Certificate] = (),
    trusted: Sequence[Certificate] = (),
    online: bool = False,
    late: timedelta = timedelta(0),
) -> Chains:
    async def main() -> Chains:
        if not online:
            return await chains_of(where, None, at=AT + late, given=given, trusted=trusted)
        async with Http(timeout=3.0) as http:
            return await chains_of(where, http, at=AT + late, given=given, trusted=trusted)

    return asyncio.run(main())


def test_a_whole_chain_lacks_nothing(tmp_path: Path) -> None:
    server = leaf()
    found = chains(site(tmp_path, server.fullchain_pem + server.key_pem()))
    assert found.troubles == ()
    assert found.issuers == ()
    (one,) = found.certificates
    assert one.subject is not None
    assert one.subject.issuer == ISSUER.certificate
    assert one.subject.responder_urls == (URL,)


def test_issuers_in_a_file_of_their_own_count(tmp_path: Path) -> None:
    found = chains(site(tmp_path, leaf().pem, more=[ISSUER.issued.pem]))
    assert found.troubles == ()
    assert found.issuers == ()


@pytest.mark.parametrize("form", ["pem", "der", "pkcs7", "several"])
def test_the_operator_gives_the_issuer_in_any_form(form: str, tmp_path: Path) -> None:
    issuer = ISSUER.certificate
    content = {
        "pem": ISSUER.issued.pem,
        "der": issuer.der,
        "pkcs7": serialize_certificates([ROOT.certificate.x509, issuer.x509], Encoding.DER),
        "several": IMPOSTOR.issued.pem + ROOT.issued.pem + ISSUER.issued.pem,
    }[form]
    (tmp_path / "given").write_bytes(content)
    given = certificates_from([tmp_path / "given"])
    found = chains(site(tmp_path, leaf().pem), given=given)
    assert found.troubles == ()
    assert found.issuers == (issuer,), "without the root, which no client needs sent"


def test_an_impostor_of_the_same_name_is_no_issuer(tmp_path: Path) -> None:
    """The red twin: the name is right and the key is not."""
    found = chains(site(tmp_path, leaf().pem), given=[IMPOSTOR.certificate])
    assert [one.code for one in found.troubles] == ["chain-incomplete"]
    assert found.issuers == ()


def test_a_root_that_issued_the_leaf_itself_is_its_issuer(tmp_path: Path) -> None:
    server = a_server(ROOT, "www.test", responder_urls=[URL])
    found = chains(site(tmp_path, server.pem), trusted=[ROOT.certificate])
    assert found.troubles == ()
    assert found.issuers == (ROOT.certificate,)


def test_by_aia_up_to_the_root_which_stays_out(tmp_path: Path) -> None:
    files: dict[bytes, bytes] = {}
    with serving(files) as url:
        middle = an_intermediate(ROOT, "Middle CA", issuer_urls=[f"{url}/root"])
        low = an_intermediate(middle, "Low CA", issuer_urls=[f"{url}/middle"])
        files |= {b"/root": ROOT.certificate.der, b"/middle": middle.certificate.der}
        files |= {b"/low": low.certificate.der}
        server = a_server(low, "www.test", issuer_urls=[f"{url}/low"], responder_urls=[URL])
        found = chains(site(tmp_path, server.pem), online=True)
        assert found.troubles == ()
        assert found.issuers == (low.certificate, middle.certificate), "nearest first"
        half = chains(site(tmp_path, server.pem + low.issued.pem), online=True)
        assert half.issuers == (middle.certificate,), "the one between is missing to clients"
        offline = chains(site(tmp_path, server.pem))
        assert [one.code for one in offline.troubles] == ["chain-incomplete"]


def test_an_incomplete_chain_says_where_and_how(tmp_path: Path) -> None:
    with serving({}) as url:
        where = site(tmp_path, leaf(f"{url}/gone").pem)
        found = chains(where, online=True)
    (trouble,) = found.troubles
    assert trouble.code == "chain-incomplete"
    assert trouble.fatal
    assert str(trouble.place) == f"{tmp_path}/server.conf:10"
    assert "CN=www.test" in trouble.message
    assert "CN=Test Issuing CA" in trouble.message
    assert f"{url}/gone" in trouble.message
    assert "404" in trouble.message
    chain = where.certificates[0].chain
    assert f"holdfast bundle {chain} --aia --no-root -o" in trouble.hint
    assert found.certificates[0].subject is None
    assert found.certificates[0].leaf is not None
    named = chains(site(tmp_path, leaf().pem)).troubles[0]
    assert f"holdfast bundle {chain} ISSUER.crt" in named.hint


def test_a_certificate_without_a_responder_is_told_and_not_fatal(tmp_path: Path) -> None:
    server = leaf(responder_urls=[])
    (trouble,) = chains(site(tmp_path, server.fullchain_pem)).troubles
    assert trouble.code == "no-responder-url"
    assert not trouble.fatal
    assert "CN=Test Issuing CA" in trouble.message


def test_must_staple_without_a_responder_is_fatal(tmp_path: Path) -> None:
    server = leaf(responder_urls=[], must_staple=True)
    (trouble,) = chains(site(tmp_path, server.fullchain_pem)).troubles
    assert trouble.code == "no-responder-url"
    assert trouble.fatal
    assert "must-staple" in trouble.message
    fine = leaf(must_staple=True)
    assert chains(site(tmp_path, fine.fullchain_pem)).troubles == ()


def test_a_self_signed_certificate_is_told_as_such(tmp_path: Path) -> None:
    (trouble,) = chains(site(tmp_path, ROOT.issued.pem)).troubles
    assert trouble.code == "no-responder-url"
    assert "self-signed" in trouble.message


def test_an_ended_certificate_is_told(tmp_path: Path) -> None:
    (trouble,) = chains(site(tmp_path, leaf().fullchain_pem), late=timedelta(days=400)).troubles
    assert trouble.code == "certificate-ended"
    assert not trouble.fatal


@pytest.mark.parametrize("content", [b"", b"not a certificate", None])
def test_a_file_that_holds_no_certificate_is_told(content: bytes | None, tmp_path: Path) -> None:
    where = site(tmp_path, content or b"")
    if content is None:
        where.certificates[0].chain.unlink()
    (trouble,) = chains(where).troubles
    assert trouble.code == "certificate-unreadable"
    assert trouble.fatal
    assert str(where.certificates[0].chain) in trouble.message
    with pytest.raises(OperatorError):
        certificates_from([where.certificates[0].chain])


def test_each_certificate_of_a_site_has_its_own(tmp_path: Path) -> None:
    rsa = leaf(key_type="rsa-2048")
    found = chains(site(tmp_path, leaf().pem, rsa.pem), given=[ISSUER.certificate])
    assert [one.lacks for one in found.certificates] == [(ISSUER.certificate,)] * 2
    assert found.issuers == (ISSUER.certificate,), "once"


def test_the_systems_trust_store_is_read() -> None:
    assert len(system_trust_store()) > 50
    assert all(one.self_issued for one in system_trust_store()[:20])
