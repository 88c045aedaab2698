"""net/dial: the address policy (K25), and connecting to the very address that it passed (K15)."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from holdfast.errors import Unavailable
from holdfast.net import dial
from holdfast.net.dial import OPERATOR, PUBLIC_ONLY, Address, AddressPolicy

# address, why an operator's policy refuses it, why a stranger's does
TABLE = [
    ("93.184.215.14", None, None),
    ("2606:4700:4700::1111", None, None),
    ("127.0.0.1", None, "a loopback address"),
    ("127.9.9.9", None, "a loopback address"),
    ("::1", None, "a loopback address"),
    ("10.0.0.1", None, "a private address"),
    ("172.31.255.255", None, "a private address"),
    ("172.32.0.1", None, None),
    ("192.168.1.1", None, "a private address"),
    ("100.64.0.1", None, "a private address"),
    ("fd12::1", None, "a private address"),
    ("fec0::1", None, "a private address"),
    ("198.18.0.1", None, "not a public address"),
    ("192.0.2.1", None, "not a public address"),
    ("169.254.1.1", "a link-local address", "a link-local address"),
    ("fe80::1", "a link-local address", "a link-local address"),
    ("fe80::1%lo", "a link-local address", "a link-local address"),
    ("169.254.169.254", "a cloud metadata address", "a cloud metadata address"),
    ("fd00:ec2::254", "a cloud metadata address", "a cloud metadata address"),
    ("fd00:ec2::254%1", "a cloud metadata address", "a cloud metadata address"),
    ("100.100.100.200", "a cloud metadata address", "a cloud metadata address"),
    ("224.0.0.1", "a multicast address", "a multicast address"),
    ("ff02::1", "a multicast address", "a multicast address"),
    ("0.0.0.0", "an unspecified address", "an unspecified address"),
    ("0.1.2.3", "an unspecified address", "an unspecified address"),
    ("::", "an unspecified address", "an unspecified address"),
    ("240.0.0.1", "a reserved address", "a reserved address"),
    ("255.255.255.255", "a reserved address", "a reserved address"),
    ("::ffff:169.254.169.254", "a cloud metadata address", "a cloud metadata address"),
    ("::ffff:127.0.0.1", None, "a loopback address"),
    ("::ffff:8.8.8.8", None, None),
    ("::127.0.0.1", None, "a loopback address"),
    ("64:ff9b::169.254.169.254", "a cloud metadata address", "a cloud metadata address"),
    ("64:ff9b::10.0.0.1", None, "a private address"),
    ("64:ff9b::8.8.8.8", None, None),
    ("64:ff9b:1:a9fe:a9:fe00::", "a cloud metadata address", "a cloud metadata address"),
    ("64:ff9b:1::169.254.169.254", "a cloud metadata address", "a cloud metadata address"),
    ("2002:a9fe:a9fe::1", "a cloud metadata address", "a cloud metadata address"),
    ("2002:7f00:1::", None, "a loopback address"),
    ("not an address", "not an IP address", "not an IP address"),
]


@pytest.mark.parametrize(("address", "operator", "stranger"), TABLE)
def test_k25_policy(address: str, operator: str | None, stranger: str | None) -> None:
    assert OPERATOR.refuses(address) == operator
    assert PUBLIC_ONLY.refuses(address) == stranger


def v4(ip: str = "127.0.0.1", port: int = 1) -> Address:
    return Address(socket.AF_INET, ip, port)


def v6(ip: str = "::1", port: int = 1) -> Address:
    return Address(socket.AF_INET6, ip, port)


@contextlib.contextmanager
def listening() -> contextlib.AbstractContextManager[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_families_alternate() -> None:
    """RFC 8305 section 4."""
    given = [v6("::1"), v6("::2"), v6("::3"), v4("127.0.0.1"), v4("127.0.0.2")]
    assert [a.ip for a in dial.interleave(given)] == ["::1", "127.0.0.1", "::2", "127.0.0.2", "::3"]


def test_connects_and_reports() -> None:
    with listening() as port:
        dialled = asyncio.run(dial.connect("localhost", port))
        with dialled.sock:
            assert dialled.sock.getpeername()[1] == port
            assert dialled.address.port == port
            assert dialled.dns_milliseconds >= 0
            assert dialled.connect_milliseconds >= 0


def test_k25_policy_is_asked_about_literals_and_names() -> None:
    with listening() as port:
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(Unavailable, match="loopback") as caught:
                asyncio.run(dial.connect(host, port, policy=PUBLIC_ONLY))
            assert caught.value.failure == "address-refused"


def test_k25_policy_is_asked_about_addresses_given() -> None:
    with pytest.raises(Unavailable, match="metadata") as caught:
        asyncio.run(dial.connect("x", 80, addresses=[v4("169.254.169.254", 80)]))
    assert caught.value.failure == "address-refused"


def test_refused_addresses_are_left_out_not_fatal() -> None:
    policy = AddressPolicy(allow_private=False)
    passed = dial.screened("x", [v4("10.0.0.1"), v4("127.0.0.1")], policy)
    assert [a.ip for a in passed] == ["127.0.0.1"]


def test_k15_dead_first_address_does_not_cost_the_deadline() -> None:
    """The second family is tried though the first neither answers nor fails."""
    with listening() as port:
        # 192.0.2.0/24 is documentation: it never answers, or is unreachable at once.
        addresses = [v4("192.0.2.1", port), v4("127.0.0.1", port)]
        dialled = asyncio.run(dial.connect("x", port, addresses=addresses, timeout=10))
        dialled.sock.close()
        assert dialled.address.ip == "127.0.0.1"


def test_k7_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Unavailable, match=f"127.0.0.1:{port}") as caught:
        asyncio.run(dial.connect("127.0.0.1", port))
    assert caught.value.failure == "refused"
    assert caught.value.hint == "nothing listens there"
    assert f"127.0.0.1:{port}: connection refused" in caught.value.message


def test_a_refused_v6_address_stands_in_brackets() -> None:
    here = dial.Address(socket.AF_INET, "127.0.0.1", 1)
    with pytest.raises(Unavailable, match=r"^\[2001:db8::1\]:1: connection refused"):
        asyncio.run(dial.connect("2001:db8::1", 1, addresses=[here]))


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 300, "", "x\x00y", "ü" * 70])
def test_k7_dns(host: str) -> None:
    with pytest.raises(Unavailable) as caught:
        asyncio.run(dial.connect(host or "..", 80))
    assert caught.value.failure == "dns"


def test_k7_timeout() -> None:
    """A listener whose backlog is full drops what comes."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        fillers = []
        try:
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
                fillers.append(filler)
            with pytest.raises(Unavailable) as caught:
                asyncio.run(dial.connect("127.0.0.1", port, timeout=0.2))
            assert caught.value.failure == "timeout"
        finally:
            for filler in fillers:
                filler.close()


def test_cancelled_dialling_leaves_no_socket() -> None:
    async def main() -> None:
        task = asyncio.create_task(
            dial.connect("x", 9, addresses=[v4("192.0.2.1", 9), v4("192.0.2.2", 9)])
        )
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Unavailable):
            await task

    asyncio.run(main(), debug=True)
