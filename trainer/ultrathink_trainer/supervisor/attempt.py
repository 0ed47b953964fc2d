"""One attempt as the ladder sees it: who takes part, what was heard of it, and how it ended. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum, auto
from typing import Any

from ultrathink_api.causes import Cause
from ultrathink_api.job import JobSpec
from ultrathink_api.sections.restart import RuleSpec
from ultrathink_store.records import End, Epoch, Start
from ultrathink_trainer.supervisor import rulings, verdict
from ultrathink_trainer.supervisor.verdict import Failure

NO_NODES = "avoiding its node has no effect here: there is no other"


class State(StrEnum):
    """Where the ladder stands."""

    OPENING = auto()
    GATHERING = auto()
    CLAIMING = auto()
    RUNNING = auto()
    ENDING = auto()
    CLOSING = auto()
    STOPPED = auto()
    ENDED = auto()


@dataclass(frozen=True)
class Member:
    """A node that is represented: its Ray Train worker and its agent."""

    node: str
    worker: str
    agent: str
    ready: bool
    host: str = ""
    """The Kubernetes node below it, where there is one."""


@dataclass
class Attempt:
    """The attempt under way, from the first fork to the last reaped rank."""

    start: Start
    members: dict[str, Member]
    idle: set[str] = field(default_factory=set)
    said: dict[int, dict[str, object]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    reason: Cause | None = None
    """Why it was told to stop, if it was."""
    completed: bool = False
    stood: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    """Node -> rank -> where it stood, once asked."""
    broken: bool = False
    """Its workers are not all there any more: nothing more will be heard of it in time."""
    last_step: int | None = None
    saved_step: int = 0
    kill_at: float | None = None
    close_at: float | None = None

    @property
    def needs_workers(self) -> bool:
        """Whether a node has to come back before the next attempt."""
        gone = self.reason in (Cause.DRAINED, Cause.PREEMPTED)
        return gone or self.broken or any(f.cause is Cause.WORKER_LOST for f in self.failures)

    @property
    def base(self) -> int:
        """The step that the next attempt starts from, as far as this one knows."""
        parent = self.start.parent
        return max(self.saved_step, parent.step if parent else 0)

    @property
    def stacks(self) -> dict[str, dict[str, str]]:
        """Of all ranks that were asked, with their node."""
        return {
            rank: {"node": node, **seen} for node, ranks in sorted(self.stood.items()) for rank, seen in ranks.items()
        }

    def end(self, ended_at: str, epochs: Sequence[Epoch], limits: "Limits") -> tuple[Failure | None, End]:
        """What explains its end, and its last line in the ledger, which holds `epochs` so far."""
        if self.completed:
            self.failures.clear()
        elif not self.failures and self.last_step is None and self.reason is None:
            self.failures.append(Failure(Cause.INTERNAL, message="the ranks ended before their first step"))
        failure = verdict.choose(self.failures) if self.failures else None
        if failure is not None and failure.cause is Cause.HANG:
            failure = verdict.of_hang(failure, self.stacks)
        # Ranks that stopped without being told got the signal from outside: their node is going away.
        cause = None if self.completed else failure.cause if failure else self.reason or Cause.DRAINED
        said = [f.message for f in self.failures]
        failure, detail, hours = rulings.answer(cause, failure, said, limits.rules)
        if failure is not None:
            failure, detail = self._blamed(failure, detail, hours, epochs)
        again = "workers" if self.needs_workers or not limits.in_place else "ranks"
        end = End(
            cause=cause,
            rank=failure.rank if failure else None,
            node=failure.node if failure else None,
            exit_code=failure.exit_code if failure else None,
            rung=None if cause is None else again,
            last_step=self.last_step,
            lost_steps=max(0, (self.last_step or 0) - self.base) if cause else 0,
            message=failure.message if failure else "",
            detail=dict(detail),
            ended_at=ended_at,
        )
        return failure, end

    def _blamed(
        self, failure: Failure, detail: Mapping[str, Any], hours: float | None, epochs: Sequence[Epoch]
    ) -> tuple[Failure, dict[str, Any]]:
        """What END says for whoever goes on: the data to go around, the node to place nothing on."""
        told = dict(detail)
        if failure.rows is not None and told.pop(verdict.ROLLBACK, False):
            told["rows"] = list(failure.rows)
        host = self.members[failure.node].host if failure.node in self.members else ""
        avoid = rulings.avoidance(failure, host, hours, epochs)
        if avoid is not None and host:
            told[rulings.AVOID] = dict(avoid)
        elif avoid is not None:
            failure = replace(failure, message=f"{failure.message}; {NO_NODES}".removeprefix("; "))
        return failure, told


@dataclass(frozen=True)
class Limits:
    """What the spec allows."""

    most: int
    most_without_progress: int
    grace: float
    dump: bool = True
    """Whether a hang waits for the stacks of all ranks."""

    rollbacks: int = 2
    window_hours: int = 24
    rules: tuple[RuleSpec, ...] = ()
    in_place: bool = True
    """Whether the ladder has the rung `ranks`."""

    @classmethod
    def of(cls, spec: JobSpec) -> "Limits":
        budget, grace = spec.restart.budget, float(spec.checkpoint.grace_seconds)
        dump = spec.health.on_hang == "DumpThenRestart"
        rules, in_place = spec.restart.rules, "ranks" in spec.restart.ladder
        often = (budget.max, budget.without_progress)
        return cls(*often, grace, dump, spec.health.rollbacks, budget.window_hours, rules, in_place)
