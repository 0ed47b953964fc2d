"""What a loader asks of data: rows by their number."""

from collections.abc import Sequence
from typing import Protocol

import numpy


class Source(Protocol):
    """An endless, indexed supply of rows; each is length + 1 tokens, so that every position has a label."""

    vocabulary: int
    fingerprint: str

    @property
    def entropy(self) -> float | None:
        """Nats per label that no model can do without, where that is known."""
        ...

    def rows(self, indices: Sequence[int]) -> "numpy.ndarray[tuple[int, int], numpy.dtype[numpy.int64]]": ...

    def held_out_rows(self, indices: Sequence[int]) -> "numpy.ndarray[tuple[int, int], numpy.dtype[numpy.int64]]": ...
