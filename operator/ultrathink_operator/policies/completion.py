"""How a job ends, and what is left of it: the supervisor's outcome is copied, then its cluster is taken down."""

from typing import Any

from ultrathink_api import names
from ultrathink_api.protocol import OutcomeView
from ultrathink_api.status import TERMINAL, WorkersStatus
from ultrathink_operator.actions import Action, Finding, Release, Said
from ultrathink_operator.observe import Observed, seconds
from ultrathink_operator.policies import cluster, nodes
from ultrathink_operator.policies.deadline import EXCEEDED
from ultrathink_operator.policies.progress import answer, copied

KEEP_AFTER_SUCCESS_S = 10.0
"""So that whoever follows the head's log reads its last line; after that the pods cost and say nothing."""
KEEP_AFTER_FAILURE_S = 300.0
"""So that a person who is told at once can look at the pods."""
LOOK_AGAIN_S = 5.0
CANCELLED = "Cancelled"
STOPPED = "Stopped"
"""Reason of Running when the supervisor confirmed, before the job failed, that nothing trains any more."""


def is_over(seen: Observed) -> bool:
    return seen.job.status.phase in TERMINAL


def outcome(seen: Observed) -> OutcomeView | None:
    said = answer(seen)
    return said.outcome if said else None


def complete(seen: Observed, how: OutcomeView, now_text: str) -> Finding:
    """Copy the outcome. From here on the job needs no finalizer: what matters lies in the bucket."""
    words = [how.code or "", f"{how.field}:" if how.field else "", how.message, f"(fix: {how.fix})" if how.fix else ""]
    message = " ".join(w for w in words if w)[:2048] or "all steps are done"
    succeeded = how.phase == "Succeeded"
    conditions = (
        Said("Complete", "True", how.reason, message) if succeeded else Said("Failed", "True", how.reason, message),
        Said("Running", "False", how.reason, message),
        Said("Progressing", "False", how.reason, message),
        Said("Degraded", "False", how.reason),
    )
    fields: dict[str, Any] = {"ended_at": how.ended_at or now_text, "suspended_at": None}
    return Finding(conditions=conditions, status={**fields, **copied(answer(seen))})


def clean(seen: Observed, now: float) -> Finding:
    """After the end: let go of the job, keep the cluster for a short while, then take it down."""
    actions: list[Action] = [*let_go(seen)]
    left = (seconds(seen.job.status.ended_at) or 0.0) + _keep(seen) - now
    if not (seen.sets or seen.services or seen.pods):
        return Finding(actions=tuple(actions), status=released(seen))
    if left > 0:
        return Finding(actions=tuple(actions), wake_after=left)
    actions += [action for number in seen.numbers for action in cluster.dismantle(seen, number)]
    lost = nodes.force(seen, now)
    return Finding(actions=(*actions, *lost.actions), status=released(seen), wake_after=LOOK_AGAIN_S)


def let_go(seen: Observed) -> tuple[Action, ...]:
    """Nobody needs to be asked any more before the job is deleted."""
    return (Release(),) if names.FINALIZER in seen.job.finalizers else ()


def _keep(seen: Observed) -> float:
    """Nobody asks the supervisor any more: pods that may still begin to train are not kept."""
    status, running = seen.job.status, seen.job.status.condition("Running")
    stopped = running is not None and running.reason == STOPPED
    if status.reason in (CANCELLED, cluster.LOST) or (status.reason == EXCEEDED and not stopped):
        return 0.0
    if status.phase == "Succeeded":
        return KEEP_AFTER_SUCCESS_S
    minutes = seen.job.word("cleanup", "keepClusterOnFailureMinutes")
    return 60.0 * minutes if isinstance(minutes, int | float) else KEEP_AFTER_FAILURE_S


def released(seen: Observed) -> dict[str, WorkersStatus]:
    workers = seen.job.status.workers
    return {"workers": workers.model_copy(update={"ready": 0})} if workers and workers.ready else {}
