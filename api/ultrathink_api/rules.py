"""Every rule that relates fields or reads their text, once: code, CEL, predicate, message, fix.

Types, limits and unknown fields are the schema's; what needs a preset's numbers is the planner's. CRD, CLI, operator
and docs take these from here, and one file of vectors runs them in Python and in a real API server.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ultrathink_api.errors import Problem
from ultrathink_api.job import MAX_NAME, UltraThinkJob
from ultrathink_api.sections.model import PRESET_NAMES

NAME = "^[a-z]([-a-z0-9]*[a-z0-9])?$"
CHECKPOINT_URI = "^(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_./=-]*)?|file:///[A-Za-z0-9_./ =~+-]*)$"
CLIMBS = "(^|/)\\.\\.(/|$)"
DATA_URI = "^builtin://stories$"
RESUME = "^(latest|none|[a-z]([-a-z0-9]*[a-z0-9])?@[0-9]+|(s3|file)://.+)$"
SIZES = ("layers", "hidden", "heads", "kvHeads", "headDim", "intermediate", "vocabulary", "maxPositions", "ropeTheta")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What every rule says. `at` is the part of the object that CEL's `self` is; `field` what to point at."""

    code: str
    at: str = ""
    field: str
    cel: str
    message: str
    fix: str

    @property
    def said(self) -> str:
        """What the API server answers."""
        return f"{self.code} {self.message} (fix: {self.fix})"

    def problem(self) -> Problem:
        """What Python answers."""
        return Problem(code=self.code, field=self.field, message=self.message, fix=self.fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Statement):
    """A rule about what is; the predicate sees the part that `at` names."""

    holds: Callable[[Any], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition(Statement):
    """A rule about a change: what was, and what is asked for."""

    holds: Callable[[UltraThinkJob, UltraThinkJob], bool]


def _world(spec: Any) -> int:
    return int(spec.workers.count * max(spec.workers.gpus, 1))


def _divides(divisor: int | None, number: int | None) -> bool:
    return divisor is None or number is None or number % divisor == 0


def _sizes_said(model: Any) -> bool:
    said = {
        type(model).model_fields[name].alias for name in type(model).model_fields if getattr(model, name) is not None
    }
    return said >= set(SIZES)


_WORLD = "self.workers.count * (self.workers.gpus > 1 ? self.workers.gpus : 1)"
_CUT = "self.parallelism.tensor * self.parallelism.pipeline"

RULES: tuple[Rule, ...] = (
    Rule(
        code="UTK0109",
        at="",
        field="metadata.name",
        cel=f"self.metadata.name.size() <= {MAX_NAME} && self.metadata.name.matches('{NAME}')",
        holds=lambda job: len(job.metadata.name) <= MAX_NAME and bool(re.search(NAME, job.metadata.name)),
        message=f"the name must match {NAME} and have at most {MAX_NAME} characters",
        fix="choose a shorter name of lower-case letters, digits and dashes that starts with a letter",
    ),
    Rule(
        code="UTK0121",
        at="spec.model",
        field="spec.model.preset",
        cel=f"!has(self.preset) || self.preset in {list(PRESET_NAMES)!r}",
        holds=lambda model: model.preset is None or model.preset in PRESET_NAMES,
        message="there is no such preset",
        fix=f"use one of: {', '.join(PRESET_NAMES)}",
    ),
    Rule(
        code="UTK0122",
        at="spec.model",
        field="spec.model",
        cel="has(self.preset) || (" + " && ".join(f"has(self.{name})" for name in SIZES) + ")",
        holds=lambda model: model.preset is not None or _sizes_said(model),
        message="without a preset every size of the model must be given",
        fix=f"set model.preset, or all of: {', '.join(SIZES)}",
    ),
    Rule(
        code="UTK0114",
        at="spec.model",
        field="spec.model.kvHeads",
        cel="!has(self.heads) || !has(self.kvHeads) || self.heads % self.kvHeads == 0",
        holds=lambda model: _divides(model.kv_heads, model.heads),
        message="kvHeads does not divide heads",
        fix="choose kvHeads as a divisor of heads",
    ),
    Rule(
        code="UTK0120",
        at="spec.model",
        field="spec.model.headDim",
        cel="!has(self.headDim) || self.headDim % 2 == 0",
        holds=lambda model: _divides(2, model.head_dim),
        message="rotary embedding needs an even headDim",
        fix="choose an even headDim",
    ),
    Rule(
        code="UTK0117",
        at="spec.model",
        field="spec.model.moe.topK",
        cel="!has(self.moe) || !has(self.moe.topK) || !has(self.moe.experts) || self.moe.topK <= self.moe.experts",
        holds=lambda model: (
            model.moe is None
            or model.moe.top_k is None
            or model.moe.experts is None
            or model.moe.top_k <= model.moe.experts
        ),
        message="more experts a token than there are",
        fix="set moe.topK to at most moe.experts",
    ),
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
        holds=lambda spec: _divides(spec.data.sequence_length, spec.training.global_batch_tokens),
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
    Rule(
        code="UTK0108",
        at="spec",
        field="spec.parallelism",
        cel=f"({_WORLD}) % ({_CUT}) == 0",
        holds=lambda spec: _world(spec) % (spec.parallelism.tensor * spec.parallelism.pipeline) == 0,
        message="tensor x pipeline does not divide the world size, workers.count x max(workers.gpus, 1)",
        fix="choose parallelism.tensor and parallelism.pipeline so that their product divides it",
    ),
    Rule(
        code="UTK0107",
        at="spec",
        field="spec.parallelism.data",
        cel=f"!has(self.parallelism.data) || self.parallelism.data * {_CUT} == {_WORLD} || ({_WORLD}) % ({_CUT}) != 0",
        holds=lambda spec: (
            spec.parallelism.data is None
            or spec.parallelism.data * spec.parallelism.tensor * spec.parallelism.pipeline == _world(spec)
            or _world(spec) % (spec.parallelism.tensor * spec.parallelism.pipeline) != 0
        ),
        message="tensor x pipeline x data is not the world size, workers.count x max(workers.gpus, 1)",
        fix="leave parallelism.data out, or make the product fit",
    ),
    Rule(
        code="UTK0115",
        at="spec",
        field="spec.parallelism.tensor",
        cel="(!has(self.model.heads) || self.model.heads % self.parallelism.tensor == 0) && "
        "(!has(self.model.kvHeads) || self.model.kvHeads % self.parallelism.tensor == 0) && "
        "(!has(self.data.sequenceLength) || self.data.sequenceLength % self.parallelism.tensor == 0)",
        holds=lambda spec: all(
            _divides(spec.parallelism.tensor, number)
            for number in (spec.model.heads, spec.model.kv_heads, spec.data.sequence_length)
        ),
        message="parallelism.tensor must divide heads, kvHeads and sequenceLength",
        fix="choose a common divisor of the three as parallelism.tensor",
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
        code="UTK0119",
        at="spec",
        field="spec.model.tiedEmbeddings",
        cel="!has(self.model.tiedEmbeddings) || !self.model.tiedEmbeddings || self.parallelism.pipeline == 1",
        holds=lambda spec: not spec.model.tied_embeddings or spec.parallelism.pipeline == 1,
        message="tied embeddings cannot be cut into pipeline stages",
        fix="set model.tiedEmbeddings: false, or parallelism.pipeline: 1",
    ),
    Rule(
        code="UTK0123",
        at="spec.checkpoint",
        field="spec.checkpoint.uri",
        cel=f"!has(self.uri) || (self.uri.matches('{CHECKPOINT_URI}') && "
        f"!self.uri.matches('{CLIMBS.replace(chr(92), chr(92) * 2)}'))",
        holds=lambda checkpoint: (
            checkpoint.uri is None
            or (bool(re.search(CHECKPOINT_URI, checkpoint.uri)) and not re.search(CLIMBS, checkpoint.uri))
        ),
        message="checkpoint.uri must be s3://bucket/prefix or file:///folder, without '..'",
        fix="write it like s3://runs/team-a, or leave it out to use the runtime's storage",
    ),
    Rule(
        code="UTK0124",
        at="spec.resume",
        field="spec.resume.from",
        cel=f"!has(self.from) || self.from.matches('{RESUME}')",
        holds=lambda resume: resume.from_ is None or bool(re.search(RESUME, resume.from_)),
        message="resume.from must be latest, none, <job>@<step> or the URI of a checkpoint",
        fix="write resume: {from: latest}",
    ),
)


def _unchanged(read: Callable[[UltraThinkJob], Any]) -> Callable[[UltraThinkJob, UltraThinkJob], bool]:
    def holds(old: UltraThinkJob, new: UltraThinkJob) -> bool:
        started = old.status is not None and old.status.started_at is not None
        return not started or read(old) == read(new)

    return holds


def _same(path: str) -> str:
    before, after = f"oldSelf.{path}", f"self.{path}"
    return f"(has({before}) == has({after}) && (!has({before}) || {before} == {after}))"


_STARTED = "has(oldSelf.status) && has(oldSelf.status.startedAt)"

TRANSITIONS: tuple[Transition, ...] = (
    Transition(
        code="UTK0125",
        field="spec.model",
        cel=f"!({_STARTED}) || self.spec.model == oldSelf.spec.model",
        holds=_unchanged(lambda job: job.spec.model),
        message="model cannot change once the job has started",
        fix="submit a job under another name",
    ),
    Transition(
        code="UTK0125",
        field="spec.data",
        cel=f"!({_STARTED}) || self.spec.data == oldSelf.spec.data",
        holds=_unchanged(lambda job: job.spec.data),
        message="data cannot change once the job has started",
        fix="submit a job under another name",
    ),
    Transition(
        code="UTK0125",
        field="spec.training",
        cel=f"!({_STARTED}) || (self.spec.training.seed == oldSelf.spec.training.seed && "
        "self.spec.training.precision == oldSelf.spec.training.precision && "
        f"{_same('spec.training.globalBatchTokens')})",
        holds=_unchanged(
            lambda job: (job.spec.training.seed, job.spec.training.precision, job.spec.training.global_batch_tokens)
        ),
        message="seed, precision and globalBatchTokens cannot change once the job has started",
        fix="submit a job under another name",
    ),
    Transition(
        code="UTK0125",
        field="spec.checkpoint.uri",
        cel=f"!({_STARTED}) || {_same('spec.checkpoint.uri')}",
        holds=_unchanged(lambda job: job.spec.checkpoint.uri),
        message="checkpoint.uri cannot change once the job has started",
        fix="submit a job under another name with resume.from set to a checkpoint of this one",
    ),
)


def broken(job: UltraThinkJob) -> list[Problem]:
    """The rules that a job breaks."""
    return [rule.problem() for rule in RULES if not rule.holds(part(job, rule.at))]


def broken_by_change(old: UltraThinkJob, new: UltraThinkJob) -> list[Problem]:
    """The rules that a change breaks."""
    return [rule.problem() for rule in TRANSITIONS if not rule.holds(old, new)]


def part(job: UltraThinkJob, path: str) -> Any:
    """The part of a job that a rule looks at."""
    node: Any = job
    for name in filter(None, path.split(".")):
        node = getattr(node, name)
    return node
