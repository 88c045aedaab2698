"""lmdb, which comes with `holdfast[responder]`: its absence is told, and is no bug of ours."""

from __future__ import annotations

from holdfast.errors import OperatorError

try:
    import lmdb
except ModuleNotFoundError as error:
    raise OperatorError(
        "answers signed ahead need the package lmdb, which is not installed",
        hint="pip install 'holdfast[responder]'",
    ) from error

__all__ = ["lmdb"]
