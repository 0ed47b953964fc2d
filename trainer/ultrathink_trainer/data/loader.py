"""Global order: which rows make a batch, which of them are mine, and where to go on after a restart."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from ultrathink_api.errors import Refused

from .rows import Source

# Shapes: B rows of one data rank, T positions.

ROW_START = 0
"""Rows are whole so far: the offset within a row is always its start."""


@dataclass(frozen=True)
class Cursor:
    """Where the job is in its data: all that an exact resume needs, on any number of ranks.

    `i` is the next row; `skips` are half-open ranges of rows that are never read.
    """

    fingerprint: str
    i: int = 0
    offset: int = ROW_START
    skips: tuple[tuple[int, int], ...] = ()

    def dump(self) -> dict[str, Any]:
        return asdict(self) | {"skips": [list(skip) for skip in self.skips]}

    @classmethod
    def load(cls, data: dict[str, Any], *, fingerprint: str) -> "Cursor":
        """The saved cursor, if it belongs to the same rows."""
        cursor = cls(**data | {"skips": tuple((first, last) for first, last in data["skips"])})
        if cursor.fingerprint != fingerprint:
            raise Refused.of(
                "UTK0203",
                field="spec.data",
                message=f"the checkpoint was made on other data (fingerprint {cursor.fingerprint}, not {fingerprint})",
                fix="keep data and training.seed as they were, or start with resume.from: none",
            )
        return cursor

    def without(self, skips: tuple[tuple[int, int], ...]) -> "Cursor":
        """The cursor that leaves these rows out too."""
        return replace(self, skips=tuple(sorted({*self.skips, *skips})))

    def take(self, rows: int) -> tuple[list[int], "Cursor"]:
        """The next rows, and the cursor after them."""
        taken: list[int] = []
        i = self.i
        while len(taken) < rows:
            end = next((last for first, last in self.skips if first <= i < last), None)
            if end is not None:
                i = end
                continue
            taken.append(i)
            i += 1
        return taken, replace(self, i=i)


@dataclass(frozen=True)
class Rows:
    """One data rank's share of a global batch. Labels are the next tokens."""

    tokens_BT: torch.Tensor
    labels_BT: torch.Tensor


@dataclass(frozen=True)
class Loader:
    """Rank r of N reads rows r::N of each global batch, so the batch is the same for every N."""

    source: Source
    rows: int
    rank: int
    ranks: int

    def next(self, cursor: Cursor) -> tuple[Rows, Cursor]:
        """This rank's rows of the next global batch."""
        indices, cursor = cursor.take(self.rows)
        return self._read(self.source.rows, indices), cursor

    def after(self, cursor: Cursor) -> Cursor:
        """Where the next global batch ends; reads nothing."""
        return cursor.take(self.rows)[1]

    def held_out(self, batch: int) -> Rows:
        """This rank's rows of a held-out batch."""
        return self._read(self.source.held_out_rows, list(range(batch * self.rows, (batch + 1) * self.rows)))

    def _read(self, read: Callable[[Sequence[int]], Any], indices: list[int]) -> Rows:
        rows = torch.from_numpy(read(indices[self.rank :: self.ranks]))
        return Rows(rows[:, :-1].contiguous(), rows[:, 1:].contiguous())
