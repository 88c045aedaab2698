"""Work in a process of its own: for limits that cannot be taken back, and for files that LMDB opens
once a process."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable


def apart(work: Callable[[], None]) -> None:
    """Do `work` in a forked process and wait for it; fail when it fails."""
    if not (child := os.fork()):
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
