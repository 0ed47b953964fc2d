"""Nodes that a job's pods are kept off: named by its supervisor, written down, given up when no other node fits."""

from ultrathink_api import names
from ultrathink_api.status import AVOIDED, AvoidedStatus
from ultrathink_operator.actions import Finding, Move
from ultrathink_operator.observe import Observed, PodView, seconds
from ultrathink_operator.policies.progress import answer
from ultrathink_operator.policies.writing import timestamp

GIVE_UP_S = 240.0
"""A pod that finds no node for so long would rather have the bad one, before its whole gang is given back."""
GIVEN_UP = "; given up, no other node fits"


def nodes(seen: Observed, now: float) -> tuple[str, ...]:
    """The nodes to avoid now, in an order that does not waver."""
    return tuple(sorted({one.node for one in _known(seen, now) if _until(one) > now}))


def of_set(seen: Observed, role: str, number: int, now: float) -> tuple[str, ...]:
    """What pods of a role are kept off: a head that trains nothing wears no GPU out."""
    return nodes(seen, now) if role == _trains(seen, number) else ()


def report(seen: Observed, now: float) -> Finding:
    """Write down what is avoided, and move the pods that are where they should not be, once the set knows."""
    known = _known(seen, now)
    due = [_until(one) - now for one in known if _until(one) > now]
    due += [p.meta.created_at + GIVE_UP_S - now for p in _kept_waiting(seen) if p.meta.created_at + GIVE_UP_S > now]
    return Finding(
        actions=tuple(Move(pod.meta.name, pod.meta.uid) for pod in _misplaced(seen, now)),
        status={"avoided": known} if known != seen.job.status.avoided else {},
        wake_after=min(due, default=None),
    )


def _known(seen: Observed, now: float) -> tuple[AvoidedStatus, ...]:
    """What is stored, and what the supervisor says that is not: so that what was given up stays given up."""
    said = answer(seen)
    known = {(one.node, one.since): one for one in (*(said.avoid if said else ()), *seen.job.status.avoided)}
    if seen.released or any(now - pod.meta.created_at >= GIVE_UP_S for pod in _kept_waiting(seen)):
        known = {key: _given_up(one, now) for key, one in known.items()}
    return tuple(sorted(known.values(), key=lambda one: (one.since, one.node)))[-AVOIDED:]


def _given_up(one: AvoidedStatus, now: float) -> AvoidedStatus:
    if _until(one) <= now:
        return one
    return one.model_copy(update={"until": timestamp(now), "reason": one.reason + GIVEN_UP})


def _until(one: AvoidedStatus) -> float:
    return seconds(one.until) or 0.0


def _trains(seen: Observed, number: int) -> str:
    head = seen.set_of(number, names.HEAD)
    return names.WORKER if head is not None and head.workers else names.HEAD


def _pods(seen: Observed) -> list[PodView]:
    role = _trains(seen, seen.number)
    return [p for p in seen.pods_of(seen.number) if p.meta.role == role and p.meta.deleted_at is None]


def _kept_waiting(seen: Observed) -> list[PodView]:
    """Pods that avoid nodes and find none."""
    return [pod for pod in _pods(seen) if pod.unscheduled is not None and pod.avoided]


def _misplaced(seen: Observed, now: float) -> list[PodView]:
    """Pods on a node to avoid, and pods that wait because of one that need not be avoided any more."""
    wanted, one = nodes(seen, now), seen.set_of(seen.number, _trains(seen, seen.number))
    if one is None or one.avoided != wanted:
        return []
    return [p for p in _pods(seen) if p.node in wanted or (p.unscheduled and not set(p.avoided) <= set(wanted))]
