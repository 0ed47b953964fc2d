"""What a rank holds at its fullest moment: what makes it more and what makes it less. That it is right is measured in
tests/distributed/test_memory.py."""

import pytest

from ultrathink_api.job import UltraThinkJob
from ultrathink_planner import CATALOGUE, MemoryBytes, Plan, fit, plan
from ultrathink_planner.hardware import usable
from vectors.reading import changed

LARGE = {"model.preset": "dense-8b", "workers": {"count": 2, "gpus": 8}, "training.precision": "bf16"}


def planned(**change: object) -> Plan:
    told = LARGE | {name.replace("__", "."): value for name, value in change.items()}
    return plan(UltraThinkJob.parse(changed(told)).spec)


def held(**change: object) -> MemoryBytes:
    return planned(**change).per_rank[0].memory_bytes


def fullest(**change: object) -> int:
    found = held(**change).fullest
    assert found is not None
    return found


def test_the_fullest_moment_is_more_than_what_is_always_held_and_at_most_all() -> None:
    said = held()
    assert said.activations and said.buffers and said.fullest
    always = said.parameters + said.gradients + said.optimizer
    assert always < said.fullest <= always + said.activations + said.buffers


@pytest.mark.parametrize(
    "change",
    [
        {"training__activationCheckpointing": True},
        {"training__microBatchSequences": 1},
        {"parallelism": {"context": 2}},
        {"parallelism": {"tensor": 2}},
        {"workers": {"count": 4, "gpus": 8}},
        {"training__optimizer": {"name": "lion"}},
    ],
    ids=str,
)
def test_what_takes_less_takes_less(change: dict[str, object]) -> None:
    assert fullest(**change) < fullest()


def test_float32_takes_more_than_half_precision() -> None:
    assert fullest(training__precision="fp32") > fullest()


def test_experts_that_are_spread_are_not_gathered() -> None:
    experts = {"model__preset": "moe-30b", "training__activationCheckpointing": True}
    assert fullest(**experts, parallelism={"expert": 8}) < fullest(**experts)


def test_the_first_stage_of_a_pipeline_holds_more_micro_batches_than_a_later_one() -> None:
    stages = planned(parallelism={"pipeline": 4}, training__microBatchSequences=1).per_rank
    first, second = (stage.memory_bytes.activations for stage in stages[:2])
    assert first is not None
    assert second is not None
    assert first > second


def test_deepspeed_keeps_its_own_buffers_and_nothing_is_said_of_them() -> None:
    made = planned(training__engine="deepspeed")
    assert made.per_rank[0].memory_bytes.fullest is None
    assert fit(made, CATALOGUE["h200"]).fits is None


def test_a_plan_fits_where_there_is_room_for_its_fullest_moment() -> None:
    small = planned(training__activationCheckpointing=True, training__microBatchSequences=1)
    assert [fit(small, CATALOGUE[name]).fits for name in ("h100", "rtx4090")] == [True, False]


def test_uneven_routers_are_allowed_for_only_where_rows_travel() -> None:
    experts = {
        "model__preset": "moe-30b",
        "training__microBatchSequences": 1,
    }
    here, away = planned(**experts), planned(**experts, parallelism={"expert": 8})
    assert fit(here, CATALOGUE["h200"]).bytes == here.per_rank[0].memory_bytes.fullest
    found, said = fit(away, CATALOGUE["h200"]).bytes, away.per_rank[0].memory_bytes.fullest
    assert found is not None
    assert said is not None
    assert found > said


@pytest.mark.parametrize("name", CATALOGUE)
def test_some_of_a_device_is_never_planned_for(name: str) -> None:
    assert 0.8 * CATALOGUE[name].memory_bytes < usable(CATALOGUE[name]) < 0.92 * CATALOGUE[name].memory_bytes
