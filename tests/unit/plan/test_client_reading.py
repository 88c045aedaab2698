"""The form at which OpenSSL ends a handshake, and all that it does not look at."""

from __future__ import annotations

import pytest

from holdfast.plan.client_reading import has_the_form
from support.answers import an_answer
from support.pki import a_root, a_server

CA = a_root()
GOOD = an_answer(CA, a_server(CA))


@pytest.mark.parametrize(
    "der",
    [
        GOOD,
        GOOD + b"behind",
        bytes.fromhex("30030a0103"),  # tryLater
        bytes.fromhex("30030a0100"),  # successful, without an answer
        bytes.fromhex("3010 0a0100 a00b 3009 0603 2a0304 0402 ffff"),  # an answer that is none
    ],
)
def test_what_has_the_form_is_taken(der: bytes) -> None:
    assert has_the_form(der)


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\0",
        b"<html>",
        GOOD[:-1],
        bytes.fromhex("3000"),
        bytes.fromhex("3003020100"),  # an INTEGER for the status
        bytes.fromhex("3006 0a0100 0a0100"),
        bytes.fromhex("3005 0a0100 a000"),
        bytes.fromhex("300a 0a0100 a005 3003 060100"),
        bytes.fromhex("3009 0a0100 0a0100 0a0100"),
    ],
)
def test_red_what_has_it_not_ends_the_handshake(der: bytes) -> None:
    assert not has_the_form(der)
