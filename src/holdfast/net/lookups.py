"""Threads for the system's resolver, which nothing can interrupt once it has begun.

Laws: a name whose server is silent holds a thread of its own and no other name up; who gives up
waiting does not wait for the thread, and neither does the end of the program. glibc tries each
server for 5 s, twice (resolv.conf(5)), and asyncio's own threads are few and are waited for.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
MOST = 256  # threads; the names beyond wait


class Lookups(ThreadPoolExecutor):
    """An executor of daemon threads, at most `most`, each as it is needed.

    It is a `ThreadPoolExecutor` because an event loop takes no other as its default.
    """

    def __init__(self, most: int = MOST) -> None:
        super().__init__(max_workers=1)
        self._most, self._running, self._ended = most, 0, False
        self._turn = threading.Lock()
        self._wanted: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        with self._turn:
            if self._ended:
                raise RuntimeError("no look-ups after the end")
            self._wanted.append((future, lambda: fn(*args, **kwargs)))
            begin = self._running < self._most
            self._running += begin
        if begin:
            threading.Thread(target=self._work, name="holdfast-lookup", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more, and drop what has not begun. Never waits, whatever `wait` says."""
        with self._turn:
            self._ended = True
            dropped, self._wanted = list(self._wanted), deque()
        for future, _ in dropped:
            future.cancel()

    def _work(self) -> None:
        while True:
            with self._turn:
                if not self._wanted:
                    self._running -= 1
                    return
                future, call = self._wanted.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
