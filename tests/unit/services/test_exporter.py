"""The deadline by Prometheus's header, and what a query may ask for."""

from __future__ import annotations

import pytest

from holdfast.errors import OperatorError
from holdfast.services.checker import Looking
from holdfast.services.exporter import Limits, deadline_of, wanted

LIMITS = Limits(usual=10, most=60, offset=0.5)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (b"10", 9.5),
        (b"30.25", 29.75),
        (b"0.6", 0.3),
        (b"600", 60),
        (None, 9.5),
        (b"", 9.5),
        (b"nan", 9.5),
        (b"inf", 9.5),
        (b"-5", 9.5),
        (b"\xff", 9.5),
        (b"1e999", 9.5),
    ],
)
def test_the_deadline(header: bytes | None, seconds: float) -> None:
    assert deadline_of(header, LIMITS) == pytest.approx(seconds)


def test_a_query_says_what_to_look_at_and_how() -> None:
    usual = Looking(handshakes=3)
    target, looking = wanted(b"target=smtp%3A%2F%2Fmail.example.org", usual)
    assert (target.host, target.port, target.starttls) == ("mail.example.org", 25, "smtp")
    assert (looking.handshakes, looking.servername, looking.require_staple) == (3, None, False)
    _, looking = wanted(b"target=192.0.2.1&servername=www.example.org&require_staple=1", usual)
    assert (looking.servername, looking.require_staple) == ("www.example.org", True)


@pytest.mark.parametrize(
    "query", [b"", b"target", b"target=\xff", b"Target=a", b"target=a&servername=a%20b"]
)
def test_what_it_may_not(query: bytes) -> None:
    with pytest.raises(OperatorError) as caught:
        wanted(query, Looking())
    assert caught.value.hint
