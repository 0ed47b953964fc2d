"""A model that a job starts from: its shape is the folder's, and what the spec says otherwise is refused."""

from typing import Any

import pytest

from ultrathink_api.errors import Refused
from ultrathink_api.job import UltraThinkJob
from ultrathink_planner import Given, ModelShape, Plan, plan
from ultrathink_planner.presets import PRESETS
from vectors.reading import changed

ADDRESS, URI = "hf:models/some", "hf:/models/some"
MOE, DENSE = (PRESETS[name].shape for name in ("moe-tiny", "dense-tiny"))
SMALL_BATCH = {"training.globalBatchTokens": 2_048}


def planned(shape: ModelShape = MOE, **model: Any) -> Plan:
    job = changed({"model": {"from": ADDRESS, **model}, **SMALL_BATCH})
    return plan(UltraThinkJob.parse(job).spec, Given(shape, URI))


def refused(shape: ModelShape = MOE, **model: Any) -> list[tuple[str, str, str]]:
    with pytest.raises(Refused) as caught:
        planned(shape, **model)
    return [(p.code, p.field, p.message) for p in caught.value.problems]


def test_the_shape_is_the_folders_and_the_plan_names_it() -> None:
    made = planned()
    assert (made.model, made.weights) == (MOE, URI)
    assert made.digest != plan(UltraThinkJob.parse(changed(SMALL_BATCH)).spec).digest
    assert Plan.model_validate(made.dump()) == made


def test_rows_are_no_longer_than_the_model_takes_them() -> None:
    assert planned().batch.sequence_length == MOE.max_positions


def test_what_only_training_knows_may_be_said_beside_it() -> None:
    moe = {"balance": "global", "auxLoss": 0.02, "zLoss": 0.001, "experts": 8, "layers": [0, 1, 2, 3]}
    unbiased = MOE.model_copy(update={"moe": MOE.moe and MOE.moe.model_copy(update={"balance": "none"})})
    made = planned(unbiased, layers=4, ropeTheta=10_000, moe=moe, dre={"nullExperts": 2, "effort": 0.5})
    assert made.model.moe and made.model.dre
    assert (made.model.moe.balance, made.model.moe.aux_loss, made.model.moe.z_loss) == ("global", 0.02, 0.001)
    assert made.model.dre.effort == 0.5
    assert made.parameters == planned(unbiased).parameters


def test_what_contradicts_it_is_refused_each_by_its_field() -> None:
    assert refused(layers=5, qkNorm=False, windowSize=8, moe={"topK": 3, "balance": "none", "capacity": 2}) == [
        ("UTK0154", "spec.model.layers", "layers is 5, but the model of hf:models/some has 4"),
        ("UTK0154", "spec.model.windowSize", "windowSize is 8, but the model of hf:models/some has none"),
        ("UTK0154", "spec.model.moe.topK", "moe.topK is 3, but the model of hf:models/some has 2"),
        ("UTK0154", "spec.model.moe.balance", "moe.balance is none, but the model of hf:models/some has bias"),
        ("UTK0154", "spec.model.moe.capacity", "moe.capacity is 2.0, but the model of hf:models/some has none"),
    ]


def test_a_dense_model_gets_no_experts() -> None:
    assert refused(DENSE, moe={"experts": 8})[0][:2] == ("UTK0154", "spec.model.moe")


def test_without_the_folder_there_is_no_plan() -> None:
    with pytest.raises(Refused, match="UTK0227"):
        plan(UltraThinkJob.parse(changed({"model": {"from": ADDRESS}})).spec)
