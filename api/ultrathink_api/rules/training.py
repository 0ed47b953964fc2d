"""Rules about data, batch, length of training, and precision."""

import re

from ultrathink_api.rules.statement import Rule, divides
from ultrathink_api.sections.data import MOST_WEIGHT

SHARDS_URI = "^(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_.=-]+)*/?|file://(/[A-Za-z0-9_. =~+-]+)+/?)$"
DATA_URI = f"^builtin://stories$|{SHARDS_URI}"
CLIMBS = "(^|/)\\.\\.?(/|$)"
_CLIMBS_IN_CEL = CLIMBS.replace(chr(92), chr(92) * 2)


def _are_weights(weights: tuple[int, ...]) -> bool:
    return all(0 <= weight <= MOST_WEIGHT for weight in weights) and any(weights)


def _is_place(uri: str, pattern: str) -> bool:
    return bool(re.search(pattern, uri)) and not re.search(CLIMBS, uri)


TRAINING: tuple[Rule, ...] = (
    Rule(
        code="UTK0201",
        at="spec.data",
        field="spec.data.uri",
        cel=f"!has(self.uri) || (self.uri.matches('{DATA_URI}') && !self.uri.matches('{_CLIMBS_IN_CEL}'))",
        holds=lambda data: data.uri is None or _is_place(data.uri, DATA_URI),
        message="data are read from s3://bucket/prefix or file:///folder, or are builtin://stories",
        fix="prepare token shards with `utk data prepare`, and name their folder or prefix",
    ),
    Rule(
        code="UTK0217",
        at="spec.data",
        field="spec.data.mixture",
        cel=f"!has(self.mixture) || self.mixture.all(m, m.uri.matches('{SHARDS_URI}') && "
        f"!m.uri.matches('{_CLIMBS_IN_CEL}'))",
        holds=lambda data: all(_is_place(source.uri, SHARDS_URI) for source in data.mixture),
        message="a mixture is made of token shards below s3://bucket/prefix or file:///folder",
        fix="prepare token shards with `utk data prepare`, and name their folder or prefix",
    ),
    Rule(
        code="UTK0214",
        at="spec.data",
        field="spec.data",
        cel="has(self.uri) != (has(self.mixture) && self.mixture.size() > 0)",
        holds=lambda data: (data.uri is None) != (not data.mixture),
        message="data are either one uri or a mixture of several",
        fix="set exactly one of data.uri and data.mixture",
    ),
    Rule(
        code="UTK0192",
        at="spec.data",
        field="spec.data.mixture",
        cel="!has(self.mixture) || self.mixture.all(m, self.mixture.exists_one(n, n.uri == m.uri))",
        holds=lambda data: len({source.uri for source in data.mixture}) == len(data.mixture),
        message="a mixture names the same data twice",
        fix="name it once, with the sum of both weights",
    ),
    Rule(
        code="UTK0229",
        at="spec.data",
        field="spec.data.curriculum",
        cel="!has(self.curriculum) || self.curriculum.all(s, "
        "(has(self.mixture) ? self.mixture.size() : 0) == s.weights.size() && "
        f"s.weights.all(w, w >= 0 && w <= {MOST_WEIGHT}) && s.weights.exists(w, w > 0) && "
        "self.curriculum.exists_one(o, o.fromStep == s.fromStep))",
        holds=lambda data: (
            all(len(stage.weights) == len(data.mixture) and _are_weights(stage.weights) for stage in data.curriculum)
            and len({stage.from_step for stage in data.curriculum}) == len(data.curriculum)
        ),
        message="a stage of the curriculum has a weight for each data set of the mixture, and a step of its own",
        fix=f"give each stage as many weights from 0 to {MOST_WEIGHT} as mixture has data sets, not all 0, and another "
        "fromStep",
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
