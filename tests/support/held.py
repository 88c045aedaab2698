"""Answers signed ahead, as a shelf gives them."""

from __future__ import annotations

from hashlib import sha256

from holdfast.seams import HeldAnswer


def held_answer(der: bytes, this_update: int, next_update: int) -> HeldAnswer:
    """With its digest. Times in seconds since 1970."""
    return HeldAnswer(der, this_update, next_update, sha256(der).digest())
