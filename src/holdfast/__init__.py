"""OCSP stapling that never lapses."""

from __future__ import annotations

from holdfast.version import __version__

__all__ = ["__version__"]
