"""What the rules of a job answer to an attempt's end: go on, give up, go back; counted or not; nodes to avoid. Pure."""

import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, get_args

from ultrathink_api.causes import FREE_CAUSES, Cause
from ultrathink_api.errors import Problem
from ultrathink_api.log_patterns import found
from ultrathink_api.sections.restart import DEFAULT_RULES, FailureCause, RuleSpec
from ultrathink_api.status import AVOIDED, AvoidedStatus
from ultrathink_store.records import Epoch
from ultrathink_trainer.supervisor.verdict import COUNTS, ROLLBACK, Failure

ANSWERED = frozenset(get_args(FailureCause))
HANG_HOURS = 24.0
"""A rank that hangs again on its node: a day is what it takes a person to look at a machine."""
AVOID = "avoid"
"""Where END says which node to avoid."""


@dataclass(frozen=True)
class Ruling:
    """The rule that fits."""

    rule: RuleSpec
    name: str


def find(cause: Cause | None, exit_code: int | None, said: Iterable[str], rules: Sequence[RuleSpec]) -> Ruling | None:
    """The first rule that fits: the job's own, then those that stand behind every job's."""
    if cause is None or cause.value not in ANSWERED:
        return None
    words, code = [text for text in said if text], _as_shells_say(exit_code)
    named = [(rule, f"spec.restart.rules[{place}]") for place, rule in enumerate(rules)]
    for rule, name in (*named, *((rule, "spec.restart.rules") for rule in DEFAULT_RULES)):
        when = rule.when
        if (
            (when.exit_codes is None or code in when.exit_codes)
            and (when.cause is None or cause.value in when.cause)
            and (when.log is None or any(found(when.log, text) for text in words))
        ):
            return Ruling(rule, name)
    return None


def _as_shells_say(code: int | None) -> int | None:
    """What people know of a signal: 137, not -9."""
    return 128 - code if code is not None and code < 0 else code


def answer(
    cause: Cause | None, failure: Failure | None, said: Iterable[str], rules: Sequence[RuleSpec]
) -> tuple[Failure | None, Mapping[str, Any], float | None]:
    """What follows by the rules: the failure as it ends the job where one says so, END's detail, hours to avoid."""
    ruling = find(cause, failure.exit_code if failure else None, said, rules)
    if ruling is None or cause is None:
        return failure, {}, None
    rule, detail = ruling.rule, {}
    if rule.counts is not None and rule.counts is not (cause not in FREE_CAUSES):
        detail[COUNTS] = rule.counts
    if rule.do == "Rollback":
        detail[ROLLBACK] = True
    if rule.do == "Fail":
        failure = _final(failure or Failure(cause), ruling)
    return failure, detail, rule.avoid_node_hours


def _final(failure: Failure, ruling: Ruling) -> Failure:
    """What ends the job already keeps its own words."""
    if failure.problem is not None:
        return failure
    how = _exit(failure.exit_code)
    told = f"{failure.cause}{how}{f': {failure.message}' if failure.message else ''}"
    fix = "cure the cause, or change that rule"
    return replace(failure, problem=Problem("UTK0412", ruling.name, f"do: Fail answers {told}", fix))


def _exit(code: int | None) -> str:
    if code is None:
        return ""
    return f" ({signal.Signals(-code).name})" if code < 0 else f" (exit code {code})"


def avoidance(
    failure: Failure | None, host: str, hours: float | None, epochs: Sequence[Epoch]
) -> Mapping[str, Any] | None:
    """The node that pods are to be kept off: as a rule says, or because a rank hung there again."""
    if failure is None or failure.node is None:
        return None
    reason = str(failure.cause)
    if hours is None and failure.cause is Cause.HANG and failure.rank is not None:
        again = (Cause.HANG, failure.rank, failure.node)
        if any(e.end is not None and (e.end.cause, e.end.rank, e.end.node) == again for e in epochs):
            hours, reason = HANG_HOURS, f"rank {failure.rank} hung twice"
    return None if hours is None else {"node": host, "hours": hours, "reason": reason}


def avoided(epochs: Sequence[Epoch], now: str) -> tuple[AvoidedStatus, ...]:
    """Nodes to avoid now, by the ledger; of what was said of one node the newest."""
    newest: dict[str, AvoidedStatus] = {}
    for epoch in epochs:
        said = epoch.end.detail.get(AVOID) if epoch.end else None
        if epoch.end is None or not isinstance(said, dict) or not said.get("node"):
            continue
        until = datetime.fromisoformat(epoch.end.ended_at) + timedelta(hours=float(str(said["hours"])))
        one = AvoidedStatus(
            node=str(said["node"]),
            since=epoch.end.ended_at,
            until=until.isoformat(timespec="seconds").replace("+00:00", "Z"),
            reason=str(said.get("reason", "")),
        )
        newest.pop(one.node, None)
        if until > datetime.fromisoformat(now):
            newest[one.node] = one
    return tuple(newest.values())[-AVOIDED:]
