"""A model's loss on held-out data, at any effort: one process, float32 on CPU, whatever layout it was trained in."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ultrathink_api.errors import Refused
from ultrathink_api.sections.model import HUGGING_FACE
from ultrathink_planner import DREShape, ModelShape, Stage
from ultrathink_planner.plan import DataSource

from .checkpoint.folder import folder_of
from .checkpoint.huggingface import open_model, write_model
from .checkpoint.stored import open_stored
from .data.source import open_source
from .model.auxiliary import StepFacts
from .model.dre import FULL
from .model.families.family import tensor_shapes
from .model.layers import Rotary
from .model.transformer import Transformer

LONGEST_ROW = 1_024
"""Positions in a row, or fewer where the model has fewer: losses of models with equal rows can be compared."""
ROWS_AT_ONCE = 8
DEFAULT_TOKENS = 65_536
"""Labels that are measured unless told otherwise: the standard error of a loss is then below a hundredth."""
LARGEST_EXPONENT = 709.0
THRESHOLDS = ".moe.thresholds"
"""In the name of a tensor that only adaptive compute has."""


@dataclass(frozen=True)
class Loaded:
    """A model's shape and its tensors by name."""

    shape: ModelShape
    read: Callable[[str], torch.Tensor]


@dataclass(frozen=True)
class Evaluation:
    """Mean cross-entropy over so many labels, in nats; where compute is adaptive, at which effort, and how many experts
    a token really used in a layer."""

    loss: float
    tokens: int
    effort: float | None = None
    experts_per_token: float | None = None

    @property
    def perplexity(self) -> float:
        return math.exp(self.loss) if self.loss < LARGEST_EXPONENT else math.inf


def load(address: str) -> Loaded:
    """The model at `hf:DIR` or at a checkpoint's URI."""
    if address.startswith(HUGGING_FACE):
        model = open_model(folder_of(address))
        return Loaded(model.shape, model.read)
    stored = open_stored(address)
    return Loaded(stored.shape, stored.read)


def build(loaded: Loaded) -> Transformer:
    """The whole model in float32, ready to be asked."""
    shape = loaded.shape
    whole = Stage(index=0, first_layer=0, last_layer=shape.layers, embedding=True, head=True)
    with torch.device("meta"):
        model = Transformer(shape, whole)
    model.to_empty(device="cpu")
    model.tie()
    for module in model.modules():
        if isinstance(module, Rotary):
            module.reset()
    for layer in model.moe_layers():
        layer.reset()
    live = model.state_dict()
    for name in tensor_shapes(shape):
        live[name].copy_(loaded.read(name))
    for name in filter(lambda name: name.endswith(THRESHOLDS), live):
        live[name].copy_(loaded.read(name))
    return model.eval()


def chosen_effort(dre: DREShape | None, asked: float | None) -> float | None:
    """What is asked for, else what the model says of itself; none where compute is not adaptive."""
    if dre is None and asked is None:
        return None
    if dre is None:
        raise Refused.of(
            "UTK0142",
            field="--effort",
            message="the model has no adaptive compute: it knows only one effort",
            fix="leave --effort out, or name a checkpoint of a job with model.dre",
        )
    effort, lowest = dre.effort if asked is None else asked, min(dre.efforts)
    if not lowest <= effort <= FULL:
        raise Refused.of(
            "UTK0142",
            field="--effort",
            message=f"effort {effort:g} is not between {lowest:g}, the least that the model was trained with, and 1",
            fix=f"choose one from {lowest:g} to 1",
        )
    return effort


class Dial:
    """A model's effort, and the rows that its experts were given at it."""

    def __init__(self, model: Transformer, effort: float | None) -> None:
        self.effort, self.layers, self.rows = effort, model.moe_layers(), 0
        for layer in self.layers:
            layer.facts = StepFacts(tokens=1, rows=1, effort=FULL if effort is None else effort)
            layer.experts.register_forward_pre_hook(self._count)

    def _count(self, module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        self.rows += len(given[0])

    def experts_per_token(self, tokens: int) -> float | None:
        return None if self.effort is None else self.rows / (tokens * len(self.layers))


@torch.no_grad()
def evaluate(
    address: str, data_uri: str, limit_tokens: int | None = None, *, effort: float | None = None
) -> Evaluation:
    """The loss on whole held-out rows, at least one and at most `limit_tokens` labels."""
    loaded = load(address)
    effort = chosen_effort(loaded.shape.dre, effort)
    length = min(loaded.shape.max_positions, LONGEST_ROW)
    source = open_source([DataSource(uri=data_uri)], seed=0, length=length, vocabulary=loaded.shape.vocabulary)
    count = (limit_tokens or DEFAULT_TOKENS) // length
    if count < 1:
        raise Refused.of(
            "UTK0604",
            field="--limit-tokens",
            message=f"{limit_tokens} tokens are less than a row of {length}",
            fix=f"allow at least {length}",
        )
    model = build(loaded)
    dial = Dial(model, effort)
    total, labels = 0.0, 0
    for first in range(0, count, ROWS_AT_ONCE):
        indices = range(first, min(first + ROWS_AT_ONCE, count))
        rows_BT = torch.from_numpy(source.held_out_rows(indices))
        logits_NV = model(rows_BT[:, :-1]).flatten(0, 1)
        total += F.cross_entropy(logits_NV, rows_BT[:, 1:].flatten(), reduction="sum").item()
        labels += rows_BT[:, 1:].numel()
    return Evaluation(total / labels, labels, effort, dial.experts_per_token(labels))


@dataclass(frozen=True)
class Exported:
    """What was written, and as what."""

    uri: str
    step: int
    family: str
    bytes: int


def export(address: str, folder: Path) -> Exported:
    """Write a checkpoint's model in Hugging Face's layout, float32."""
    stored = open_stored(address)
    family, size = write_model(folder, stored.shape, stored.read)
    return Exported(str(stored.ref), stored.ref.step, family.name, size)
