"""Adaptive compute in whole runs: each effort uses what it may, and a resume does not begin to look for it again."""

import statistics
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from bench.small_run import job

from distributed.jobs import Attempt, attempt, stop_after
from ultrathink_planner import plan

torch.set_num_threads(1)

SMALL = {"preset": "moe-tiny", "layers": 2, "hidden": 32, "heads": 4, "kvHeads": 2, "headDim": 8, "maxPositions": 64}
EFFORTS = [0.5, 0.75, 1.0]
DRE = {"nullExperts": 2, "effort": 0.5, "efforts": EFFORTS}
STEPS, STOPPED = 240, 160
"""The stop lies behind the time in which thresholds find their places."""
WITHIN = 0.02
"""Of its budget, that an effort uses on average."""


def experts_used(told: Attempt) -> dict[float, list[float]]:
    found = defaultdict(list)
    for record in told.of("step"):
        found[record["dre"]["effort"]].append(record["dre"]["expertsPerToken"])
    return found


@pytest.mark.parametrize("router", ["softmax", "sigmoid"])
def test_each_effort_keeps_its_budget_from_a_resume_on(router: str, tmp_path: Path) -> None:
    model = {**SMALL, "moe": {"router": router, "intermediate": 16}, "dre": DRE}
    made = plan(job(model, steps=STEPS, globalBatchTokens=512, optimizer={"lr": 1e-3}))
    attempt(made, tmp_path, 1, on_record=stop_after(STOPPED))
    told = attempt(made, tmp_path, 2)
    assert [record["step"] for record in told.of("restored")] == [STOPPED]
    used = experts_used(told)
    assert sorted(used) == EFFORTS
    for effort, experts in used.items():
        assert statistics.mean(experts) == pytest.approx(2 * effort, rel=WITHIN)
