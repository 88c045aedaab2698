"""The proof by handshake, before gnutls-serv: red for each way a server can be wrong (K21)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.errors import DeliveryError
from holdfast.ocsp.staple import Staple
from holdfast.pki.issue import Issued
from holdfast.services.proof import Proof
from support import answers
from support.tls_peers import gnutls_serv
from support.tls_world import a_ca, a_site

CA = a_ca()
SITE = a_site(CA, "localhost")
NOW = datetime.now(UTC)


def a_staple(site: Issued, *, at: datetime = NOW) -> Staple:
    return answers.a_staple(CA, site, at=at)


def proved(port: int, staple: Staple) -> None:
    asyncio.run(Proof({"web": ("127.0.0.1", port)})("web", staple))


def test_k21_the_staple_that_was_given_is_seen(tmp_path: Path) -> None:
    staple = a_staple(SITE)
    with gnutls_serv(SITE, tmp_path, staple.der) as port:
        proved(port, staple)
        asyncio.run(Proof({})("web", staple))


def test_k21_another_staple_is_no_proof(tmp_path: Path) -> None:
    staple, other = a_staple(SITE), a_staple(SITE, at=NOW - timedelta(hours=3))
    with (
        gnutls_serv(SITE, tmp_path, other.der) as port,
        pytest.raises(DeliveryError, match="another staple"),
    ):
        proved(port, staple)


def test_k21_another_certificate_is_no_proof(tmp_path: Path) -> None:
    other = a_site(CA, "localhost", serial=99)
    with (
        gnutls_serv(other, tmp_path, a_staple(other).der) as port,
        pytest.raises(DeliveryError, match="another certificate"),
    ):
        proved(port, a_staple(SITE))


def test_k21_nobody_listens() -> None:
    with pytest.raises(DeliveryError, match="failed"):
        proved(1, a_staple(SITE))
