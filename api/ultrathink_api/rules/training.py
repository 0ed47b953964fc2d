"""Rules about data, batch, length of training, and precision."""

import re

from ultrathink_api.rules.statement import Rule, divides

DATA_URI = "^builtin://stories$"

TRAINING: tuple[Rule, ...] = (
    Rule(
        code="UTK0201",
        at="spec.data",
        field="spec.data.uri",
        cel=f"self.uri.matches('{DATA_URI}')",
        holds=lambda data: bool(re.search(DATA_URI, data.uri)),
        message="this data cannot be read",
        fix="use builtin://stories, the only source there is today",
    ),
    Rule(
        code="UTK0110",
        at="spec.training",
        field="spec.training.steps",
        cel="has(self.steps) != has(self.tokens)",
        holds=lambda training: (training.steps is None) != (training.tokens is None),
        message="training needs either steps or tokens",
        fix="set exactly one of training.steps and training.tokens",
    ),
    Rule(
        code="UTK0111",
        at="spec.training",
        field="spec.training.schedule.warmupSteps",
        cel="!has(self.steps) || !has(self.schedule.warmupSteps) || self.schedule.warmupSteps <= self.steps",
        holds=lambda training: (
            training.steps is None
            or training.schedule.warmup_steps is None
            or training.schedule.warmup_steps <= training.steps
        ),
        message="warm-up is longer than training",
        fix="set training.schedule.warmupSteps to at most training.steps",
    ),
    Rule(
        code="UTK0112",
        at="spec",
        field="spec.training.globalBatchTokens",
        cel="!has(self.training.globalBatchTokens) || !has(self.data.sequenceLength) || "
        "self.training.globalBatchTokens % self.data.sequenceLength == 0",
        holds=lambda spec: divides(spec.data.sequence_length, spec.training.global_batch_tokens),
        message="globalBatchTokens is not a multiple of sequenceLength",
        fix="choose training.globalBatchTokens as a multiple of data.sequenceLength",
    ),
    Rule(
        code="UTK0118",
        at="spec",
        field="spec.data.sequenceLength",
        cel="!has(self.model.maxPositions) || !has(self.data.sequenceLength) || "
        "self.data.sequenceLength <= self.model.maxPositions",
        holds=lambda spec: (
            spec.model.max_positions is None
            or spec.data.sequence_length is None
            or spec.data.sequence_length <= spec.model.max_positions
        ),
        message="rows are longer than the model's positions",
        fix="set data.sequenceLength to at most model.maxPositions",
    ),
    Rule(
        code="UTK0113",
        at="spec",
        field="spec.training.precision",
        cel="self.training.precision != 'fp64' || self.workers.gpus == 0",
        holds=lambda spec: spec.training.precision != "fp64" or spec.workers.gpus == 0,
        message="fp64 runs on CPU only",
        fix="set training.precision: fp32, or workers.gpus: 0",
    ),
)
