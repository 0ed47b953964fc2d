"""Two-phase suspension, and its end without return: save, then give back; going on later means another cluster."""

from typing import Literal

from ultrathink_api.status import ConditionType
from ultrathink_operator.actions import Action, Finding, Said, Stop
from ultrathink_operator.observe import Observed, Words, seconds
from ultrathink_operator.policies import cluster, completion, deadline, deletion, nodes
from ultrathink_operator.policies.admission import grace_seconds
from ultrathink_operator.policies.progress import answer, copied
from ultrathink_operator.policies.writing import timestamp

SUSPENDING, CANCELLING, SUSPENDED, RESUMED = "Suspending", "Cancelling", "Suspended", "Resumed"
STOPPED: tuple[ConditionType, ...] = ("Running", "Progressing")
LOOK_AGAIN_S = 1.0
CHECK_S = 60.0


def follow(seen: Observed, now: float) -> Finding | None:
    """One step towards or back from rest; None for a job that is to live, and does."""
    ends, suspended = _ends(seen, now), seen.job.word("suspend") is True
    since = seconds(seen.job.status.suspended_at)
    if ends is None and not suspended and since is None:
        return None
    began = now if since is None else since
    if not deletion.saved(seen, now, began, grace_seconds(seen)):
        reason = SUSPENDING if ends is None else CANCELLING if ends.reason == completion.CANCELLED else ends.reason
        return _saving(seen, now, began, reason)
    if ends is not None:
        return _end(seen, now, ends)
    return _rest(seen, now, began) if suspended else _resume(seen, now)


def _ends(seen: Observed, now: float) -> Words | None:
    """Why the job is to end without being done: its owner's word, or a deadline, which a suspended job has none of."""
    if seen.job.word("cancel") is True:
        return Words(completion.CANCELLED, "cancelled by its owner")
    resting = seen.job.status.condition("Suspended")
    if seen.number == 0 or seen.job.word("suspend") is True or (resting is not None and resting.status == "True"):
        return None
    over = deadline.nearest(seen, now)
    return Words(deadline.EXCEEDED, over.message) if over is not None and now >= over.at else None


def _saving(seen: Observed, now: float, began: float, reason: str) -> Finding:
    """The first phase, written down before the supervisor hears of it, so that whoever comes next knows of the stop.
    Once begun it is ended: a supervisor that was told to stop trains no more."""
    said, stored = answer(seen), seen.job.status.suspended_at is not None
    stop: tuple[Action, ...] = (Stop(float(grace_seconds(seen))),) if stored and not (said and said.stop) else ()
    return Finding(
        actions=(*stop, *nodes.force(seen, now).actions),
        conditions=_at_rest("False", reason, "saving a checkpoint before the pods go"),
        status={**copied(said), "suspended_at": timestamp(began)},
        wake_after=LOOK_AGAIN_S if stored else 0.0,
    )


def _rest(seen: Observed, now: float, began: float) -> Finding:
    """The second phase: everything goes, and only then the job is suspended. What the save has made is written down
    before the pods go, which alone can tell it."""
    said = answer(seen)
    known = said is None or said.checkpoint is None or said.checkpoint == seen.job.status.checkpoint
    going = [action for number in seen.numbers if known for action in cluster.dismantle(seen, number)]
    status = {**copied(said), "suspended_at": timestamp(began), **completion.released(seen)}
    if seen.sets or seen.services or seen.pods:
        return Finding(
            actions=(*going, *nodes.force(seen, now).actions),
            conditions=_at_rest("False", SUSPENDING, f"{_kept(seen)}; the pods are going"),
            status=status,
            wake_after=LOOK_AGAIN_S if known else 0.0,
        )
    message = f"{_kept(seen)}; to go on: utk resume {seen.job.meta.name}"
    return Finding(
        actions=completion.let_go(seen),
        conditions=_at_rest("True", SUSPENDED, message),
        status=status,
        wake_after=CHECK_S,
    )


def _resume(seen: Observed, now: float) -> Finding:
    """On a new cluster; what is left of the old one is cleared away as every lower number is."""
    back = Said("Suspended", "False", RESUMED)
    if seen.number == 0:
        return Finding(conditions=(back,), status={"suspended_at": None}, wake_after=0.0)
    message = f"cluster {seen.number + 1} is being made to go on"
    next_one = cluster.intend(seen, now, RESUMED, message, anew=True)
    return Finding(
        actions=next_one.actions,
        conditions=(*next_one.conditions, back),
        status={**next_one.status, "suspended_at": None},
    )


def _end(seen: Observed, now: float, why: Words) -> Finding:
    message, said = f"{why.message}; {_kept(seen)}", answer(seen)
    confirmed = said is not None and said.stop is not None and said.stop.confirmed
    stopped = (Said("Running", "False", completion.STOPPED, message),) if confirmed else ()
    return Finding(
        actions=completion.let_go(seen),
        conditions=(
            Said("Failed", "True", why.reason, message),
            *_at_rest("False", why.reason, message),
            *stopped,
        ),
        status={**copied(said), "ended_at": timestamp(now), "suspended_at": None},
    )


def _at_rest(status: Literal["True", "False"], reason: str, message: str) -> tuple[Said, ...]:
    return (
        Said("Suspended", status, reason, message),
        *(Said(kind, "False", reason, message) for kind in STOPPED),
        Said("Degraded", "False", reason),
        *((Said("Scheduled", "False", reason),) if reason == SUSPENDED else ()),
    )


def _kept(seen: Observed) -> str:
    said, stored = answer(seen), seen.job.status.checkpoint
    step = said.stop.step if said and said.stop and said.stop.confirmed else None
    newest = step if step is not None else stored.step if stored else None
    return "there is no checkpoint yet" if newest is None else f"the newest checkpoint is that of step {newest}"
