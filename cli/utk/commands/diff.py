"""utk diff: what a submission would change, and how each change would take effect."""

from typing import TYPE_CHECKING, Any

from utk import exits, output, problems
from utk.commands._cluster import aimed, connect
from utk.console import clean, console
from utk.options import Context, File, Kubeconfig, Namespace, Output, Set, follow_ups

if TYPE_CHECKING:
    from ultrathink.cluster.difference import Difference

EFFECTS = {
    "inPlace": "in place",
    "restart": "checkpoint, then one restart of the ranks",
    "newCluster": "checkpoint, then a new cluster",
    "immutable": "cannot change once the job has started",
}
BEFORE_START = "when the job starts"
NONE = "-"


def main(
    file: File,
    sets: Set = (),
    shape: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> int:
    """Show what submitting a file would change. Shapes (-o): text, json, yaml, jsonpath=.

    Exits as kubectl diff does: 0 if nothing would change, 1 if something would (or the command failed, which it says);
    7 if the cluster would refuse it.
    """
    from ultrathink import Job
    from ultrathink.cluster.difference import difference
    from ultrathink.reports import problem_list, report

    output.allow(shape, "text", "json", "jsonl", "yaml", output.JSONPATH)
    job = Job.from_file(file, sets)
    job.plan()
    cluster = aimed(connect(namespace, context, kubeconfig), job, namespace)
    found = difference(cluster, job.raw)
    said = report(
        "Diff",
        name=job.name,
        namespace=cluster.namespace,
        exists=found.exists,
        started=found.started,
        changes=[change.dump() for change in found.changes],
        errors=problem_list(found.refused),
    )
    output.show(shape, said, text=lambda: _table(found))
    if shape == "text":
        _say(found, file, job.name, cluster.namespace)
    return exits.INVALID if found.refused else exits.FAILED if found.changes else exits.OK


def _table(found: "Difference") -> None:
    if not found.changes:
        return
    rows = [["FIELD", "LIVE", "NEW", *(["TAKES EFFECT"] if found.exists else [])]]
    for change in found.changes:
        effect = EFFECTS.get(change.effect or "", NONE) if found.started else BEFORE_START
        row = [clean(change.field), _value(change.live), _value(change.new)]
        rows.append([*row, *([effect] if found.exists else [])])
    console.table(rows)


def _say(found: "Difference", file: str, name: str, namespace: str) -> None:
    if found.refused:
        problems.complain(found.refused)
    elif not found.changes:
        console.say(f"{name} in {namespace} is as the file says")
    else:
        if not found.exists:
            console.say(f"There is no job {name} in {namespace} yet")
        console.next(*follow_ups(file, "submit"))


def _value(value: Any) -> str:
    return NONE if value is None else clean(value if isinstance(value, str) else output.to_json(value, indent=None))
