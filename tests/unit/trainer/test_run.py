"""What a run tells: always JSON, also of a model that diverged."""

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ultrathink_trainer.run import Run
from ultrathink_trainer.runtime import wire
from ultrathink_trainer.supervisor.metrics import TrainerMetrics
from ultrathink_trainer.train import validate


@pytest.mark.parametrize("loss", [0.5, 5000.0, float("inf"), float("nan")])
def test_a_held_out_loss_past_all_bounds_is_told_and_ends_nothing(loss: float) -> None:
    told: list[dict[str, Any]] = []
    nothing = cast("Any", None)
    world = cast("Any", SimpleNamespace(rank=0))
    run = Run(nothing, world, nothing, lambda record: told.append(json.loads(wire.encode(record))), lambda: 0.0)
    engine = cast("Any", SimpleNamespace(evaluate=lambda batches: loss))
    loader = cast("Any", SimpleNamespace(held_out=lambda batch: batch))
    validate(run, engine, loader, cast("Any", SimpleNamespace(entropy=0.7)), 3)
    (record,) = told
    assert (record["event"], record["step"], record["entropy"]) == ("eval", 3, 0.7)
    assert record["loss"] == (loss if loss < float("inf") else None)
    assert record["perplexity"] == (pytest.approx(1.6487, rel=1e-4) if loss == 0.5 else None)


def test_a_held_out_loss_that_is_no_number_leaves_the_gauge_as_it_was() -> None:
    metrics = TrainerMetrics("job", "default")
    for loss in (2.5, None):
        metrics.record({"event": "eval", "step": 1, "loss": loss}, step_seconds=None, wall_clock=0.0)
    assert b" 2.5\n" in metrics.exposition()


def test_numbers_inside_a_record_are_told_as_json_too() -> None:
    told: list[dict[str, Any]] = []
    nothing, world = cast("Any", None), cast("Any", SimpleNamespace(rank=0))
    run = Run(nothing, world, nothing, lambda record: told.append(json.loads(wire.encode(record))), lambda: 0.0)
    run.report({"event": "step", "moe": {"entropy": float("nan"), "dead": 1}})
    assert told == [{"event": "step", "moe": {"entropy": None, "dead": 1}}]


def test_what_is_not_json_is_never_sent() -> None:
    with pytest.raises(ValueError):
        wire.encode({"loss": float("nan")})
