"""Going on from memory: at most the step in flight is lost, all else is bit-equal, and nothing stale is used."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from distributed.jobs import Attempt, Kill, attempt, job_store, mismeasure, patient
from distributed.layouts import EXPERTS, LAYOUTS, job_plan
from distributed.ranks import RankFailed
from ultrathink_planner import Plan
from ultrathink_trainer.agent.memory import Memory
from ultrathink_trainer.optim.scaler import FIRST_SCALE
from ultrathink_trainer.run import Run

STEPS = 7
SAVED, KILLED = 3, 6


def planned(name: str = "data 2", precision: str = "fp32") -> Plan:
    training = {"steps": STEPS, "precision": precision, "validation": {"everySteps": STEPS}}
    plan = job_plan(LAYOUTS[name], model={"moe": EXPERTS, "layers": 2}, **training)
    return plan.model_copy(update={"checkpoint": plan.checkpoint.model_copy(update={"interval_steps": SAVED})})


def interrupted(plan: Plan, folder: Path, prepare: Callable[[Run], None] = patient) -> Memory:
    """A run that lost a rank: a checkpoint of step 3, copies of steps 4 and 5."""
    memory = Memory(plan.world_size)
    with pytest.raises(RankFailed):
        attempt(plan, folder, 1, chaos=[Kill(rank=1, step=KILLED)], prepare=prepare, memory=memory)
    return memory


def restored(told: Attempt) -> tuple[int, str]:
    (record,) = told.of("restored")
    return record["step"], record["uri"]


@pytest.mark.fault("F37")
@pytest.mark.parametrize("name", ["data 2", "tensor 2", "pipeline 2", "pipeline 2, data 2"])
def test_a_run_goes_on_from_the_step_before_the_one_in_flight(name: str, tmp_path: Path) -> None:
    plan = planned(name)
    whole = attempt(plan, tmp_path / "whole", 1)
    memory = interrupted(plan, tmp_path / "cut")
    rest = attempt(plan, tmp_path / "cut", 2, memory=memory)
    assert restored(rest) == (KILLED - 1, "memory")
    assert rest.losses == {step: loss for step, loss in whole.losses.items() if step >= KILLED}
    assert whole.of("eval")[-1]["loss"] == rest.of("eval")[-1]["loss"]
    assert rest.finishes == [("completed", STEPS)] * plan.world_size


def test_the_scale_of_fp16_comes_back_with_the_rest(tmp_path: Path) -> None:
    plan = planned(precision="fp16")

    def overflow(run: Run) -> None:
        patient(run)
        mismeasure(run, grad_norm=float("inf"))
        run.bears = 0  # the scale explains it: this step is none of those that a run has to bear

    memory = interrupted(plan, tmp_path, overflow)
    rest = attempt(plan, tmp_path, 2, memory=memory)
    assert restored(rest) == (KILLED - 1, "memory")
    state = job_store(tmp_path).open(job_store(tmp_path).find("latest")).manifest.state
    assert state["scaler"] == {"scale": FIRST_SCALE / 2, "clean": STEPS - 2}


def test_where_one_rank_has_no_room_none_copies_and_it_is_said(tmp_path: Path) -> None:
    def cramped(run: Run) -> None:
        if run.world.rank == 1:
            assert run.checkpoints.copies is not None
            run.checkpoints.copies._free = 0

    plan = planned()
    memory = Memory(plan.world_size)
    told = attempt(plan, tmp_path, 1, prepare=cramped, memory=memory)
    assert told.finishes == [("completed", STEPS)] * plan.world_size
    (said,) = told.of("copiesLeftOut")
    assert said["message"] == "another rank has no room for them"


def test_with_one_ranks_memory_gone_all_go_back_to_the_checkpoint(tmp_path: Path) -> None:
    plan = planned()
    memory = interrupted(plan, tmp_path)
    for fd in memory.of(1):
        os.ftruncate(fd, 0)
    rest = attempt(plan, tmp_path, 2, memory=memory)
    assert restored(rest)[0] == SAVED
    assert restored(rest)[1].startswith("file://")
    assert sorted(rest.losses) == list(range(SAVED + 1, STEPS + 1))


def test_a_rank_killed_while_it_copied_costs_one_more_step(tmp_path: Path) -> None:
    plan = planned()
    memory = interrupted(plan, tmp_path)
    for fd in memory.of(1):  # what the newer of the two holds was not written to its end
        if b'"step": 5' in os.pread(fd, 1 << 16, 0):
            os.pwrite(fd, b"\0" * 8, 0)
    assert restored(attempt(plan, tmp_path, 2, memory=memory)) == (4, "memory")


def test_what_was_thrown_away_on_purpose_does_not_come_back_from_memory(tmp_path: Path) -> None:
    plan = planned()
    memory = interrupted(plan, tmp_path)
    assert restored(attempt(plan, tmp_path, 2, memory=memory, since=2))[0] == SAVED


def test_a_plan_that_changed_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    plan = planned()
    memory = interrupted(plan, tmp_path)
    other = planned("pipeline 2")
    assert restored(attempt(other, tmp_path, 2, memory=memory))[0] == SAVED
