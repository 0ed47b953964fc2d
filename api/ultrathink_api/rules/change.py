"""Rules about a change: what a job that has started may no longer do."""

from collections.abc import Callable
from typing import Any

from ultrathink_api.job import UltraThinkJob
from ultrathink_api.rules.statement import Transition


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
        "self.spec.training.optimizer.name == oldSelf.spec.training.optimizer.name && "
        f"{_same('spec.training.globalBatchTokens')})",
        holds=_unchanged(
            lambda job: (
                job.spec.training.seed,
                job.spec.training.precision,
                job.spec.training.optimizer.name,
                job.spec.training.global_batch_tokens,
            )
        ),
        message="seed, precision, optimizer.name and globalBatchTokens cannot change once the job has started",
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
    Transition(
        code="UTK0130",
        field="spec.cancel",
        cel="!(has(oldSelf.spec.cancel) && oldSelf.spec.cancel) || (has(self.spec.cancel) && self.spec.cancel)",
        holds=lambda old, new: not old.spec.cancel or new.spec.cancel,
        message="a cancelled job stays cancelled",
        fix="submit a job under another name with resume.from set to a checkpoint of this one",
    ),
)
