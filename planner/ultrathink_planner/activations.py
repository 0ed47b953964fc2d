"""What one block keeps from its forward pass for its backward pass, and what backward takes beside that: the trainer's
operations in their order."""

from dataclasses import dataclass

from ultrathink_planner.shape import ModelShape, MoEShape

# Letters: N positions of a micro-batch on this rank, between matrices that are split (all of the tensor group's);
# n = N / tensor, everywhere else; H hidden; F a feed-forward's width and Q, K query and key widths on this rank.

INDEX = 8
"""Bytes of an index or a count: torch's int64."""
PRECISE = 4
"""Bytes of a number where half precision is not enough."""
ROTATED = 2
"""Queries and keys; each is turned by a cosine and a sine."""

BRING = "bring"
"""The step that brings rows back from experts."""


@dataclass(frozen=True, slots=True)
class Slice:
    """What one rank computes at once, and how: `computed` and `kept` are bytes of a number in blocks and of what is
    kept in float32 or better."""

    rows: int
    positions: int
    tensor: int
    expert: int
    context: int
    computed: int
    kept: int
    fused: bool
    """Whether norms are one kernel, as on accelerators, or made of several, as on CPU."""
    skew: float = 1.0
    """Rows that arrive at this rank's experts, in even shares."""

    @property
    def all(self) -> int:
        """N"""
        return self.rows * self.positions

    @property
    def own(self) -> int:
        """n"""
        return self.all // self.tensor


@dataclass(frozen=True, slots=True)
class Step:
    """An operation of forward: bytes kept from it on, bytes that its backward takes at once beside what is kept, and
    elements of weights whose gradients that backward makes."""

    name: str
    kept: int
    backward: int = 0
    weights: int = 0


def norm(width: int, at: Slice, *, shares_input: bool = False) -> Step:
    """Kept: the input, unless something else does that anyway, and one number a row; without a fused kernel the input
    in float32 and the same times that number."""
    rows, size = at.own, at.own * width
    if at.fused:
        return Step("norm", (0 if shares_input else size * at.computed) + rows * PRECISE, 3 * size * at.computed)
    upcast = size * at.kept if at.computed < at.kept else (0 if shares_input else size * at.kept)
    return Step("norm", upcast + size * at.kept + rows * at.kept, 4 * size * at.kept)


def attention(shape: ModelShape, at: Slice) -> list[Step]:
    """From the normed stream to what is added to it."""
    b, hidden = at.computed, shape.hidden
    query, key = (heads * shape.head_dim // at.tensor for heads in (shape.heads, shape.kv_heads))
    numbers = at.all * b
    stream = numbers * hidden
    steps = [
        Step(
            "query, key, value",
            stream,
            numbers * (query + 2 * key) + 2 * stream,
            hidden * (query + 2 * key),
        )
    ]
    if shape.qk_norm:
        heads = at.all * (query + key) // shape.head_dim
        raw = numbers * (query + key)
        if at.fused:
            steps.append(Step("query and key norm", raw + heads * PRECISE, 2 * raw))
        else:
            wide = at.all * (query + key) * at.kept
            steps.append(Step("query and key norm", 2 * wide + heads * at.kept, 4 * wide))
    if at.computed < at.kept or at.context > 1:
        copies = 2 * ROTATED * at.positions * shape.rotary_width * b
        steps.append(Step("rotary", copies, 3 * numbers * query))
    looked_at = at.context * numbers * 2 * key if at.context > 1 else 2 * numbers * key
    kept = 2 * numbers * query + looked_at + at.all * (query // shape.head_dim) * PRECISE
    expanded = 2 * at.context * numbers * (query if query != key else 0)
    backward = 2 * numbers * query + looked_at + expanded
    if shape.window_size is not None and shape.window_size < at.positions * at.context:
        mask = at.positions * at.positions * at.context
        kept += mask * b
        backward += mask * (INDEX + 2)  # distances between positions, and which of them are near
    steps.append(Step("attention", kept, backward))
    steps.append(Step("output", 0, numbers * query + stream, hidden * query))
    return steps


def swiglu(hidden: int, width: int, at: Slice, *, keeps_input: bool = True) -> list[Step]:
    """The gated feed-forward of which this rank has `width`."""
    b = at.computed
    stream, wide = at.all * hidden * b, at.all * width * b
    gathered = at.tensor > 1
    return [
        Step("gate and up", (stream if keeps_input or gathered else 0) + 2 * wide, 2 * wide + 2 * stream,
             2 * hidden * width),
        Step("gate times up", wide, 3 * wide),
        Step("down", wide, wide + (stream if gathered else 0), hidden * width),
    ]  # fmt: skip


def experts(shape: ModelShape, moe: MoEShape, at: Slice) -> list[Step]:
    """Router, rows to experts and back, the shared expert; as many rows arrive as are sent."""
    b, hidden, tokens = at.computed, shape.hidden, at.own
    slots = tokens * moe.top_k
    stream, rows = tokens * hidden * b, slots * hidden * b
    scores = tokens * moe.experts * at.kept
    copies = tokens * hidden * at.kept if at.computed < at.kept else 0
    chosen = slots * (INDEX + at.kept * (3 if moe.norm_top_k else 1))
    losses = scores * (2 if moe.balance in ("global", "micro") and moe.aux_loss else 0) + scores * bool(moe.z_loss)
    ways = 2 * slots * INDEX + tokens * INDEX
    arriving = int(slots * at.skew)
    order = 2 * arriving * INDEX if at.expert > 1 else 0
    inner, landed = arriving * moe.intermediate * b, arriving * hidden * b
    local = moe.experts // at.expert
    steps = [
        Step("router", stream + copies + scores + losses + chosen, 2 * scores + 2 * copies, moe.experts * hidden),
        Step("take", ways + order + landed, 2 * landed),
        Step("gate and up of experts", 2 * inner, 2 * inner + landed, local * 2 * moe.intermediate * hidden),
        Step("gate times up of experts", inner, 3 * inner),
        Step("down of experts", 0, landed + inner, local * hidden * moe.intermediate),
        Step(BRING, rows, rows * (2 if at.expert > 1 else 1)),
    ]
    if moe.shared:
        width = moe.shared * moe.intermediate // at.tensor
        steps += swiglu(hidden, width, at, keeps_input=False)
    return steps


def block(shape: ModelShape, layer: int, at: Slice) -> list[Step]:
    """A whole block in the order of its forward pass."""
    stream = at.own * shape.hidden * at.computed
    between = [Step("norm after", norm(shape.hidden, at).kept)] if shape.post_norms else []
    steps = [norm(shape.hidden, at), *attention(shape, at), *between, norm(shape.hidden, at)]
    if shape.moe is not None and shape.has_experts(layer):
        steps += experts(shape, shape.moe, at)
    else:
        steps += swiglu(shape.hidden, shape.intermediate // at.tensor, at)
    return [Step(s.name, s.kept, s.backward + stream, s.weights) for s in [*steps, *between]]
