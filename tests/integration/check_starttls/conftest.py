"""Fixtures: the real servers with TLS and without, and the root to trust."""

from support.starttls.world import trust, world

__all__ = ["trust", "world"]
