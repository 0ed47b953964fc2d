"""(spec, Observed, now) -> Decision: what is to be done for one job, and what its status should say. Pure and total."""

from collections.abc import Sequence
from dataclasses import dataclass

from ultrathink_api import names
from ultrathink_api.status import JobStatus
from ultrathink_operator.actions import Action, Finding, Hold, Said
from ultrathink_operator.observe import Observed
from ultrathink_operator.policies import (
    admission,
    avoid,
    change,
    cluster,
    completion,
    deletion,
    gang,
    nodes,
    placement,
    progress,
    suspend,
    writing,
)

DRIFT_CHECK_S = 60.0
"""A live job is looked at again this often even if nothing was heard: a missed event costs only time."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, what to write, and when to look again if nothing happens before."""

    actions: tuple[Action, ...] = ()
    status: JobStatus | None = None
    """The status to write at the end of the pass; None when it says what is stored, or when a write can wait."""
    wake_after: float | None = None


def decide(seen: Observed, now: float) -> Decision:
    """The whole operator, as one function: reads like the state diagram."""
    if not seen.synced:
        return _settle(seen, now, [_troubled(seen)] if seen.troubles else [])
    if seen.job.meta.deleted_at is not None:
        if names.FINALIZER not in seen.job.finalizers:
            return Decision()
        return _settle(seen, now, [deletion.release(seen, now)])
    if completion.is_over(seen):
        return _settle(seen, now, [completion.clean(seen, now)])
    return _settle(seen, now, [*_live(seen, now), _troubled(seen)])


def _live(seen: Observed, now: float) -> list[Finding]:
    admitted, found = admission.admit(seen)
    findings = [found]
    how = completion.outcome(seen)
    if how is not None:
        return [*findings, placement.report(seen, now), completion.complete(seen, how, writing.timestamp(now))]
    resting = suspend.follow(seen, now)
    if resting is not None:
        return [*findings, resting]
    if seen.number == 0:
        return [*findings, _begin(seen, now)] if admitted else findings
    kept = cluster.keep(seen, admitted, now)
    findings += [_held(seen), cluster.clear_older(seen), kept]
    if {"cluster", "ended_at"} & kept.status.keys():
        return findings
    if not cluster.is_creating(seen) or cluster.is_made(seen):
        findings += [
            *_placed(seen, now),
            progress.report(seen, admitted, now),
            nodes.force(seen, now),
            avoid.report(seen, now),
            change.follow(seen, admitted, now),
        ]
    return [*findings, Finding(wake_after=DRIFT_CHECK_S)]


def _begin(seen: Observed, now: float) -> Finding:
    first = cluster.intend(seen, now)
    return Finding(first.actions, first.conditions, {**first.status, "started_at": writing.timestamp(now)})


def _placed(seen: Observed, now: float) -> list[Finding]:
    given_back = gang.follow(seen, now)
    return [placement.report(seen, now), gang.due_in(seen, now)] if given_back is None else [given_back]


def _held(seen: Observed) -> Finding:
    return Finding(actions=() if names.FINALIZER in seen.job.finalizers else (Hold(),))


def _troubled(seen: Observed) -> Finding:
    """What the API server would not do for us, in the job's own status."""
    return Finding(conditions=tuple(Said("Admitted", "False", t.reason, t.message) for t in seen.troubles))


def _settle(seen: Observed, now: float, findings: Sequence[Finding]) -> Decision:
    """Put together what the policies found; of two words about one thing the later counts."""
    actions: list[Action] = []
    for finding in findings:
        actions += [action for action in finding.actions if action not in actions]
    said = [condition for finding in findings for condition in finding.conditions]
    fields = {name: value for finding in findings for name, value in finding.status.items()}
    wakes = [finding.wake_after for finding in findings if finding.wake_after is not None]
    status = writing.compose(seen, said, fields, now)
    due = writing.due_in(seen, status, now) if findings else None
    if due is not None and due > 0:
        wakes.append(due)
    return Decision(tuple(actions), status if due == 0 else None, min(wakes, default=None))
