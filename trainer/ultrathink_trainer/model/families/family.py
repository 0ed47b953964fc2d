"""What a family is: a shape of a config and back, and entries that say which of our tensors are which of the file's.

No torch here: names and shapes alone, so that a plan can be made of a config without it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ultrathink_api.errors import Refused
from ultrathink_planner import ModelShape
from ultrathink_planner.parameters import parameters
from ultrathink_planner.shape import TRAINING_ONLY

Config = dict[str, Any]
Shapes = Mapping[str, tuple[int, ...]]

COMPUTED = r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq"
"""Old files hold frequencies that everybody computes."""
NOT_OF_THE_MODEL = {f"moe.{name}" for name in TRAINING_ONLY}
"""Fields that training alone knows; a bias that balances is told apart by its tensor."""


@dataclass(frozen=True)
class Entry:
    """Tensors of ours that are made of tensors of the file, and the other way round.

    One to one; or several of ours joined along their first dimension in one of the file (`theirs` single); or one
    stack of ours with a tensor, or several joined, for each expert in the file (`{expert}` in `theirs`).
    """

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    turned_heads: int = 0
    """So many heads whose rotated numbers are pairs of neighbours in the file; ours pair the halves."""

    @property
    def stacked(self) -> bool:
        return "{expert}" in self.theirs[0]

    def file_shapes(self, shapes: Shapes) -> dict[str, tuple[int, ...]]:
        """The file's tensors by name and shape."""
        if self.stacked:
            experts, rows, *rest = shapes[self.ours[0]]
            shape = (rows // len(self.theirs), *rest)
            return {name.format(expert=e): shape for e in range(experts) for name in self.theirs}
        rest = shapes[self.ours[0]][1:]
        return {self.theirs[0]: (sum(shapes[name][0] for name in self.ours), *rest)}


@dataclass(frozen=True)
class Family:
    """One family, declared."""

    name: str
    architecture: str
    shape_of: Callable[[Config], ModelShape]
    config_of: Callable[[ModelShape], Config]
    entries: Callable[[ModelShape], Iterator[Entry]]
    may_leave: Callable[[ModelShape], tuple[str, ...]] = lambda shape: ()
    """Patterns of tensors in a file that the model does without."""

    def leaves(self, shape: ModelShape, name: str) -> bool:
        tied = (r"lm_head\.weight",) if shape.tied_embeddings else ()
        return any(re.fullmatch(pattern, name) for pattern in (*self.may_leave(shape), *tied, COMPUTED))


@dataclass(frozen=True)
class Difference:
    """A field that a family would say otherwise."""

    field: str
    ours: Any
    theirs: Any


def differences(family: Family, shape: ModelShape) -> list[Difference]:
    """What of a shape is lost when it is said in the family's words and read again."""
    again = family.shape_of(family.config_of(shape))
    all_experts = all(map(shape.has_experts, range(shape.layers)))
    ours, theirs = _flat(_plain(shape)), _flat(_plain(again))
    ignored = NOT_OF_THE_MODEL | ({"intermediate"} if all_experts else set())
    found = [
        Difference(field, ours.get(field), theirs.get(field))
        for field in sorted(ours.keys() | theirs.keys())
        if field not in ignored and ours.get(field) != theirs.get(field)
    ]
    if _biased(shape) and not _biased(again):
        found.append(Difference("moe.balance", "bias", "none"))
    return found


def _biased(shape: ModelShape) -> bool:
    return shape.moe is not None and shape.moe.balance == "bias"


def _plain(shape: ModelShape) -> ModelShape:
    """All blocks said one by one, so that two ways to say the same are the same."""
    if shape.moe is None:
        return shape
    layers = tuple(layer for layer in range(shape.layers) if shape.has_experts(layer))
    return shape.model_copy(update={"moe": shape.moe.model_copy(update={"layers": layers})})


def _flat(shape: ModelShape) -> dict[str, Any]:
    said = shape.model_dump()
    moe = said.pop("moe")
    return said | ({"moe": "experts"} | {f"moe.{name}": value for name, value in moe.items()} if moe else {})


def tensor_shapes(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    """All that the model keeps, by its own names: parameters, and the biases of balanced routers."""
    shapes = {parameter.name: parameter.shape for parameter in parameters(shape)}
    if shape.moe is not None and shape.moe.balance == "bias":
        blocks = filter(shape.has_experts, range(shape.layers))
        shapes |= {f"layers.{layer}.moe.bias": (shape.moe.experts,) for layer in blocks}
    return shapes


def unfit(field: str, message: str) -> Refused:
    return Refused.of(
        "UTK0221",
        field=f"config.json: {field}",
        message=message,
        why="it would be read as another model than it is",
        fix="use a model without it",
    )


def need(config: Config, field: str) -> Any:
    """A field that a config must have."""
    if config.get(field) is None:
        raise unfit(field, "it is missing")
    return config[field]


def refuse_unless(config: Config, field: str, *wanted: Any) -> None:
    """Only what our model computes; what is not said has the family's default, which is the first one."""
    found = config.get(field, wanted[0])
    if found not in wanted:
        raise unfit(field, f"{found!r} cannot be computed, only {wanted[0]!r}")
