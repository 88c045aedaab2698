"""Private keys: loaded with a passphrase, told apart, held against certificates."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from holdfast.errors import OperatorError
from holdfast.pki import keys, pem
from support.pki import a_key, a_root, a_server

SERVER = a_server(a_root())
SECRET = b"open sesame"
OLD = PrivateFormat.TraditionalOpenSSL


def _same(key: keys.PrivateKey) -> bool:
    return keys.public_der(key) == keys.public_der(SERVER.key)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(SERVER.key_pem(), id="pkcs8"),
        pytest.param(SERVER.key.private_bytes(Encoding.PEM, OLD, NoEncryption()), id="sec1"),
        pytest.param(
            SERVER.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), id="der"
        ),
        pytest.param(SERVER.key_pem(passphrase=SECRET), id="encrypted"),
        pytest.param(
            SERVER.key.private_bytes(Encoding.PEM, OLD, BestAvailableEncryption(SECRET)),
            id="encrypted-the-old-way",
        ),
        pytest.param(SERVER.fullchain_pem + SERVER.key_pem(), id="combined"),
        pytest.param(SERVER.key_pem().replace(b"\n", b"\r\n"), id="crlf"),
    ],
)
def test_every_way_a_key_is_written(data: bytes) -> None:
    assert _same(keys.load(data, passphrase=SECRET, name="k"))


@pytest.mark.parametrize("key_type", [*keys.KEY_TYPES[:4], "ed25519", "ed448", "ml-dsa-65"])
def test_every_key_type_comes_back(key_type: str) -> None:
    key = a_key("round", key_type)
    again = keys.load(keys.encode(key, passphrase=SECRET), passphrase=SECRET)
    assert keys.public_der(again) == keys.public_der(key)
    assert keys.describe(key).replace(" ", "-").lower().startswith(key_type[:2])


def test_a_key_fits_its_certificate_only() -> None:
    assert keys.fits(SERVER.key, SERVER.certificate)
    assert not keys.fits(a_key("stranger"), SERVER.certificate)


LOCKED = SERVER.key_pem(passphrase=SECRET)
OLD_LOCKED = SERVER.key.private_bytes(Encoding.PEM, OLD, BestAvailableEncryption(SECRET))


@pytest.mark.parametrize(
    ("data", "passphrase", "says"),
    [
        pytest.param(LOCKED, None, "no passphrase was given", id="missing"),
        pytest.param(LOCKED, b"wrong", "does not open", id="wrong"),
        pytest.param(OLD_LOCKED, None, "no passphrase was given", id="missing-old"),
        pytest.param(OLD_LOCKED, b"wrong", "does not open", id="wrong-old"),
        pytest.param(b"", None, "is empty", id="empty"),
        pytest.param(SERVER.pem, None, "holds no private key, but a certificate", id="certificate"),
        pytest.param(SERVER.key_pem() * 2, None, "2 private keys", id="two"),
        pytest.param(b"<html>", None, "is a web page", id="html"),
        pytest.param(pem.encode("PRIVATE KEY", b"0\x00"), None, "cannot be read", id="broken"),
        pytest.param(
            pem.encode("OPENSSH PRIVATE KEY", b"openssh-key-v1\0"), None, "OpenSSH", id="openssh"
        ),
    ],
)
def test_a_key_that_cannot_be_had(data: bytes, passphrase: bytes | None, says: str) -> None:
    with pytest.raises(OperatorError) as caught:
        keys.load(data, passphrase=passphrase, name="dir/k.pem")
    assert caught.value.message.startswith("dir/k.pem")
    assert says in caught.value.message
    assert caught.value.hint
    assert "wrong" not in caught.value.message


def test_a_key_that_cannot_sign() -> None:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    data = X25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    with pytest.raises(OperatorError, match="cannot sign"):
        keys.load(data)


def test_an_unknown_key_type_names_the_known() -> None:
    with pytest.raises(OperatorError) as caught:
        keys.generate("rsa-12")
    assert "ecdsa-p256" in caught.value.hint


def test_a_passphrase_file_is_its_first_line() -> None:
    for text in (b"a b", b"a b\n", b"a b\r\n", b"a b\nmore\n"):
        assert keys.passphrase_of(text) == b"a b"
