"""Handshakes with a server of this machine: the staple that it shows."""

from __future__ import annotations

import socket

from holdfast.net.dial import Address
from holdfast.net.probe import probe
from holdfast.tls.client import Authentication
from holdfast.tls.observation import Observation


async def handshake(
    port: int, *, name: str = "localhost", authentication: Authentication = "any"
) -> Observation:
    """One handshake, which must succeed."""
    address = Address(socket.AF_INET, "127.0.0.1", port)
    seen = await probe(address, server_name=name, authentication=authentication)
    assert seen.error is None, seen.error
    return seen


async def staple_shown(
    port: int, *, name: str = "localhost", authentication: Authentication = "any"
) -> bytes | None:
    """The staple of one handshake, None when there was none."""
    return (await handshake(port, name=name, authentication=authentication)).staple
