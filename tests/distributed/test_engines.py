"""Both engines train the same model and go on from each other's checkpoints."""

from pathlib import Path
from typing import Any

import deepspeed.runtime.zero.muon.muon_optimizer  # noqa: F401 (what DeepSpeed loads with its first engine, once for all ranks)
import pytest
import torch

from distributed.equality import ADAPTIVE, BALANCED, FLOAT32_TOLERANCE, MODELS, float32_difference, train
from distributed.jobs import Kill, attempt, job_store, patient, read_whole, save_as_restored, stop_after
from distributed.layouts import EXPERTS, LAYOUTS, job_plan, random_batches
from distributed.ranks import RankFailed, run_ranks
from ultrathink_planner import Plan
from ultrathink_trainer.data.loader import Rows
from ultrathink_trainer.parallel.engine import Engine
from ultrathink_trainer.parallel.mesh import build_world

STAGES = (1, 2, 3)
FIRST_STEPS = [(model, stage) for model in MODELS for stage in STAGES]
FIRST_STEPS += [(model, 3) for model in (BALANCED | ADAPTIVE)]
STEPS = 4
MODEL: dict[str, Any] = {"moe": EXPERTS, "layers": 2}
TORCH: dict[str, Any] = {"engine": "torch"}


def zero(stage: int) -> dict[str, Any]:
    return {"engine": "deepspeed", "zero": {"stage": stage}}


def planned(engine: dict[str, Any], layout: str = "data 2", **model: Any) -> Plan:
    """A job that saves every second step."""
    training = {"steps": STEPS, "precision": "fp32", "validation": {"everySteps": STEPS}, **engine}
    plan = job_plan(LAYOUTS[layout], model=MODEL | model, **training)
    return plan.model_copy(update={"checkpoint": plan.checkpoint.model_copy(update={"interval_steps": 2})})


@pytest.mark.parametrize(("model", "stage"), FIRST_STEPS)
def test_the_first_step_is_the_same_as_one_process_of_torch_makes(model: str, stage: int) -> None:
    assert float32_difference(LAYOUTS["data 2"], model=model, **zero(stage)) <= FLOAT32_TOLERANCE


@pytest.mark.parametrize("stage", [2, 3])
def test_in_bf16_both_engines_compute_alike_and_keep_fp32(stage: int, tmp_path: Path) -> None:
    losses = []
    for engine in (TORCH, zero(stage)):
        place = tmp_path / engine["engine"]
        losses.append(list(attempt(planned(engine | {"precision": "bf16"}, moe=None), place, 1).losses.values()))
    # A rounding that falls the other way after an update is all that may differ.
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    save_as_restored(planned(zero(stage) | {"precision": "bf16"}, moe=None), tmp_path / "torch", tmp_path / "there")
    assert read_whole(tmp_path / "there", STEPS) == read_whole(tmp_path / "torch", STEPS)


def test_a_number_of_ranks_that_divides_nothing_makes_no_difference() -> None:
    """Three ranks, whose parts of almost all parameters are of different lengths."""
    training = {"globalBatchTokens": 48, "microBatchSequences": 1, "precision": "fp32"}
    (one, *_), (other, *_) = (
        train(job_plan({"data": 3}, model={"qkNorm": True}, **training, **engine)) for engine in (TORCH, zero(3))
    )
    assert other["losses"] == pytest.approx(one["losses"], rel=FLOAT32_TOLERANCE)
    assert other["norms"] == pytest.approx(one["norms"], rel=FLOAT32_TOLERANCE)


@pytest.mark.parametrize("stage", [2, 3])
def test_later_steps_clip_and_update_as_torch_does(stage: int) -> None:
    """Activation checkpointing makes no difference."""
    one, other = (
        train(job_plan(LAYOUTS["data 2"], precision="fp32", activationCheckpointing=stage == 3, clipNorm=0.5, **engine))
        for engine in (TORCH, zero(stage))
    )
    for key in ("losses", "norms", "held out"):
        assert other[0][key] == pytest.approx(one[0][key], rel=FLOAT32_TOLERANCE)


@pytest.mark.parametrize("stage", [2, 3])
def test_a_checkpoint_passes_through_deepspeed_bit_by_bit(stage: int, tmp_path: Path) -> None:
    """Saved by torch, restored by DeepSpeed on another number of ranks and saved at once, and back again."""
    attempt(planned(TORCH), tmp_path, 1, on_record=stop_after(3))
    saved = read_whole(tmp_path, 3)
    assert any(name.startswith("optimizer.") for name in saved)

    there, back = tmp_path / "there", tmp_path / "back"
    save_as_restored(planned(zero(stage), "data 4"), tmp_path, there)
    assert read_whole(there, 3) == saved
    save_as_restored(planned(TORCH), there, back)
    assert read_whole(back, 3) == saved


def test_a_run_that_changes_its_engine_loses_and_repeats_no_row(tmp_path: Path) -> None:
    whole = attempt(planned(TORCH), tmp_path / "whole", 1)
    losses: dict[int, float] = {}
    for epoch, (engine, last) in enumerate([(zero(3), 1), (TORCH, 2), (zero(2), 3), (zero(1), STEPS)], start=1):
        losses |= attempt(planned(engine), tmp_path / "moved", epoch, on_record=stop_after(last)).losses
    # After an update near-ties of the router may fall the other way: rows that differ would be far beyond this.
    assert losses == pytest.approx(whole.losses, rel=1e-3)
    states = [
        job_store(tmp_path / run).open(job_store(tmp_path / run).find("latest")).manifest.state
        for run in ("whole", "moved")
    ]
    assert states[0]["data"] == states[1]["data"]
    assert states[0]["optimizer"] == states[1]["optimizer"]


def test_a_killed_run_of_deepspeed_goes_on_bit_by_bit(tmp_path: Path) -> None:
    plan = planned(zero(3))
    whole = attempt(plan, tmp_path / "whole", 1)
    with pytest.raises(RankFailed):
        attempt(plan, tmp_path / "cut", 1, chaos=[Kill(rank=1, step=4)], prepare=patient)
    rest = attempt(plan, tmp_path / "cut", 2)
    assert [record["step"] for record in rest.of("restored")] == [2]
    assert rest.losses == {step: loss for step, loss in whole.losses.items() if step > 2}
    assert read_whole(tmp_path / "cut", STEPS) == read_whole(tmp_path / "whole", STEPS)


@pytest.mark.parametrize("stage", [2, 3])
def test_a_step_that_is_not_finite_changes_nothing(stage: int, tmp_path: Path) -> None:
    losses = []
    for engine in (TORCH, zero(stage)):
        plan = planned(engine, moe=None)
        told = attempt(plan, tmp_path / engine["engine"], 1, chaos=[Kill(rank=1, step=2, kind="nan")])
        assert told.losses.pop(2) is None
        losses.append([loss for step, loss in told.losses.items() if step != 2])
    assert losses[1] == pytest.approx(losses[0], rel=FLOAT32_TOLERANCE)


def test_experts_that_get_no_token_of_a_rank_hang_nobody() -> None:
    """Each rank's tokens go to other two of eight experts, and four get none at all."""

    def norms(engine: dict[str, Any]) -> list[float]:
        plan = planned(engine)
        batches = random_batches(plan, 2)

        def work(rank: int) -> list[float]:
            engine = Engine(plan, build_world(plan.mesh, torch.device("cpu")))
            found = []
            for tokens, labels in batches:
                for layer in engine.model.moe_layers():
                    assert layer.bias is not None
                    layer.bias.zero_()
                    layer.bias[2 * rank : 2 * rank + 2] = 10.0
                measured = engine.forward_backward(Rows(tokens[rank::2], labels[rank::2]))
                assert measured.load is not None
                assert measured.load.dead == 4
                found.append(measured.grad_norm)
                engine.update(1e-3, measured.grad_norm)
                engine.clear()
            return found

        return run_ranks(2, work)[0]

    assert norms(zero(3)) == pytest.approx(norms(TORCH), rel=FLOAT32_TOLERANCE)


@pytest.mark.parametrize("stage", [2, 3])
def test_a_rank_holds_the_bytes_that_the_planner_says(stage: int) -> None:
    """But for the few that round DeepSpeed's buffers up."""
    plan = planned(zero(stage), "data 4")

    def work(rank: int) -> tuple[int, int]:
        engine = Engine(plan, build_world(plan.mesh, torch.device("cpu")))
        backend: Any = engine.backend
        flat = sum(flat.numel() for flat in backend.flat)
        kept = [p.ds_tensor if stage == 3 else p for p in engine.model.parameters()]
        moments = [value for state in backend.zero.optimizer.state.values() for value in state.values() if value.ndim]
        return 4 * (flat + sum(p.numel() for p in kept)), 4 * sum(value.numel() for value in moments)

    said = plan.per_rank[0].memory_bytes
    for held, optimizer in run_ranks(4, work):
        assert held == pytest.approx(said.parameters, rel=0.01)
        assert optimizer == pytest.approx(said.optimizer, rel=0.01)
