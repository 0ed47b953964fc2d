"""What a rank holds at its fullest moment of a step: the schedule's timeline of parameters gathered and let go,
activations kept and given back, gradients made and reduced."""

from dataclasses import dataclass
from math import prod

from ultrathink_planner.activations import BRING, Slice, Step, block, norm
from ultrathink_planner.layout import BYTES, STACKED, holds
from ultrathink_planner.parameters import Parameter, parameters
from ultrathink_planner.plan import Batch, Mesh, RankMemory, Stage
from ultrathink_planner.shape import ModelShape

ROTARY_BYTES = 4
"""Of an angle's cosine or sine, in the table of all positions."""
COMPUTED = {"fp32": 4, "fp64": 8, "bf16": 2, "fp16": 2}
LOGITS_BYTES = 1 << 26
"""Logits that exist at once; the trainer's own number (`trainer.model.cross_entropy`)."""
LION_COPIES, MUON_COPIES = 2, 5
"""Tensors of one size that live at once in their updates."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Everything beside the model and the mesh that memory depends on."""

    batch: Batch
    precision: str
    recompute: bool
    fused: bool
    skew: float = 1.0


@dataclass(frozen=True, slots=True)
class Peak:
    """Bytes at the fullest moment, beside parameters and optimizer state."""

    activations: int
    buffers: int
    gradients: int

    @property
    def total(self) -> int:
        return self.activations + self.buffers + self.gradients


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters that are gathered together: elements of all of them on this rank, the same with what makes shards
    even, and of its shard."""

    whole: int
    even: int
    shard: int
    last: int
    """Of the one that comes last: torch holds on to its gradient until the others' are reduced."""
    ranks: int


NOTHING = Group(0, 0, 0, 0, 1)


class Timeline:
    """What is held now, and the fullest moment so far."""

    def __init__(self) -> None:
        self.activations = self.buffers = self.gradients = 0
        self.peak = Peak(0, 0, 0)

    def look(self, activations: int = 0, buffers: int = 0) -> None:
        """With so much more for a moment."""
        now = Peak(self.activations + activations, self.buffers + buffers, self.gradients)
        if now.total > self.peak.total:
            self.peak = now


def groups(shape: ModelShape, mesh: Mesh, stage: Stage) -> tuple[dict[int, Group], dict[int, Group], Group]:
    """Each block's own parameters, its experts' where they are sharded otherwise, and what is outside of blocks."""
    apart = mesh.expert > 1 or mesh.tensor > 1
    own: dict[int | None, list[tuple[int, int, int]]] = {}
    stacked: dict[int, list[tuple[int, int, int]]] = {}
    for p in parameters(shape):
        if not holds(stage, p):
            continue
        if STACKED in p.name and apart and p.layer is not None:
            stacked.setdefault(p.layer, []).append(_sizes(p, mesh.expert, 0, mesh.stage_ranks // mesh.expert))
        else:
            own.setdefault(p.layer, []).append(_sizes(p, mesh.tensor, p.tensor_dim, mesh.shards))

    def group(sizes: list[tuple[int, int, int]], ranks: int) -> Group:
        whole, even, part = (sum(column) for column in zip(*sizes, strict=True)) if sizes else (0, 0, 0)
        return Group(whole, even, part, sizes[-1][0] if sizes and ranks > 1 else 0, ranks)

    blocks = {layer: group(sizes, mesh.shards) for layer, sizes in own.items() if layer is not None}
    rest = mesh.stage_ranks // mesh.expert
    return (
        blocks,
        {layer: group(sizes, rest) for layer, sizes in stacked.items()},
        group(own.get(None, []), mesh.shards),
    )


def _sizes(parameter: Parameter, cut: int, dim: int | None, ranks: int) -> tuple[int, int, int]:
    """Elements of this rank's part gathered, of the same with even shards, and of its shard."""
    shape = list(parameter.shape)
    if dim is not None:
        shape[dim] = -(-shape[dim] // cut)
    rows, row = -(-shape[0] // ranks), prod(shape[1:])
    return shape[0] * row, rows * ranks * row, rows * row


def slice_of(mesh: Mesh, setting: Setting) -> Slice:
    """What a rank of the mesh computes at once."""
    return Slice(
        rows=setting.batch.micro_rows,
        positions=setting.batch.sequence_length // mesh.context,
        tensor=mesh.tensor,
        expert=mesh.expert,
        context=mesh.context,
        computed=COMPUTED[setting.precision],
        kept=BYTES[setting.precision],
        fused=setting.fused,
        skew=setting.skew if mesh.expert > 1 else 1.0,
    )


def fullest(shape: ModelShape, mesh: Mesh, stage: Stage, setting: Setting) -> Peak:
    """The fullest moment of the first rank of a stage."""
    return _Stage(shape, mesh, stage, setting).run()


def with_fullest(held: RankMemory, peak: Peak, update: int) -> RankMemory:
    """The memory of a rank with its fullest moment: in backward, or where the optimizer makes its step."""
    always = held.memory_bytes
    said = {
        "activations": peak.activations,
        "buffers": peak.buffers,
        "fullest": always.parameters + always.optimizer + max(peak.total, always.gradients + update),
    }
    return held.model_copy(update={"memory_bytes": always.model_copy(update=said)})


def update_bytes(shape: ModelShape, mesh: Mesh, precision: str, optimizer: str) -> int:
    """What an optimizer takes for a moment: AdamW nothing, its kernel works in place; Lion and Muon some copies of
    the largest tensor, which Muon gathers first, unless it is a stack of experts."""
    if optimizer == "adamw":
        return 0
    stacks = max((prod(p.shape) // mesh.stage_ranks for p in parameters(shape) if STACKED in p.name), default=0)
    whole = [p for p in parameters(shape) if STACKED not in p.name]
    if optimizer == "lion":
        return LION_COPIES * BYTES[precision] * max(stacks, *(p.count // mesh.stage_ranks for p in whole))
    return MUON_COPIES * BYTES[precision] * max(stacks, *(p.count for p in whole if p.layer is not None))


class _Stage:
    """One step of one stage."""

    def __init__(self, shape: ModelShape, mesh: Mesh, stage: Stage, setting: Setting) -> None:
        self.shape, self.mesh, self.stage, self.setting = shape, mesh, stage, setting
        self.at = slice_of(mesh, setting)
        self.b, self.kept = self.at.computed, self.at.kept
        self.blocks, self.experts, self.root = groups(shape, mesh, stage)
        self.layers = range(stage.first_layer, stage.last_layer)
        kinds = {shape.has_experts(layer): layer for layer in self.layers}
        self.kinds = {kind: block(shape, layer, self.at) for kind, layer in kinds.items()}
        self.stream = self.at.own * shape.hidden * self.b
        self.whole_stream = self.at.all * shape.hidden * self.b
        self.head = -(-shape.vocabulary // mesh.tensor) * shape.hidden
        """Elements of the head, and of the embedding, on this rank."""
        self.doubled = self.head * (mesh.tensor - 1) if stage.embedding else 0
        """The embedding's gradient is made for the whole vocabulary on each rank."""
        self.time = Timeline()
        self.reducing = 0
        """Bytes of the last group's gradients on their way: kept until the next group's are."""

    def steps(self, layer: int) -> list[Step]:
        return self.kinds[self.shape.has_experts(layer)]

    def kept_by(self, layer: int) -> int:
        return self.stream if self.setting.recompute else sum(step.kept for step in self.steps(layer))

    def run(self) -> Peak:
        rotary = 2 * self.shape.max_positions * self.shape.rotary_width * ROTARY_BYTES
        self.time.buffers += rotary
        if self.mesh.pipeline == 1:
            self._accumulated()
        else:
            self._pipelined()
        return self.time.peak

    # One stage

    def _accumulated(self) -> None:
        whole = self.setting.batch.microbatches > 1
        if whole:  # gradients of the micro-batches before the last, of all that this rank computes with
            self.time.buffers += sum(group.whole for group in self._groups()) * self.kept
            self.time.buffers += self.doubled * self.kept
        self._forward()
        self._backward(accumulated=whole)

    def _groups(self) -> list[Group]:
        return [self.root, *self.blocks.values(), *self.experts.values()]

    def _forward(self) -> None:
        time = self.time
        time.buffers += self.root.even * self.b
        for layer in self.layers:
            time.activations += self.kept_by(layer)
        if self.stage.head:
            time.activations += self._head_kept()
            last = self.layers[-1]
            came = self.experts.get(last, self.blocks[last])
            time.look(self._logits(), came.even * self.b if came.ranks > 1 else 0)  # the buffer that it came in is kept

    def _head_kept(self) -> int:
        """By the last norm and the loss, whose forward makes the gradients of its input and of the head."""
        return norm(self.shape.hidden, self.at).kept + self.whole_stream + self.head * self.kept

    def _logits(self) -> int:
        """What the loss takes for a moment: its input, a chunk of logits in float32, their gradient and that of the
        chunk before; and the head's gradient from one chunk."""
        width = self.head // self.shape.hidden
        rows = max(1, LOGITS_BYTES // (width * self.kept))
        chunks = -(-self.at.all // rows)
        size = min(self.at.all, rows) * width
        half = self.b if self.b < self.kept else 0
        logits = size * (self.kept + half + (self.b if chunks > 1 else 0))
        return self.whole_stream + max(logits, size * self.b + self.head * self.b)

    def _backward(self, *, accumulated: bool) -> None:
        time, b = self.time, self.b
        if self.root.ranks > 1:  # gathered again, and copied out of the buffer that it came in
            time.look(0, self.root.whole * b)
        if self.stage.head:
            half = b if b < self.kept else 0
            time.look(self.head * (self.kept + half) + self.whole_stream, self._ahead(self.layers[-1]))
            time.activations += self.head * b - self._head_kept()  # the head's gradient waits for the embedding's
        for layer in reversed(self.layers):
            self._block_backward(layer, accumulated=accumulated)
        embedding = self.head + self.doubled if self.stage.embedding else 0
        time.activations += embedding * b
        time.look(self.stream)
        time.look(self._cut_embedding(self.kept if accumulated else b))
        held = embedding + (self.head if self.stage.head else 0)
        time.activations -= held * b
        time.buffers -= self.root.even * b
        if accumulated:
            time.buffers -= self.doubled * self.kept
        self._reduce(self.root, made=(held - self.doubled) * b, accumulated=accumulated)

    def _cut_embedding(self, size: int) -> int:
        """This rank's part of the embedding's gradient, made while the whole is there."""
        return self.head * size if self.doubled else 0

    def _ahead(self, layer: int) -> int:
        """A block's own parameters, gathered before they are needed; its experts' come later."""
        group = self.blocks[layer]
        return group.even * self.b if group.ranks > 1 else 0

    def _block_backward(self, layer: int, *, accumulated: bool) -> None:
        time, b = self.time, self.b
        own, stacked = self.blocks[layer], self.experts.get(layer, NOTHING)
        before = self.blocks[layer - 1].even * b if layer - 1 in self.layers and own.ranks > 1 else 0
        gathered = (own.even + stacked.even) * b
        time.activations -= self.kept_by(layer)
        if self.setting.recompute and stacked.ranks > 1:
            self._again(layer, gathered + stacked.even * b)
        self._through(layer, gathered + before)
        for group in (stacked, own):
            self._reduce(group, made=group.whole * b, elsewhere=before, accumulated=accumulated)

    def _again(self, layer: int, buffers: int) -> None:
        """Forward of a block a second time, where its experts' answers come back, with the buffer that their
        parameters came in: in forward torch keeps it until the next is gathered."""
        held = 0
        for step in self.steps(layer):
            if step.name == BRING:
                self.time.look(held + step.kept + step.backward, buffers)
            held += step.kept

    def _through(self, layer: int, buffers: int) -> None:
        """Backward of a block, operation by operation."""
        steps = self.steps(layer)
        held = sum(step.kept for step in steps)
        held += self.stream if self.setting.recompute and not self.at.fused else 0
        made = 0
        for step in reversed(steps):
            made += step.weights
            self.time.look(held + step.backward + made * self.b, buffers)
            held -= step.kept

    def _reduce(self, group: Group, *, made: int, accumulated: bool, elsewhere: int = 0) -> None:
        """Gradients as they were made, or as they came together over micro-batches, are copied into one buffer, of
        which each rank gets its shard."""
        if not group.whole:
            return
        time = self.time
        buffer, shard = group.even * self.kept, group.shard * self.kept
        time.buffers -= self.reducing
        time.look(0 if accumulated else made, buffer + elsewhere)
        if accumulated:
            time.buffers -= group.whole * self.kept
        after = group.last * (self.kept if accumulated else self.b)
        time.look(after, buffer + elsewhere + shard + (buffer if group.ranks == 1 else 0))
        self.reducing = buffer
        time.buffers += buffer
        time.gradients += shard

    # A pipeline

    def _pipelined(self) -> None:
        """Parameters stay gathered; gradients come together in float32 and are reduced at the end; torch makes the
        buffers of all micro-batches at once."""
        time, micro = self.time, self.setting.batch.microbatches
        count, index = self.mesh.pipeline, self.stage.index
        flying = min(micro, count - index) if micro >= count else micro
        received = (index > 0) + (index < count - 1)
        time.buffers += sum(group.even for group in self._groups()) * self.b + received * micro * self.stream
        keeps_input = self.setting.recompute or self.at.fused
        each = sum(map(self.kept_by, self.layers)) + (0 if self.stage.head else self.stream)
        each -= self.stream if index > 0 and keeps_input else 0
        time.activations += flying * each
        if self.stage.head:
            time.activations += self._head_kept()
            time.look(self._logits())
        self._backward_of_one(first=True)
        if micro > 1:
            time.activations = min(flying, micro - 1) * each
            if self.stage.head:
                time.activations += self._head_kept()
                time.look(self._logits())
            self._backward_of_one(first=False)
        time.activations = 0
        time.look(self._cut_embedding(self.kept))
        time.buffers -= self.doubled * self.kept
        for group in self._groups():
            time.buffers -= group.even * self.b
            self._reduce(group, made=0, accumulated=True)

    def _backward_of_one(self, *, first: bool) -> None:
        """Of a micro-batch; the first one's gradients become what the others' are added to."""
        time, b = self.time, self.b
        came = self.stream * (self.stage.index > 0 and (self.setting.recompute or self.at.fused))
        if self.stage.head:
            half = b if b < self.kept else 0
            time.look(self.head * (self.kept + half) + self.whole_stream)
            time.activations += self.head * b - self._head_kept()
        for layer in reversed(self.layers):
            steps = self.steps(layer)
            time.activations -= self.kept_by(layer) - (came if layer == self.layers[0] else 0)
            there = came if layer == self.layers[0] else 0
            there += self.stream if layer == self.layers[-1] and not self.stage.head else 0
            self._through(layer, -there)  # in buffers of what other stages send
            made = sum(step.weights for step in steps)
            time.look(made * b)
            if first:
                time.buffers += self._whole(layer) * self.kept
        made = (self.head if self.stage.head else 0) + (self.head + self.doubled if self.stage.embedding else 0)
        copied = (self.root.whole + self.doubled) * self.kept if first and b < self.kept else 0
        time.look(made * b, copied)
        if self.stage.head:
            time.activations -= self.head * b
        if first:
            time.buffers += (self.root.whole + self.doubled) * self.kept

    def _whole(self, layer: int) -> int:
        return self.blocks[layer].whole + self.experts.get(layer, NOTHING).whole
