"""Requests that chance makes: of right ones by changing octets, and of nothing.

The same seed gives the same requests, so that a failure can be had again.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from holdfast.errors import Malformed
from holdfast.ocsp.extension import Extension, nonce_extension
from holdfast.ocsp.request import Request, SingleRequest
from holdfast.ocsp.response import Response
from holdfast.ocsp.statuses import Good, ResponseStatus, Revoked
from support.responder_wire import get_bytes, path_of, post_bytes
from support.responder_world import World

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_%.~!$&'()*,;:@?"
LENGTHS = (0x00, 0x01, 0x7F, 0x80, 0x81, 0x82, 0x84, 0x88, 0xFF, 0x30, 0xA0, 0xA2, 0x02, 0x06)


def corpus(world: World) -> list[bytes]:
    """Right requests of every shape that clients send."""
    single = SingleRequest(world.certid(0x1060))
    other = Extension("1.2.3.4", False, b"\x05\x00")
    shapes = [
        Request((single,), (nonce_extension(bytes(range(32))),)),
        Request((single,), (nonce_extension(b"n"), other)),
        Request((single,), (Extension("1.2.3.4", True, b"\x05\x00"),)),
        Request((SingleRequest(world.certid(0x1060), (other,)), single)),
        Request((single,), (Extension("1.3.6.1.5.5.7.48.1.4", False, b"\x30\x00"),)),
    ]
    plain = [
        world.asks(serial, hash_algorithm=name)
        for serial in (0x1060, 0x2030, world.awkward, 0x9999)
        for name in ("sha1", "sha256", "sha384", "sha512")
    ]
    return [*plain, world.asks(0x1060, 0x2030, 0x1061), *(shape.encode() for shape in shapes)]


@dataclass
class Chance:
    """An endless source of requests, as bytes of HTTP with the DER that they carry."""

    world: World
    seed: int

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.corpus = corpus(self.world)

    def posted(self) -> tuple[bytes, bytes]:
        der = self.der()
        return post_bytes(der), der

    def got(self) -> tuple[bytes, bytes]:
        """By GET; the path's text is changed as well now and then. The DER is what was meant."""
        der = self.der()[:2000]  # a target of 8 KiB is answered, each octet quoted or not
        text = base64.b64encode(der)
        if self.random.random() < 0.5:
            return get_bytes(b"/" + quote(text, safe="").encode()), der
        changed = bytearray(text)
        for _ in range(self.random.randrange(3)):
            at = self.random.randrange(len(changed) + 1)
            changed[at : at + self.random.randrange(2)] = bytes([self.random.choice(ALPHABET)])
        return get_bytes(b"/" + bytes(changed)), der

    def raw(self) -> bytes:
        """HTTP itself is changed: whatever comes after it is no longer told apart."""
        asked = self.random.choice(self.corpus)
        data = post_bytes(asked) if self.random.random() < 0.5 else get_bytes(path_of(asked))
        return self._changed(data * self.random.randrange(1, 4))

    def der(self) -> bytes:
        chance = self.random
        if chance.random() < 0.1:
            return chance.randbytes(chance.choice((0, 1, 2, 5, 80, 300, 5000)))
        der = chance.choice(self.corpus)
        return der if chance.random() < 0.05 else self._changed(der)

    def _changed(self, data: bytes) -> bytes:
        out, chance = bytearray(data), self.random
        for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
            at = chance.randrange(len(out) + 1)
            how = chance.choice(CHANGES)
            how(out, at, chance)
        return bytes(out)


def _flip(out: bytearray, at: int, chance: random.Random) -> None:
    if at < len(out):
        out[at] ^= 1 << chance.randrange(8)


def _set(out: bytearray, at: int, chance: random.Random) -> None:
    out[at : at + 1] = bytes([chance.choice(LENGTHS)])


def _cut(out: bytearray, at: int, chance: random.Random) -> None:
    del out[at : at + chance.randrange(1, 9)]


def _end(out: bytearray, at: int, chance: random.Random) -> None:
    del out[at:]


def _insert(out: bytearray, at: int, chance: random.Random) -> None:
    out[at:at] = chance.randbytes(chance.randrange(1, 9))


def _repeat(out: bytearray, at: int, chance: random.Random) -> None:
    size = chance.randrange(1, 64)
    out[at:at] = out[at : at + size] * chance.choice((1, 1, 20))


CHANGES: tuple[Callable[[bytearray, int, random.Random], None], ...] = (
    _flip,
    _flip,
    _set,
    _set,
    _cut,
    _end,
    _insert,
    _repeat,
)


def objections(world: World, asked: bytes, body: bytes) -> list[str]:
    """What is wrong with `body` as the answer to the DER `asked`, whatever that is: it must be an
    error, or tell the truth about certificates of this CA that were asked for."""
    try:
        response = Response.parse(body)
    except Malformed as error:
        return [f"not a response: {error}"]
    if response.response_status is ResponseStatus.internalError:
        return ["internalError"]
    if response.basic is None:
        return [] if len(body) == 5 else ["an error with bytes"]
    bad = []
    for single in response.basic.singles:
        certid = single.certid
        if certid.encode() not in asked:
            bad.append(f"{certid} was not asked")
        if certid != world.certid(certid.serial, certid.hash_algorithm):
            bad.append(f"{certid} is not of this CA")
        match single.certificate_status:
            case Good():
                true = certid.serial in world.good
            case Revoked():
                true = certid.serial in world.revoked
            case _:
                true = False
        if not true:
            bad.append(f"serial {certid.serial:x}: {single.certificate_status}")
    return bad
