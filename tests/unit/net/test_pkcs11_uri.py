"""pkcs11: URIs are read to the letter of RFC 7512, or refused with what is wrong."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import OperatorError
from holdfast.net.pkcs11_uri import Pkcs11Uri

END = "?module-path=/lib/p11.so"


def test_every_attribute_is_taken() -> None:
    uri = Pkcs11Uri.parse(
        "pkcs11:token=My%20Token;manufacturer=Snake;serial=DECC%2001;model=M;slot-id=7;"
        f"object=k%3by;id=%01%ff;type=private{END}&pin-source=file:/run/pin&pin-value=2%26"
    )
    assert (uri.token, uri.manufacturer, uri.serial) == ("My Token", "Snake", "DECC 01")
    assert (uri.model, uri.slot, uri.label, uri.id) == ("M", 7, "k;y", b"\x01\xff")
    assert (uri.module, uri.pin_source, uri.pin) == ("/lib/p11.so", "/run/pin", "2&")
    assert "2&" not in repr(uri)
    assert "2%26" not in repr(uri)
    assert "pin" not in uri.shown


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("/etc/key.pem", "not a pkcs11: URI"),
        ("pkcs11:object=x", "no module-path"),
        (f"pkcs11:{END}", "names no key"),
        (f"pkcs11:token=x{END}", "names no key"),
        (f"pkcs11:object=x;colour=red{END}", "'colour' is not understood"),
        (f"pkcs11:object{END}", "'object' is not understood"),
        (f"pkcs11:object=x;object=y{END}", "object stands there twice"),
        (f"pkcs11:object=x;type=cert{END}", "type is not private"),
        (f"pkcs11:object=x;slot-id=one{END}", "slot-id is not a number"),
        (f"pkcs11:object=%zz{END}", "a % in object"),
        (f"pkcs11:object=%ff{END}", "not UTF-8"),
        (f"pkcs11:object=x{END}&pin-source=|cat%20pin", "a command as pin-source"),
        (f"pkcs11:object=x{END}&pin-source=%7Crm", "a command as pin-source"),
        (f"pkcs11:object=x{END}&vendor=1", "'vendor' is not understood"),
    ],
)
def test_what_is_wrong_is_said_and_never_the_pin(text: str, problem: str) -> None:
    with pytest.raises(OperatorError) as caught:
        Pkcs11Uri.parse(f"{text}&pin-value=geheim" if "?" in text else text)
    assert problem in caught.value.message
    assert caught.value.hint
    assert "geheim" not in caught.value.message + caught.value.hint


@given(st.text(max_size=80))
def test_any_text_is_a_uri_or_refused(text: str) -> None:
    for whole in (text, f"pkcs11:{text}", f"pkcs11:object={text}{END}"):
        with suppress(OperatorError):
            assert Pkcs11Uri.parse(whole).module
