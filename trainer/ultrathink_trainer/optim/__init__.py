"""The optimizers and the learning rate over the steps."""

from torch import nn

from ultrathink_api.sections.training import OptimizerSpec

from .adamw import AdamW
from .lion import Lion
from .muon import Muon

OPTIMIZERS = {"adamw": AdamW, "lion": Lion, "muon": Muon}

Optimizer = AdamW | Lion | Muon


def build_optimizer(model: nn.Module, spec: OptimizerSpec) -> Optimizer:
    """The one that the spec names, on this rank's part of the model."""
    return OPTIMIZERS[spec.name](dict(model.named_parameters()), spec)
