"""Batches read while the last one is computed, and how long the training waited for them nevertheless."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from .loader import Cursor, Loader, Rows

AHEAD = 2
"""Batches that are read or ready; one is enough on a steady store, the second rides over a slow answer."""


class Feed:
    """A loader with a thread. Reads ahead only what comes next anyway, so the order is the loader's own."""

    def __init__(self, loader: Loader, clock: Callable[[], float]) -> None:
        self._loader, self._clock = loader, clock
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="data")
        self._coming: deque[tuple[Cursor, Future[tuple[Rows, Cursor]]]] = deque()
        self.waited = 0.0
        """Seconds that the last batch was waited for."""

    def next(self, cursor: Cursor) -> tuple[Rows, Cursor]:
        """This rank's rows of the next global batch; what went wrong in the thread is raised here."""
        began = self._clock()
        if not self._coming or self._coming[0][0] != cursor:  # a start, or another place than was expected
            self._drop()
            self._ask(cursor)
        _, future = self._coming.popleft()
        rows, after = future.result()
        self.waited = self._clock() - began
        following = self._loader.after(self._coming[-1][0]) if self._coming else after
        while len(self._coming) < AHEAD:
            self._ask(following)
            following = self._loader.after(following)
        return rows, after

    def close(self) -> None:
        """Nothing more is read."""
        self._drop()
        self._pool.shutdown()

    def _ask(self, cursor: Cursor) -> None:
        self._coming.append((cursor, self._pool.submit(self._loader.next, cursor)))

    def _drop(self) -> None:
        while self._coming:
            self._coming.popleft()[1].cancel()
