"""What stop, resume, restart and cancel share: one field of the spec is changed, and its effect waited for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ultrathink_api.errors import Problem, Refused
from utk import exits, output, problems
from utk.asking import confirm
from utk.commands._cluster import Raw, connect, exit_of, named, phase_of, situation, told, view
from utk.console import clean, console
from utk.options import allow_dry_run, seconds


@dataclass(frozen=True, slots=True)
class Change:
    """A field, its value, and when the change has taken effect."""

    verb: str
    field: str
    value: Any
    said: str
    """What has happened to the job as soon as the field is changed."""
    reached: Callable[[Raw, Raw], bool]
    """Whether the job as it is (the second) has come from what it was (the first) to where it is to be."""
    warning: str = ""
    """What cannot be undone; asked about first."""


@dataclass(frozen=True, slots=True)
class Where:
    """Whose job, and how to do it."""

    namespace: str
    context: str
    kubeconfig: str
    dry_run: str
    wait: bool
    timeout: str
    shape: str
    yes: bool = True


def apply(name: str, change: Change, where: Where) -> int:
    """Change the field, say so, and wait if that was asked for; the exit code."""
    from ultrathink.cluster import jobs

    output.allow(where.shape, "text", "json", "jsonl", "yaml", "name", output.JSONPATH)
    allow_dry_run(where.dry_run)
    limit = seconds(where.timeout)
    cluster = connect(where.namespace, where.context, where.kubeconfig)
    before = named(cluster, name)
    _refuse_ended(before, change)
    dry = where.dry_run != "none"
    if not dry and not where.yes:
        _confirm(before, change)
    after = (
        before if where.dry_run == "client" else jobs.change(cluster, before, change.field, change.value, dry_run=dry)
    )
    if where.shape == "text":
        _say(after, change, dry)
    if dry or not where.wait:
        _show(after, change, where)
        return exits.OK
    try:
        after = told(
            cluster, before, limit, lambda now: change.reached(before, now) or jobs.ended(now), unanswered=_warn
        )
    except KeyboardInterrupt:
        console.complain(f"\nDetached; it goes on without us.  See: utk status {before['metadata']['name']}")
        return exits.INTERRUPTED
    _show(after, change, where)
    return exits.OK if change.reached(before, after) else exit_of(after)


def _refuse_ended(raw: Raw, change: Change) -> None:
    from ultrathink.cluster import jobs

    name = raw["metadata"]["name"]
    if jobs.ended(raw):
        raise Refused.of(
            "UTK0514",
            field=name,
            message=f"{name} is {phase_of(raw)}: it cannot be told to {change.verb}",
            fix="submit a job under another name with resume.from set to a checkpoint of this one",
        )


def _confirm(raw: Raw, change: Change) -> None:
    name, namespace = clean(raw["metadata"]["name"]), clean(raw["metadata"]["namespace"])
    confirm(
        f"{name} in {namespace} is {phase_of(raw)}. {change.warning}",
        f"{change.verb.capitalize()} it?",
        command=change.verb,
        doing=f"to {change.verb} {name}",
        again=f"utk {change.verb} {name} -n {namespace}",
    )


def _warn(problem: Problem) -> None:
    problems.complain([problem], kind="warning")


def _say(raw: Raw, change: Change, dry: bool) -> None:
    name, would = clean(raw["metadata"]["name"]), "would be " if dry else ""
    console.done(f"ultrathinkjob.ultrathink.io/{name} {would}{change.said}")


def _show(raw: Raw, change: Change, where: Where) -> None:
    from ultrathink.reports import report

    name, namespace = raw["metadata"]["name"], raw["metadata"]["namespace"]
    output.show(
        where.shape,
        report("Change", field=f"spec.{change.field}", value=change.value, dryRun=where.dry_run, **view(raw)),
        text=lambda: console.print(situation(raw)),
        name=lambda: f"ultrathinkjob.ultrathink.io/{name}",
    )
    if where.shape == "text" and where.dry_run == "none":
        console.next(f"utk status {name} -n {namespace}")


def phase_in(*phases: str) -> Callable[[Raw, Raw], bool]:
    """Reached as soon as the operator has seen the change and says one of these phases."""

    def reached(before: Raw, raw: Raw) -> bool:
        return seen(raw) and (raw.get("status") or {}).get("phase") in phases

    return reached


def seen(raw: Raw) -> bool:
    """Whether the status speaks of the spec as it is."""
    from ultrathink.cluster import jobs

    return jobs.up_to_date(raw)
