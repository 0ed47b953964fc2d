"""What the supervisor knows of the training, as `/v1/progress` and the summary tell it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ultrathink_api.protocol import OutcomeView, State
from ultrathink_api.status import (
    HISTORY,
    AttemptRecord,
    AttemptStatus,
    CheckpointStatus,
    GoodputStatus,
    ProgressStatus,
    RestartsStatus,
)
from ultrathink_store.records import Epoch, Outcome
from ultrathink_trainer.supervisor import attempt as attempts
from ultrathink_trainer.supervisor import events as ev
from ultrathink_trainer.supervisor import verdict
from ultrathink_trainer.supervisor.account import ratio
from ultrathink_trainer.supervisor.ladder import Ladder

MOST_STRAGGLERS = 3
"""In the status, which is bounded; each has its own warning."""
SMOOTHING = 0.1
"""Weight of the newest step in the mean that the time to the end is told from."""


@dataclass
class Training:
    """The newest of each record, and the mean length of a step."""

    of: int
    step: int = 0
    tokens: int = 0
    loss: float | None = None
    validation_loss: float | None = None
    tokens_per_second: float | None = None
    step_seconds: float | None = None
    checkpoint: dict[str, Any] | None = None
    committed_at: str | None = None
    seen_at: str | None = None
    stragglers: dict[int, str] = field(default_factory=dict)
    """Rank -> what is said of it while it is slow."""
    recoveries: dict[int, float] = field(default_factory=dict)
    """Attempt -> seconds from the fault before it to its first step."""

    def take(self, record: Mapping[str, Any], seconds: float | None, wall_clock: str) -> None:
        """One record of rank 0."""
        match record["event"]:
            case "step":
                self.step, self.tokens, self.loss = record["step"], record["tokens"], record["loss"]
                self.tokens_per_second = record.get("tokensPerSecond")
                self.seen_at = wall_clock
                if seconds is not None:
                    before = seconds if self.step_seconds is None else self.step_seconds
                    self.step_seconds = before + SMOOTHING * (seconds - before)
            case "eval":
                self.validation_loss = record["loss"]
            case "checkpoint":
                self.checkpoint, self.committed_at = dict(record), wall_clock

    def progress(self) -> ProgressStatus:
        eta = None if self.step_seconds is None else round((self.of - self.step) * self.step_seconds)
        return ProgressStatus(
            step=self.step,
            of=self.of,
            percent=f"{100 * self.step // self.of}%",
            tokens=self.tokens,
            loss=None if self.loss is None else f"{self.loss:.6g}",
            validation_loss=None if self.validation_loss is None else f"{self.validation_loss:.6g}",
            tokens_per_second=self.tokens_per_second,
            eta_seconds=eta,
            stragglers=tuple(said for _, said in sorted(self.stragglers.items())[:MOST_STRAGGLERS]),
            seen_at=self.seen_at,
        )

    def newest(self, verified: bool) -> CheckpointStatus | None:
        saved = self.checkpoint
        if saved is None:
            return None
        stall = saved.get("stallSeconds")
        return CheckpointStatus(
            step=saved["step"],
            uri=saved["uri"],
            verified=verified,
            committed_at=self.committed_at,
            stall_seconds=None if stall is None else f"{stall:.3g}",
        )


def restarts(epochs: Sequence[Epoch], recoveries: Mapping[int, float]) -> RestartsStatus:
    """The ledger as the job's status tells it."""
    ended = [epoch for epoch in epochs if epoch.end is not None and epoch.end.cause is not None]
    free = sum(1 for epoch in ended if epoch.end is not None and not verdict.counts(epoch.end))
    history = tuple(
        AttemptRecord(
            attempt=epoch.number,
            cause=epoch.end.cause,
            rank=epoch.end.rank,
            node=epoch.end.node,
            exit_code=epoch.end.exit_code,
            lost_steps=epoch.end.lost_steps,
            rung=epoch.end.rung,
            recovery_seconds=recoveries.get(epoch.number + 1),
        )
        for epoch in ended[-HISTORY:]
        if epoch.end is not None
    )
    return RestartsStatus(counted=len(ended) - free, free=free, history=history)


def attempt(epochs: Sequence[Epoch], cluster: int) -> AttemptStatus | None:
    """The last line of the ledger."""
    if not epochs:
        return None
    start = epochs[-1].start
    return AttemptStatus(number=start.epoch, cluster=cluster, started_at=start.created_at, cause=start.cause)


def goodput(seconds: Mapping[str, float]) -> GoodputStatus:
    return GoodputStatus(
        ratio=f"{ratio(seconds):.4f}", seconds={name: round(value, 3) for name, value in seconds.items()}
    )


def state(rungs: Ladder, *, stepping: bool) -> State:
    """The ladder's state in the words of `/v1`."""
    match rungs.state:
        case attempts.State.ENDED:
            return "ended"
        case attempts.State.STOPPED:
            return "stopped"
        case attempts.State.RUNNING if stepping:
            return "running"
        case _ if rungs.stop is not None:
            return "stopping"
    recovering = len(rungs.epochs) > 1 or rungs.state in (attempts.State.ENDING, attempts.State.CLOSING)
    return "recovering" if recovering or (rungs.epochs and rungs.epochs[-1].end is not None) else "starting"


def outcome_of(order: ev.Finish, step: int, attempts: int, ended_at: str) -> Outcome:
    """OUTCOME as it is to be written."""
    detail: dict[str, Any] = {"reason": order.reason}
    if order.problem is not None:
        detail |= {"code": order.problem.code, "field": order.problem.field, "fix": order.problem.fix}
    return Outcome(
        phase=order.phase,
        cause=order.cause,
        message=order.message,
        step=step,
        attempts=attempts,
        ended_at=ended_at,
        detail=detail,
    )


def ending(view: OutcomeView | None, step: int) -> dict[str, Any]:
    """How it ended, as the summary tells it."""
    if view is None:
        return {"step": step}
    facts: dict[str, Any] = {"reason": view.reason}
    if view.phase == "Failed":
        facts |= {"code": view.code, "field": view.field, "message": view.message, "fix": view.fix}
    return {**facts, "step": view.step}


def outcome_view(stored: Outcome) -> OutcomeView:
    """OUTCOME as `/v1` tells it."""
    detail = stored.detail

    def text(name: str) -> str | None:
        value = detail.get(name)
        return value if isinstance(value, str) else None

    return OutcomeView(
        phase=stored.phase,
        reason=text("reason") or str(stored.cause or "Completed"),
        message=stored.message,
        code=text("code"),
        field=text("field"),
        fix=text("fix"),
        step=stored.step,
        attempts=stored.attempts,
        ended_at=stored.ended_at,
    )
