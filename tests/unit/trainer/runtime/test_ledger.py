"""The ledger's thread on a real folder: who may begin the next attempt when two supervisors believe that they may."""

import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ultrathink_api.causes import Cause
from ultrathink_api.errors import Refused
from ultrathink_api.protocol import RunConfig
from ultrathink_store import JobStore
from ultrathink_store.lineage import lineage, without_lineage
from ultrathink_store.records import Start
from ultrathink_trainer.supervisor import events as ev
from ultrathink_trainer.supervisor import ledger
from ultrathink_trainer.supervisor.ledger import LedgerThread
from unit.trainer.runtime.parts.configs import config


class Ledger:
    """A thread of its own, and what it said."""

    def __init__(self, config: RunConfig) -> None:
        self.said: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.thread = LedgerThread(config, self.said.put)
        self.thread.open()
        assert isinstance(self.said.get(timeout=10), ev.Opened)

    def take(self, number: int, cause: Cause = Cause.RANK_LOST, **order: Any) -> Any:
        self.thread.take(ev.TakeEpoch(number, cause, **order), ())
        return self.said.get(timeout=10)


@pytest.fixture
def begin(tmp_path: Path) -> Callable[[], Ledger]:
    return lambda: Ledger(config(f"file://{tmp_path}"))


def test_a_newcomer_takes_over_and_the_one_before_it_steps_down(begin: Callable[[], Ledger]) -> None:
    old = begin()
    assert isinstance(old.take(1), ev.EpochTaken)
    new = begin()
    taken = new.take(1)
    assert isinstance(taken, ev.EpochTaken) and taken.start.epoch == 2
    refused = old.take(2)
    assert isinstance(refused, ev.GaveUp)
    assert (refused.problem.code, refused.problem.message.startswith("attempt 2 ")) == ("UTK0315", True)
    assert new.take(3).start.epoch == 3, "the newer one goes on"


def test_an_attempt_whose_answer_was_lost_with_the_store_is_not_somebody_elses(
    begin: Callable[[], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    take_epoch = JobStore.take_epoch
    answers = ["lost"]

    def losing(self: JobStore, number: int, start: Start) -> None:
        take_epoch(self, number, start)
        if number == 2 and answers:
            answers.pop()
            raise Refused.of("UTK0306", message="no answer", fix="wait")

    monkeypatch.setattr(JobStore, "take_epoch", losing)
    monkeypatch.setattr(ledger, "FIRST_PAUSE", 0.01)
    mine = begin()
    assert isinstance(mine.take(1), ev.EpochTaken)
    taken = mine.take(2)
    assert isinstance(taken, ev.EpochTaken) and taken.start.epoch == 3


def test_every_attempt_says_what_it_is_made_from(begin: Callable[[], Ledger]) -> None:
    mine = begin()
    first, second = (lineage(mine.take(number).start) for number in (1, 2))
    assert first == second and first is not None
    assert first.spec["training"] == config().spec.training.dump()
    assert first.versions["ultrathink"]


def test_a_restart_after_a_rollback_says_all_that_the_next_attempt_needs(begin: Callable[[], Ledger]) -> None:
    mine, asked = begin(), "2026-01-02T00:00:00Z"
    mine.take(1)
    mine.take(2, Cause.NAN, detail={"skips": [[4, 8]]})
    start = mine.take(3, Cause.SPEC_CHANGED, detail={"skips": [[4, 8]]}, restarted_at=asked).start
    assert without_lineage(start).detail == {"skips": [[4, 8]], "memorySince": 2, "restartedAt": asked}
    assert "restartedAt" not in mine.take(4, Cause.RANK_LOST).start.detail
