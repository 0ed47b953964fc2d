"""utk delete: ends jobs and takes them off the cluster; their checkpoints stay."""

from typing import TYPE_CHECKING, Annotated

import typer

from utk import exits, output
from utk.asking import confirm
from utk.commands._cluster import Raw, connect, named, phase_of
from utk.console import clean, console
from utk.options import Context, DryRun, Kubeconfig, Name, Namespace, Output, Timeout, Yes, allow_dry_run, seconds

if TYPE_CHECKING:
    from ultrathink.cluster.connect import Cluster

WaitGone = Annotated[bool, typer.Option("--wait/--no-wait", help="Whether to wait until it is gone.")]


def main(
    name: Name,
    yes: Yes = False,
    wait: WaitGone = True,
    timeout: Timeout = "",
    dry_run: DryRun = "none",
    shape: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> int:
    """End a job and remove it; its checkpoints stay. Shapes (-o): text, json, yaml, name, jsonpath="""
    from ultrathink.cluster import jobs
    from ultrathink.reports import report

    output.allow(shape, "text", "json", "jsonl", "yaml", "name", output.JSONPATH)
    allow_dry_run(dry_run)
    limit = seconds(timeout)
    cluster = connect(namespace, context, kubeconfig)
    raw = named(cluster, name)
    metadata = raw["metadata"]
    found, uid = metadata["name"], metadata["uid"]
    if dry_run == "none":
        _confirm(raw, yes)
    if dry_run != "client":
        jobs.delete(cluster, found, dry_run=dry_run == "server", uid=uid)
    gone = dry_run == "none" and wait
    if gone and not _wait_gone(cluster, found, uid, limit):
        return exits.INTERRUPTED
    said = "deleted" if gone else "would be deleted" if dry_run != "none" else "is being deleted"
    output.show(
        shape,
        report("Deletion", name=found, namespace=metadata["namespace"], uid=uid, dryRun=dry_run, gone=gone),
        text=lambda: console.print(f"ultrathinkjob.ultrathink.io/{found} {said}; its checkpoints stay"),
        name=lambda: f"ultrathinkjob.ultrathink.io/{found}",
    )
    return exits.OK


def _confirm(raw: Raw, yes: bool) -> None:
    if yes:
        return
    name, namespace = clean(raw["metadata"]["name"]), clean(raw["metadata"]["namespace"])
    step = ((raw.get("status") or {}).get("checkpoint") or {}).get("step")
    kept = f"its checkpoints stay, the newest of step {step}" if step else "it has no checkpoint yet"
    confirm(
        f"{name} in {namespace} is {phase_of(raw)}. It will save, stop and be removed; {kept}.",
        "Delete it?",
        command="delete",
        doing=f"deleting {name}",
        again=f"utk delete {name} -n {namespace}",
    )


def _wait_gone(cluster: "Cluster", name: str, uid: str, limit: float | None) -> bool:
    from ultrathink.cluster import jobs

    try:
        jobs.wait_gone(cluster, name, uid, limit)
    except KeyboardInterrupt:
        console.complain(f"\nDetached; {name} is being deleted.  See: utk status {name}")
        return False
    return True
