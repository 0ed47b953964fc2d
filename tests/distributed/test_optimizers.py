"""Lion and Muon move every layout alike, and go on from a checkpoint."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from distributed.equality import LOSS_TOLERANCE, PARAMETER_TOLERANCE, furthest, is_parameter, train
from distributed.jobs import attempt
from distributed.layouts import ALONE, EXPERTS, LAYOUTS, Layout, job_plan
from ultrathink_planner import Plan


def planned(optimizer: str, layout: Layout, **training: Any) -> Plan:
    model = {"moe": EXPERTS, "layers": 2}
    return job_plan(layout, model=model, optimizer={"name": optimizer, "lr": 1e-3}, **training)


@cache
def alone(optimizer: str) -> dict[str, Any]:
    return train(planned(optimizer, ALONE))[0]


@pytest.mark.parametrize("layout", ["data 2, context 2", "pipeline 2", "data 2, tensor 2"])
@pytest.mark.parametrize("optimizer", ["lion", "muon"])
def test_an_optimizer_moves_every_layout_alike(optimizer: str, layout: str) -> None:
    results = train(planned(optimizer, LAYOUTS[layout]))
    tensors = {name: value for result in results for name, value in result["tensors"].items()}
    for result in results:
        assert result["losses"] == pytest.approx(alone(optimizer)["losses"], rel=0, abs=LOSS_TOLERANCE)
    for name, value in alone(optimizer)["tensors"].items():
        if is_parameter(name):
            assert furthest(tensors[name], value) <= PARAMETER_TOLERANCE, name


@pytest.mark.parametrize("optimizer", ["lion", "muon"])
def test_a_checkpoint_of_one_layout_goes_on_in_another(optimizer: str, tmp_path: Path) -> None:
    whole = attempt(planned(optimizer, ALONE), tmp_path / "whole", 1).losses
    attempt(planned(optimizer, LAYOUTS["data 2"], steps=2), tmp_path / "cut", 1)
    again = attempt(planned(optimizer, LAYOUTS["pipeline 2"]), tmp_path / "cut", 2).losses
    assert {step: again[step] for step in (3, 4)} == pytest.approx({step: whole[step] for step in (3, 4)}, abs=1e-10)
