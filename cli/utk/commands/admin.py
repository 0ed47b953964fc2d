"""utk admin: what is left to do by hand where an operator is gone."""

from typing import TYPE_CHECKING, Annotated

import typer

from ultrathink_api.errors import Problem, Refused
from utk import exits, output, problems
from utk.asking import confirm
from utk.commands._cluster import Raw, connect, named, phase_of
from utk.console import clean, console
from utk.options import Context, DryRun, Group, Kubeconfig, Name, Namespace, Output, Yes, allow_dry_run, command

if TYPE_CHECKING:
    from ultrathink.cluster.connect import Cluster

Force = Annotated[bool, typer.Option("--force", help="Though an operator is at work: one that lost its rights, say.")]

app = typer.Typer(cls=Group, help="Help where an operator is gone.", rich_markup_mode=None, no_args_is_help=True)


@app.command("unfinalize")
@command
def unfinalize(
    name: Name,
    yes: Yes = False,
    force: Force = False,
    dry_run: DryRun = "none",
    shape: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> int:
    """Let a deleted job go whose operator is gone; checkpoints stay. Shapes (-o): text, json, yaml, name, jsonpath=."""
    from ultrathink.cluster import jobs
    from ultrathink.reports import report

    output.allow(shape, "text", "json", "jsonl", "yaml", "name", output.JSONPATH)
    allow_dry_run(dry_run)
    cluster = connect(namespace, context, kubeconfig)
    raw = named(cluster, name)
    metadata = raw["metadata"]
    found, uid = metadata["name"], metadata["uid"]
    _refuse_held(raw)
    if not force:
        _refuse_looked_after(cluster, raw)
    if dry_run == "none":
        _confirm(raw, yes)
    if dry_run != "client":
        jobs.let_go(cluster, raw, dry_run=dry_run == "server")
    said = "let go" if dry_run == "none" else "would be let go"
    output.show(
        shape,
        report("Release", name=found, namespace=metadata["namespace"], uid=uid, dryRun=dry_run),
        text=lambda: console.print(f"ultrathinkjob.ultrathink.io/{found} {said}; its checkpoints stay"),
        name=lambda: f"ultrathinkjob.ultrathink.io/{found}",
    )
    return exits.OK


def _refuse_held(raw: Raw) -> None:
    """A job that lives, or waits for somebody else alone, is not ours to let go."""
    from ultrathink_api import names

    metadata = raw["metadata"]
    name, where = metadata["name"], metadata["namespace"]
    held = metadata.get("finalizers") or []
    if not metadata.get("deletionTimestamp"):
        fix = f"utk delete {name} -n {where} --no-wait first"
        raise Refused.of("UTK0515", field=name, message=f"{name} is {phase_of(raw)}: nobody deleted it", fix=fix)
    if names.FINALIZER not in held:
        fix = "ask whoever set it"
        raise Refused.of("UTK0515", field=name, message=f"{name} waits for others: {', '.join(held)}", fix=fix)


def _refuse_looked_after(cluster: "Cluster", raw: Raw) -> None:
    name, where = raw["metadata"]["name"], raw["metadata"]["namespace"]
    holder = _holder(cluster)
    if holder:
        raise Refused.of(
            "UTK0515",
            field=name,
            message=f"an operator looks after {where} (its Lease is {holder}): it lets {name} go when that has saved",
            fix=f"utk diagnose {name} -n {where} says what it waits for; --force where it has lost its rights there",
        )


def _holder(cluster: "Cluster") -> str:
    """Who is at work there; nobody, as far as the caller may see. What he may not see is said."""
    from ultrathink.cluster.preflight import State, operator

    for check in operator(cluster):
        if check.name == "lease" and check.state is State.OK:
            return check.message
        if check.state is State.WARN:
            unseen = f"whether an operator is at work could not be seen: {check.message}"
            problems.complain([Problem(check.code, cluster.namespace, unseen, fix=check.fix)], kind="warning")
    return ""


def _confirm(raw: Raw, yes: bool) -> None:
    if yes:
        return
    name, namespace = clean(raw["metadata"]["name"]), clean(raw["metadata"]["namespace"])
    confirm(
        f"Nobody will see to it that {name} in {namespace} saves: its pods are ended as they are. Checkpoints stay.",
        "Let it go?",
        command="admin unfinalize",
        doing=f"letting {name} go",
        again=f"utk admin unfinalize {name} -n {namespace}",
    )
