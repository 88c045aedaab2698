"""Fixtures of these tests: an event loop in a thread, an HTTP server, a roots file."""

from support.check_world import loop, roots, web

__all__ = ["loop", "roots", "web"]
