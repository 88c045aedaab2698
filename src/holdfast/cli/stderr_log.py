"""What happens is told on stderr while a service runs; stdout is for where it is to be found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def logging_to_stderr() -> Iterator[None]:
    """One line an event, in UTC, from both kinds of loggers."""
    import logging
    import sys
    import time

    import structlog

    was = structlog.get_config()
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    handler = logging.StreamHandler()
    shape = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    shape.converter = time.gmtime
    handler.setFormatter(shape)
    logger = logging.getLogger("holdfast")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        structlog.configure(**was)
