"""What goes into the manifest beside tensors, and checkpoints that do not fit."""

import json
import math
from typing import Any

import pytest
import torch

from ultrathink_api.errors import Refused
from ultrathink_api.job import JobSpec
from ultrathink_planner import Plan, plan
from ultrathink_store import FileEntry, Manifest
from ultrathink_trainer.checkpoint.planners import LoadPlanner, SavePlanner, only_boxes
from ultrathink_trainer.checkpoint.progress import HeldOut, Progress, dump, load, refuse_another_model
from ultrathink_trainer.data.loader import Cursor


def planned(**model: Any) -> Plan:
    precision = model.pop("precision", "fp32")
    return plan(
        JobSpec.model_validate(
            {
                "model": {"preset": "moe-tiny", **model},
                "data": {"uri": "builtin://stories"},
                "training": {"steps": 10, "precision": precision},
                "workers": {"count": 1},
            }
        )
    )


PROGRESS = Progress(step=7, tokens=14_336, updates=6, cursor=Cursor("abc", i=112), held_out=HeldOut(2.5, 1))


def manifest(job: Plan) -> Manifest:
    return Manifest(
        uid="uid-1",
        epoch=1,
        step=7,
        created_at="2026-01-01T00:00:00Z",
        files=(FileEntry(name="shard-0.safetensors", size=0, sha256="0" * 64),),
        tensors={},
        state=dump(PROGRESS, job),
        model=job.model.dump(),
    )


def test_progress_survives_json() -> None:
    torch.manual_seed(5)
    state = json.loads(json.dumps(dump(PROGRESS, planned()), allow_nan=False))
    expected = torch.rand(3)
    torch.manual_seed(6)
    assert load(state, "abc") == PROGRESS
    assert torch.equal(torch.rand(3), expected)


def test_patience_counts_measurements_since_the_lowest_loss_and_nan_is_never_low() -> None:
    found = HeldOut()
    stale = []
    for loss in (math.nan, 3.0, 3.0, 2.0, math.inf, 2.5):
        found = found.after(loss)
        stale.append(found.stale)
    assert stale == [1, 0, 1, 0, 1, 2]
    assert found.best == 2.0
    assert (found.spent(3), found.spent(2), found.spent(None)) == (False, True, False)


def test_a_checkpoint_of_the_same_model_fits() -> None:
    refuse_another_model(manifest(planned()), planned())


@pytest.mark.parametrize(
    ("saved", "job", "field"),
    [
        ({"hidden": 256}, {}, "spec.model.hidden"),
        ({}, {"layers": 2}, "spec.model.layers"),
        ({"moe": {"experts": 4}}, {}, "spec.model.moe.experts"),
        ({"moe": {"balance": "none"}}, {}, "spec.model.moe.balance"),
        ({"preset": "dense-tiny"}, {}, "spec.model.moe"),
        ({"precision": "fp64"}, {}, "spec.training.precision"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused_by_the_field_that_differs(
    saved: dict[str, Any], job: dict[str, Any], field: str
) -> None:
    with pytest.raises(Refused) as refused:
        refuse_another_model(manifest(planned(**saved)), planned(**job))
    assert refused.value.problem.code == "UTK0318"
    assert refused.value.problem.field == field
    assert refused.value.problem.fix


@pytest.mark.parametrize("thing", [3, "text", {"a": 1}, torch.zeros(2)])
def test_nothing_but_boxes_reaches_the_planners(thing: object) -> None:
    for refuse in (only_boxes, SavePlanner().set_up_planner):
        with pytest.raises(TypeError, match="belongs into the manifest"):
            refuse({"step": thing})


def test_bytes_are_never_loaded() -> None:
    from io import BytesIO

    from torch.distributed.checkpoint.metadata import MetadataIndex
    from torch.distributed.checkpoint.planner import LoadItemType, ReadItem

    index, nothing = MetadataIndex("step"), torch.Size([])
    item = ReadItem(LoadItemType.BYTE_IO, index, nothing, index, nothing, nothing)
    with pytest.raises(TypeError, match="not a tensor"):
        LoadPlanner().load_bytes(item, BytesIO())
