"""Graceful deletion: stop, save, and once that is confirmed, or the grace is over, or nobody is left, let go."""

from ultrathink_api.protocol import StopView
from ultrathink_operator.actions import Action, Delete, Finding, Release, Said, Stop
from ultrathink_operator.observe import Observed
from ultrathink_operator.policies import completion, nodes
from ultrathink_operator.policies.admission import deletes_checkpoints, grace_seconds
from ultrathink_operator.policies.cluster import is_ours
from ultrathink_operator.policies.progress import answer

CONFIRM_MARGIN_S = 10.0
"""Beyond the checkpoint's grace: the way there and back."""
LOOK_AGAIN_S = 1.0
REASON = "Deleting"


def release(seen: Observed, now: float) -> Finding:
    """One step of the way out."""
    grace, deletes = grace_seconds(seen), deletes_checkpoints(seen)
    if completion.is_over(seen) or saved(seen, now, seen.job.meta.deleted_at or now, grace, deletes=deletes):
        sets = [s for s in seen.sets if is_ours(seen, s.meta.owner) and s.meta.deleted_at is None]
        gone: list[Action] = [Delete("StatefulSet", s.meta.name, s.meta.uid) for s in sets]
        return Finding(actions=(*gone, Release()))
    message = f"{'deleting the checkpoints' if deletes else 'saving a checkpoint'} before the cluster goes"
    said = answer(seen)
    order = Stop(0.0, delete_checkpoints=True) if deletes else Stop(float(grace))
    stop: tuple[Action, ...] = () if said and said.stop and _is_meant(said.stop, deletes) else (order,)
    lost = nodes.force(seen, now)
    return Finding(
        actions=(*stop, *lost.actions),
        conditions=(Said("Suspended", "False", REASON, message), Said("Progressing", "False", REASON, message)),
        wake_after=LOOK_AGAIN_S,
    )


def saved(seen: Observed, now: float, asked_at: float, grace: float, *, deletes: bool = False) -> bool:
    """Whether there is nothing left to wait for; an earlier stop that kept the checkpoints does not count as one that
    `deletes` them."""
    head, said = seen.head_of(seen.number), answer(seen)
    if head is None or head.phase != "Running" or head.waiting is not None:
        return True
    if said and said.outcome and not deletes:
        return True
    if said and said.stop and said.stop.confirmed and _is_meant(said.stop, deletes):
        return True
    return now >= asked_at + grace + CONFIRM_MARGIN_S


def _is_meant(stop: StopView, deletes: bool) -> bool:
    return stop.delete_checkpoints or not deletes
