"""K16: the issuer is found wherever it is, and nothing else is taken for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from holdfast.errors import Malformed, NotFound, OperatorError, Unavailable
from holdfast.net.dial import PUBLIC_ONLY
from holdfast.net.http_client import Http
from holdfast.net.issuers import completed, from_path, from_source, issuer_of
from holdfast.pki.certificate import Certificate
from support.files_server import serving
from support.pki import a_key, a_root, a_server, an_intermediate, subjects

ROOT = a_root()
ISSUER = an_intermediate(ROOT)
IMPOSTOR = an_intermediate(ROOT, key=a_key("impostor"))  # the same name, another key


def leaf(*issuer_urls: str) -> Certificate:
    return a_server(ISSUER, "leaf.test", issuer_urls=list(issuer_urls)).certificate


def found(certificate: Certificate, *beside: Certificate, **how: object) -> Certificate:
    async def main() -> Certificate:
        async with Http(**how) as http:  # type: ignore[arg-type]
            return await issuer_of(certificate, http, beside=beside)

    return asyncio.run(main())


def test_k16_beside_it_by_its_signature() -> None:
    others = (ROOT.certificate, IMPOSTOR.certificate, ISSUER.certificate)
    assert found(leaf(), *others) == ISSUER.certificate
    with pytest.raises(OperatorError, match="names no address"):
        found(leaf(), *others[:2])


def test_k16_where_the_certificate_says_in_any_encoding() -> None:
    files = {
        b"/der": ISSUER.certificate.der,
        b"/pem": ROOT.issued.pem + ISSUER.issued.pem,
        b"/impostor": IMPOSTOR.certificate.der,
        b"/page": b"<html></html>",
    }
    with serving(files) as url:
        for path in ("der", "pem"):
            assert found(leaf(f"{url}/{path}")) == ISSUER.certificate
        second = leaf(f"{url}/gone", f"{url}/page", f"{url}/impostor", f"{url}/der")
        assert found(second) == ISSUER.certificate
        for path, error in (("gone", Unavailable), ("page", Malformed), ("impostor", NotFound)):
            with pytest.raises(error):
                found(leaf(f"{url}/{path}"))


def test_k25_addresses_are_asked_under_the_clients_policy() -> None:
    with serving({b"/ca": ISSUER.certificate.der}) as url:
        with pytest.raises(Unavailable, match="not dialled"):
            found(leaf(f"{url}/ca"), policy=PUBLIC_ONLY)
        assert found(leaf(f"{url}/ca")) == ISSUER.certificate


def test_other_schemes_are_not_asked() -> None:
    with pytest.raises(OperatorError):
        found(leaf("ldap://ca.test/x", "file:///etc/passwd"))


def test_a_chain_is_followed_to_its_root_and_no_further() -> None:
    files: dict[bytes, bytes] = {}
    with serving(files) as url:
        root = a_root(extensions=())
        issuer = an_intermediate(root, issuer_urls=[f"{url}/root"])
        server = a_server(issuer, "leaf.test", issuer_urls=[f"{url}/issuer"]).certificate
        files |= {b"/root": root.certificate.der, b"/issuer": issuer.certificate.der}

        async def main() -> tuple[Certificate, ...]:
            async with Http() as http:
                return (await completed([server], http)).certificates

        assert subjects(asyncio.run(main())) == [
            "CN=leaf.test",
            "CN=Test Issuing CA",
            "CN=Test Root",
        ]
        del files[b"/root"]
        assert len(asyncio.run(main())) == 2  # as far as it goes


def test_directories_and_files(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="no file in it"):
        from_path(tmp_path)
    (tmp_path / "ca.crt").write_bytes(ISSUER.certificate.der)
    (tmp_path / "again.pem").write_bytes(ISSUER.issued.pem)
    (tmp_path / "notes").write_text("nothing")
    (tmp_path / "below").mkdir()
    assert from_path(tmp_path) == (ISSUER.certificate,)
    with pytest.raises(OperatorError):
        from_path(tmp_path / "notes")

    async def main() -> tuple[Certificate, ...]:
        async with Http() as http:
            return await from_source(str(tmp_path / "ca.crt"), http)

    assert asyncio.run(main()) == (ISSUER.certificate,)
