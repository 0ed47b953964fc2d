"""The first values of a run that starts from a model in Hugging Face's layout: each rank reads its own boxes."""

from collections.abc import Mapping
from typing import Any

import torch

from ultrathink_api.errors import Refused
from ultrathink_planner import Plan
from ultrathink_planner.shape import TRAINING_ONLY

from ..model.families.family import tensor_shapes
from .folder import FROM, folder_of
from .held import hold
from .huggingface import open_model

CHOSEN: Any = {"dre": True, "moe": set(TRAINING_ONLY)}
"""Of a shape: what the job says, whatever it starts from."""


def read_weights(plan: Plan, tensors: Mapping[str, torch.Tensor]) -> None:
    """Fill what the rank has of the model, tensor by tensor; a balance bias that the files do not know stays zero."""
    assert plan.weights is not None
    model = open_model(folder_of(plan.weights))
    if model.shape.model_dump(exclude=CHOSEN) != plan.model.model_dump(exclude=CHOSEN):
        raise Refused.of(
            "UTK0228",
            field=FROM,
            message=f"the config.json of {plan.weights} has changed since the job was planned",
            fix="put the model back, or start another job from this one",
        )
    known = tensor_shapes(plan.model)
    for name, held in hold(tensors).items():
        if name in model.entries:
            held.box.copy_(model.read_box(name, held.offsets, held.box.shape))
        else:
            assert name not in known or name.endswith(".moe.bias"), name
