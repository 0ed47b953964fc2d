"""Rules about how a model is cut over ranks."""

from typing import Any

from ultrathink_api.rules.statement import Rule, divides

_WORLD = "self.workers.count * (self.workers.gpus > 1 ? self.workers.gpus : 1)"
_CUT = "self.parallelism.tensor * self.parallelism.context * self.parallelism.pipeline"


def _world(spec: Any) -> int:
    return int(spec.workers.count * max(spec.workers.gpus, 1))


def _cut(spec: Any) -> int:
    return int(spec.parallelism.tensor * spec.parallelism.context * spec.parallelism.pipeline)


PARALLELISM: tuple[Rule, ...] = (
    Rule(
        code="UTK0108",
        at="spec",
        field="spec.parallelism",
        cel=f"({_WORLD}) % ({_CUT}) == 0",
        holds=lambda spec: _world(spec) % _cut(spec) == 0,
        message="tensor x context x pipeline does not divide the world size, workers.count x max(workers.gpus, 1)",
        fix="choose parallelism.tensor, context and pipeline so that their product divides it",
    ),
    Rule(
        code="UTK0107",
        at="spec",
        field="spec.parallelism.data",
        cel=f"!has(self.parallelism.data) || self.parallelism.data * {_CUT} == {_WORLD} || ({_WORLD}) % ({_CUT}) != 0",
        holds=lambda spec: (
            spec.parallelism.data is None
            or spec.parallelism.data * _cut(spec) == _world(spec)
            or _world(spec) % _cut(spec) != 0
        ),
        message="tensor x context x pipeline x data is not the world size, workers.count x max(workers.gpus, 1)",
        fix="leave parallelism.data out, or make the product fit",
    ),
    Rule(
        code="UTK0115",
        at="spec",
        field="spec.parallelism.tensor",
        cel="(!has(self.model.heads) || self.model.heads % self.parallelism.tensor == 0) && "
        "(!has(self.model.kvHeads) || self.model.kvHeads % self.parallelism.tensor == 0) && "
        "(!has(self.data.sequenceLength) || "
        "self.data.sequenceLength % (self.parallelism.tensor * self.parallelism.context) == 0)",
        holds=lambda spec: (
            all(divides(spec.parallelism.tensor, number) for number in (spec.model.heads, spec.model.kv_heads))
            and divides(spec.parallelism.tensor * spec.parallelism.context, spec.data.sequence_length)
        ),
        message="parallelism.tensor must divide heads, kvHeads and sequenceLength / context",
        fix="choose a common divisor of the three as parallelism.tensor",
    ),
    Rule(
        code="UTK0143",
        at="spec",
        field="spec.parallelism.context",
        cel="!has(self.data.sequenceLength) || self.parallelism.context == 1 || "
        "self.data.sequenceLength % (2 * self.parallelism.context) == 0",
        holds=lambda spec: (
            spec.parallelism.context == 1 or divides(2 * spec.parallelism.context, spec.data.sequence_length)
        ),
        message="twice parallelism.context must divide sequenceLength",
        fix="choose a longer or rounder data.sequenceLength, or a smaller parallelism.context",
    ),
    Rule(
        code="UTK0116",
        at="spec",
        field="spec.parallelism.pipeline",
        cel="!has(self.model.layers) || self.parallelism.pipeline <= self.model.layers",
        holds=lambda spec: spec.model.layers is None or spec.parallelism.pipeline <= spec.model.layers,
        message="more pipeline stages than layers",
        fix="set parallelism.pipeline to at most model.layers",
    ),
    Rule(
        code="UTK0141",
        at="spec",
        field="spec.parallelism.expert",
        cel=f"(({_WORLD}) % self.parallelism.pipeline != 0 || "
        f"({_WORLD}) / self.parallelism.pipeline % self.parallelism.expert == 0) && "
        "(!has(self.model.moe) || !has(self.model.moe.experts) || "
        "self.model.moe.experts % self.parallelism.expert == 0)",
        holds=lambda spec: (
            (
                _world(spec) % spec.parallelism.pipeline != 0
                or _world(spec) // spec.parallelism.pipeline % spec.parallelism.expert == 0
            )
            and (spec.model.moe is None or divides(spec.parallelism.expert, spec.model.moe.experts))
        ),
        message="parallelism.expert must divide the ranks that hold the same layers, and the number of experts",
        fix="choose a common divisor of world size / pipeline and moe.experts as parallelism.expert",
    ),
    Rule(
        code="UTK0119",
        at="spec",
        field="spec.model.tiedEmbeddings",
        cel="!has(self.model.tiedEmbeddings) || !self.model.tiedEmbeddings || self.parallelism.pipeline == 1",
        holds=lambda spec: not spec.model.tied_embeddings or spec.parallelism.pipeline == 1,
        message="tied embeddings cannot be cut into pipeline stages",
        fix="set model.tiedEmbeddings: false, or parallelism.pipeline: 1",
    ),
)
