"""Reading ahead: the same batches in the same order, ready early, and failures told to whoever waits."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ultrathink_api.errors import Refused
from ultrathink_trainer.data.feed import AHEAD, Feed
from ultrathink_trainer.data.loader import Cursor, Loader
from ultrathink_trainer.data.stories import Stories
from unit.trainer.data.parts.datasets import make, opened

DEADLINE_SECONDS = 30.0


def never() -> float:
    return 0.0


def test_batches_are_the_loaders_own_wherever_one_goes_on(tmp_path: Path) -> None:
    source = opened(make(tmp_path))
    loader = Loader(source, 8, 1, 2)
    feed = Feed(loader, never)
    cursor = Cursor(source.fingerprint)
    for _ in range(6):
        expected, _ = loader.next(cursor)
        rows, cursor = feed.next(cursor)
        assert torch.equal(rows.tokens_BT, expected.tokens_BT)
    back = replace(cursor, i=8, skips=((8, 20),))
    expected, after = loader.next(back)
    rows, cursor = feed.next(back)
    assert (cursor, rows.tokens_BT.tolist()) == (after, expected.tokens_BT.tolist())
    feed.close()


class Watched(Stories):
    """Notes what was read, and fails where it is told to."""

    def __init__(self, failing: int = -1) -> None:
        super().__init__(seed=0, length=8)
        self.failing, self.read, self.enough = failing, [], threading.Event()

    def rows(self, indices: Any) -> Any:
        self.read.append(list(indices))
        if len(self.read) == 1 + AHEAD:
            self.enough.set()
        if self.failing in indices:
            raise Refused.of("UTK0212", message="damaged", fix="restore it")
        return super().rows(indices)


def test_the_next_batches_are_read_before_they_are_asked_for() -> None:
    source = Watched()
    feed = Feed(Loader(source, 2, 0, 1), never)
    feed.next(Cursor(source.fingerprint))
    assert source.enough.wait(DEADLINE_SECONDS)
    feed.close()
    assert source.read == [[0, 1], [2, 3], [4, 5]]


def test_a_failure_is_told_with_its_code_at_the_batch_that_it_is_of() -> None:
    source = Watched(failing=3)
    feed = Feed(Loader(source, 2, 0, 1), never)
    _, cursor = feed.next(Cursor(source.fingerprint))
    with pytest.raises(Refused) as refused:
        feed.next(cursor)
    assert refused.value.problem.code == "UTK0212"
    feed.close()


def test_waiting_is_measured() -> None:
    ticks = iter(range(100))
    source = Stories(seed=0, length=8)
    feed = Feed(Loader(source, 2, 0, 1), lambda: float(next(ticks)))
    feed.next(Cursor(source.fingerprint))
    assert feed.waited == 1.0
    feed.close()
