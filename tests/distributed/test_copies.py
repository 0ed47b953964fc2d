"""Going on from memory: at most the step in flight is lost, all else is bit-equal, and nothing stale is used."""

import os
from pathlib import Path

import pytest

from distributed.jobs import Attempt, Kill, attempt, patient
from distributed.layouts import EXPERTS, LAYOUTS, job_plan
from distributed.ranks import RankFailed
from ultrathink_planner import Plan
from ultrathink_trainer.agent.memory import Memory

STEPS = 7
SAVED, KILLED = 3, 6


def planned(name: str = "data 2") -> Plan:
    training = {"steps": STEPS, "precision": "fp32", "validation": {"everySteps": STEPS}}
    plan = job_plan(LAYOUTS[name], model={"moe": EXPERTS, "layers": 2}, **training)
    return plan.model_copy(update={"checkpoint": plan.checkpoint.model_copy(update={"interval_steps": SAVED})})


def interrupted(plan: Plan, folder: Path) -> Memory:
    """A run that lost a rank: a checkpoint of step 3, copies of steps 4 and 5."""
    memory = Memory(plan.world_size)
    with pytest.raises(RankFailed):
        attempt(plan, folder, 1, chaos=[Kill(rank=1, step=KILLED)], prepare=patient, memory=memory)
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
