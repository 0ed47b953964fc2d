"""What bench.dre makes of its runs: ranks, means over seeds, and a verdict that each goal can turn."""

from typing import Any

import pandas
import pytest
import torch
from bench.dre import ARMS, CURVE, EFFORT, SEEDS, judged, spearman


def test_ranks_correlate_as_pandas_says_ties_included() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = torch.rand(200, generator=generator), torch.randint(0, 4, (200,), generator=generator)
    ranks = [pandas.Series(values.numpy()).rank() for values in (one, other)]
    assert spearman(one, other) == pytest.approx(ranks[0].corr(ranks[1]))
    assert spearman(one, one.exp()) == pytest.approx(1.0)


def runs(**changed: Any) -> list[dict[str, Any]]:
    """Runs that meet each goal, but for what is changed at the effort that is judged."""
    losses = {"top-1": 1.10, "top-2": 1.00, "dre": 1.005}

    def point(arm: str, effort: float) -> dict[str, Any]:
        experts = {"top-1": 1.0, "top-2": 2.0}.get(arm, 2 * effort)
        good = {"loss": losses[arm] + (1 - effort) / 100, "expertsPerToken": experts, "flopsSaved": 1 - experts / 2}
        return {"effort": effort, **good, "spearman": 0.1} | (changed if (arm, effort) == ("dre", EFFORT) else {})

    return [
        {"arm": arm, "seed": seed, "points": [point(arm, effort) for effort in (CURVE if arm == "dre" else [1.0])]}
        for arm in ARMS
        for seed in SEEDS
    ]


def test_runs_that_meet_each_goal_are_good() -> None:
    found = judged(runs())
    assert found["ok"]
    assert found["flopsSaved"] == pytest.approx(1 - EFFORT)
    assert found["budgetMissed"] == 0
    assert found["beyondInterpolation"] < 0


@pytest.mark.parametrize(
    "missed",
    [
        {"flopsSaved": 0.29},
        {"loss": 1.02},
        {"spearman": -0.01},
        {"loss": 0.9},
        {"expertsPerToken": 1.99, "loss": 1.009},
    ],
    ids=["saving", "loss", "order", "a curve with a dent", "worse than top-1 and top-2 mixed"],
)
def test_each_goal_can_be_missed(missed: dict[str, float]) -> None:
    assert not judged(runs(**missed))["ok"]
