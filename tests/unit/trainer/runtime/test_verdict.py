"""What the ledger says of the next attempt: rows to go around, a smaller micro-batch, or that none may follow."""

from typing import Any

import pytest

from ultrathink_api.causes import Cause
from ultrathink_store import End, Epoch, Start
from ultrathink_trainer.supervisor import events as ev
from ultrathink_trainer.supervisor import verdict
from unit.trainer.runtime.parts.ladders import NOW, Bench, kinds

BATCH = {"rows": 12, "micro": 4}


def ledger(*ends: tuple[Cause, dict[str, Any]]) -> list[Epoch]:
    return [
        Epoch(number=n, start=Start(epoch=n, created_at=NOW), end=End(cause=cause, detail=detail, ended_at=NOW))
        for n, (cause, detail) in enumerate(ends, start=1)
    ]


MEMORY = (Cause.OUT_OF_MEMORY, {})
LOST = (Cause.RANK_LOST, {})
CHANGED = (Cause.SPEC_CHANGED, {})


def test_rows_that_were_not_finite_are_left_out_by_all_later_attempts() -> None:
    epochs = ledger((Cause.NAN, {"rows": [8, 16]}), LOST, (Cause.NAN, {"rows": [40, 48]}))
    carried = verdict.carried(epochs, **BATCH)
    assert (carried["skips"], carried["failures"]) == ([[8, 16], [40, 48]], 3)


@pytest.mark.parametrize(("times", "size"), [(0, 4), (1, 2), (2, 1), (3, None)])
def test_each_want_of_memory_halves_the_micro_batch_down_to_one_sequence(times: int, size: int | None) -> None:
    assert verdict.micro_batch(ledger(*[MEMORY] * times, LOST), **BATCH) == size


def test_want_of_memory_before_the_spec_was_changed_says_nothing_of_the_new_plan() -> None:
    assert verdict.micro_batch(ledger(MEMORY, MEMORY, CHANGED), **BATCH) == 4
    assert verdict.micro_batch(ledger(MEMORY, MEMORY, CHANGED, MEMORY), **BATCH) == 2


def test_a_micro_batch_divides_the_rows_of_a_rank() -> None:
    assert verdict.micro_batch(ledger(MEMORY), rows=15, micro=15) == 5


def test_at_one_sequence_nothing_is_tried_again() -> None:
    problem = verdict.hopeless(ledger(MEMORY, MEMORY, MEMORY), rollbacks=2, **BATCH)
    assert problem is not None and problem.code == "UTK0408"
    assert verdict.hopeless(ledger(MEMORY, MEMORY), rollbacks=2, **BATCH) is None


def test_after_the_last_rollback_the_job_has_diverged_and_the_evidence_is_told() -> None:
    bad = [(Cause.NAN, {"rows": [at, at + 4]}) for at in (0, 40)]
    assert verdict.hopeless(ledger(*bad), rollbacks=2, **BATCH) is None
    problem = verdict.hopeless(ledger(*bad, (Cause.NAN, {"rows": [80, 84]})), rollbacks=2, **BATCH)
    assert problem is not None and problem.code == "UTK0409" and "0-3, 40-43, 80-83" in problem.message


def test_a_kill_is_laid_to_memory_when_the_kernel_says_so() -> None:
    assert verdict.of_exit(1, "w-0", -9, None, starved=True).cause is Cause.OUT_OF_MEMORY
    assert verdict.of_exit(1, "w-0", -11, None, starved=True).cause is Cause.RANK_LOST


def test_a_run_that_was_not_finite_goes_back_around_its_rows() -> None:
    bench = Bench().started()
    bench.record(2, event="failed", kind="nonFinite", message="steps 7 to 9", rows=[48, 72])
    bench.exit(2, 76)
    assert kinds(bench.idle(0, 1)) == ["EndEpoch", "TakeEpoch", "StartRanks"]
    assert (bench.end_of(1).cause, bench.end_of(1).detail) == (Cause.NAN, {"rows": [48, 72]})
    taken = bench.orders[-2]
    assert isinstance(taken, ev.TakeEpoch) and taken.detail["skips"] == [[48, 72]]


def test_a_failure_is_forgiven_when_its_window_has_passed() -> None:
    epochs = ledger(LOST, LOST)
    assert verdict.hours_before("2026-01-02T01:00:00.000Z", 24) == "2026-01-01T01:00:00.000Z"
    old = verdict.spent(epochs, None, since="2026-01-01T01:00:00.000Z")
    assert (old.counted, old.without_progress) == (0, 2), "progress is another matter"
    assert verdict.spent(epochs, None, since=verdict.hours_before(NOW, 24)).counted == 2
