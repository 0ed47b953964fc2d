"""Why an attempt failed, and whether another one may follow. Pure."""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from ultrathink_api.causes import FREE_CAUSES, USER_ERROR_EXIT_CODE, Cause
from ultrathink_api.errors import Problem
from ultrathink_store.records import CheckpointRef, End, Epoch
from ultrathink_trainer.runtime import stacks

TRANSIENT_CODES = frozenset({"UTK0305", "UTK0306", "UTK0308", "UTK0315", "UTK0316"})
"""Refusals of the store that another attempt may not meet again."""
_CAUSE_BY_RANGE = {"UTK02": Cause.DATA_ERROR, "UTK03": Cause.STORE_ERROR}
RESTARTED_AT = "restartedAt"
"""Where START says which restart it answers."""
COUNTS, ROLLBACK = "counts", "rollback"
"""What END's detail says by a rule of the job: spends the budget or not; goes back to a checkpoint."""


@dataclass(frozen=True)
class Failure:
    """What one rank said or did as it ended, or what became of its node."""

    cause: Cause
    primary: bool = True
    """False: it only noticed that another one was gone."""
    rank: int | None = None
    node: str | None = None
    exit_code: int | None = None
    message: str = ""
    rows: tuple[int, int] | None = None
    """Of a run that was not finite: the data to go around."""
    problem: Problem | None = None
    """Set: the job ends with it, no attempt follows."""


def is_answered(restarted_at: str | None, epochs: Sequence[Epoch]) -> bool:
    """By the ledger, so that a supervisor that hears of an old restart does not do it again."""
    return restarted_at is None or any(epoch.start.detail.get(RESTARTED_AT) == restarted_at for epoch in epochs)


def deposed(epoch: int) -> Problem:
    """Another supervisor took an epoch after ours: we were believed dead, and fighting would end the job."""
    message = f"attempt {epoch} was begun by another supervisor, which took over"
    return Problem("UTK0315", "", message, "nothing: the newer one goes on")


def of_exit(rank: int, node: str, code: int, said: dict[str, Any] | None, *, starved: bool = False) -> Failure:
    """A rank's end, from its exit status and the `failed` record that it may have left."""
    said = said or {}
    message = str(said.get("message", ""))
    raw = said.get("problem")
    if isinstance(raw, dict):
        problem = Problem(**{name: str(raw.get(name, "")) for name in ("code", "field", "message", "fix", "why")})
        cause = _CAUSE_BY_RANGE.get(problem.code[:5], Cause.USER_ERROR)
        final = problem.code not in TRANSIENT_CODES
        return Failure(cause, True, rank, node, code, problem.message, problem=problem if final else None)
    if code == USER_ERROR_EXIT_CODE:
        told = message or f"rank {rank} ended with exit code {code}"
        fix = "read the rank's last lines, and correct the job"
        return Failure(Cause.USER_ERROR, True, rank, node, code, told, problem=Problem("UTK0401", "", told, fix))
    if said.get("kind") == "peer":
        return Failure(Cause.RANK_LOST, False, rank, node, code, message)
    if said.get("kind") == "memory":
        return Failure(Cause.OUT_OF_MEMORY, True, rank, node, code, message)
    if said.get("kind") == "nonFinite":
        first, last = said["rows"]
        return Failure(Cause.NAN, True, rank, node, code, message, (int(first), int(last)))
    if code == -signal.SIGKILL and starved:
        told = f"the kernel killed rank {rank} for want of memory"
        return Failure(Cause.OUT_OF_MEMORY, True, rank, node, code, told)
    if code < 0 or not said:
        told = message or (
            f"rank {rank} was killed by signal {-code}" if code < 0 else f"rank {rank} ended with {code}"
        )
        return Failure(Cause.RANK_LOST, True, rank, node, code, told)
    return Failure(Cause.INTERNAL, True, rank, node, code, message)


def of_hang(failure: Failure, seen: Mapping[str, Mapping[str, str]]) -> Failure:
    """A hang, laid to the rank that the others wait for, where the stacks tell it."""
    rank = stacks.blame(seen)
    if rank is None:
        return failure
    node = seen[str(rank)]["node"]
    stands = "is stopped" if seen[str(rank)]["state"] in stacks.STOPPED else "is in no collective, all others are"
    return replace(failure, rank=rank, node=node, message=f"{failure.message}; rank {rank} on {node} {stands}")


def choose(failures: Sequence[Failure]) -> Failure:
    """The one that explains the others: what ends the job, then what was seen first of the primary ones."""
    assert failures, "an attempt fails for a reason"
    return min(failures, key=lambda f: (f.problem is None, not f.primary))


def skips(epochs: Sequence[Epoch]) -> list[list[int]]:
    """Rows that no attempt reads again, by the ledger."""
    rows = [epoch.end.detail.get("rows") for epoch in epochs if epoch.end and epoch.end.cause is Cause.NAN]
    return [[int(row) for row in pair] for pair in rows if isinstance(pair, list)]  # type: ignore[arg-type]


def micro_batch(epochs: Sequence[Epoch], *, rows: int, micro: int) -> int | None:
    """Sequences that a rank computes at once after so many attempts that were short of memory; None: no fewer go.

    What was short before the spec was changed says nothing of the plan that there is now.
    """
    changed = [i for i, epoch in enumerate(epochs, 1) if epoch.end and epoch.end.cause is Cause.SPEC_CHANGED]
    for epoch in epochs[changed[-1] if changed else 0 :]:
        if epoch.end is None or epoch.end.cause is not Cause.OUT_OF_MEMORY:
            continue
        smaller = [size for size in range(1, micro // 2 + 1) if rows % size == 0]
        if not smaller:
            return None
        micro = smaller[-1]
    return micro


def _seconds(epoch: Epoch) -> float:
    """How long an attempt took; what lies between two, a suspension say, is nobody's."""
    if epoch.end is None:
        return 0.0
    took = datetime.fromisoformat(epoch.end.ended_at) - datetime.fromisoformat(epoch.start.created_at)
    return max(0.0, took.total_seconds())


def carried(epochs: Sequence[Epoch], *, rows: int, micro: int) -> dict[str, Any]:
    """What the next attempt has to do otherwise than the plan says."""
    detail: dict[str, Any] = {}
    if found := skips(epochs):
        detail["skips"] = found
    now = micro_batch(epochs, rows=rows, micro=micro)
    if now is not None and now != micro:
        detail["microBatchSequences"] = now
    causes = [epoch.end.cause for epoch in epochs if epoch.end]
    if failures := sum(cause is not None and cause not in FREE_CAUSES for cause in causes):
        detail["failures"], detail["ranSeconds"] = failures, sum(map(_seconds, epochs))
    return detail


def hopeless(epochs: Sequence[Epoch], *, rows: int, micro: int, rollbacks: int) -> Problem | None:
    """Why the last failure would come again, whatever the budget says."""
    last = epochs[-1].end if epochs else None
    if last is None:
        return None
    if last.cause is Cause.OUT_OF_MEMORY and micro_batch(epochs, rows=rows, micro=micro) is None:
        fix = "give workers more memory, cut the model over more ranks, or shorten data.sequenceLength"
        return Problem("UTK0408", "spec.workers", f"out of memory with one sequence at a time: {last.message}", fix)
    gone_back = skips(epochs)
    if last.cause is Cause.NAN and len(gone_back) > rollbacks:
        told = ", ".join(f"{first}-{end - 1}" for first, end in gone_back)
        said = f"not finite again after {rollbacks} rollbacks: {last.message}; rows {told} were not to blame"
        return Problem("UTK0409", "spec.training", said, "lower optimizer.lr, lengthen warmupSteps, or set clipNorm")
    return None


@dataclass(frozen=True)
class Budget:
    """What of the restart budget is spent, read from the ledger."""

    counted: int
    free: int
    without_progress: int


def hours_before(moment: str, hours: int) -> str:
    """Times of records are compared as text: all are UTC, in one form."""
    then = datetime.fromisoformat(moment) - timedelta(hours=hours)
    return then.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def counts(end: End) -> bool:
    """Whether it spends the budget."""
    said = end.detail.get(COUNTS)
    return said if isinstance(said, bool) else end.cause is not None and end.cause not in FREE_CAUSES


def stays_free(end: End) -> bool:
    """Whether it is nobody's failure, so that any number of them may follow each other."""
    return end.cause in FREE_CAUSES and not counts(end)


def spent(epochs: Sequence[Epoch], newest: CheckpointRef | None, *, since: str = "") -> Budget:
    """Failures that ended after `since` and count, and those at the end since which no checkpoint was committed."""
    counted = free = without = 0
    for place, epoch in enumerate(epochs):
        after = epochs[place + 1].start.parent if place + 1 < len(epochs) else newest
        if after != epoch.start.parent:
            without = 0
        if epoch.end is None or epoch.end.cause is None:
            continue
        if counts(epoch.end):
            counted += epoch.end.ended_at >= since
        else:
            free += 1
        without += not stays_free(epoch.end)
    return Budget(counted, free, without)


def refusal(budget: Budget, *, most: int, most_without_progress: int, last: Failure) -> Problem | None:
    """Why no attempt may follow, or None."""
    why = f"the last one: {last.cause}{f', {last.message}' if last.message else ''}"
    if budget.without_progress >= most_without_progress:
        return Problem(
            "UTK0402",
            "spec.restart.budget.withoutProgress",
            f"{budget.without_progress} failures in a row without a new checkpoint; {why}",
            "cure the cause, or save more often with spec.checkpoint.every",
            why,
        )
    if budget.counted > most:
        return Problem(
            "UTK0403",
            "spec.restart.budget.max",
            f"{budget.counted} failures, {most} restarts allowed; {why}",
            "cure the cause, or raise spec.restart.budget.max",
            why,
        )
    return None
