"""utk submit: a job onto a cluster, once however often it is said, and what becomes of it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from utk import exits, output, problems
from utk.arrangement import gist
from utk.commands._cluster import Raw, aimed, connect, exit_of, situation, told, view
from utk.console import clean, console
from utk.options import Context, DryRun, File, Kubeconfig, Namespace, Output, Set, Timeout, Wait, allow_dry_run, seconds

if TYPE_CHECKING:
    from ultrathink.cluster.connect import Cluster
    from ultrathink.cluster.jobs import Submitted


def main(
    file: File,
    sets: Set = (),
    name: Annotated[str, typer.Option("--name", help="The same as --set metadata.name=NAME.", show_default=False)] = "",
    wait: Wait = False,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Wait, and show the log.")] = False,
    timeout: Timeout = "",
    dry_run: DryRun = "none",
    shape: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> int:
    """Give a job to a cluster. Shapes (-o): text, json, yaml, name, jsonpath=.

    The same file again changes nothing; a changed one changes the job. Ctrl-C detaches, the job keeps running.
    """
    from ultrathink import Job

    output.allow(shape, "text", "json", "jsonl", "yaml", "name", output.JSONPATH)
    allow_dry_run(dry_run)
    limit = seconds(timeout)
    job = Job.from_file(file, [*sets, *([f"metadata.name={name}"] if name else [])])
    plan = job.plan(on_cluster=True)
    if shape == "text":
        console.done(f"{file} valid · {plan.nodes} workers = {gist(plan)}")
    if dry_run == "client":
        output.show(shape, _report(job.raw, "valid", "client"), lambda: None, lambda: _resource(job.raw))
        return exits.OK
    cluster = aimed(connect(namespace, context, kubeconfig), job, namespace)
    submitted = job.submit(cluster, dry_run=dry_run == "server")
    if shape == "text":
        _say(submitted)
    if submitted.dry_run:
        output.show(shape, _report(submitted.raw, submitted.action, "server"), lambda: None, lambda: _resource(job.raw))
        return exits.OK
    return _afterwards(cluster, submitted, shape, waits=wait or follow, follow=follow, limit=limit)


def _afterwards(
    cluster: "Cluster", submitted: "Submitted", shape: str, *, waits: bool, follow: bool, limit: float | None
) -> int:
    from ultrathink.cluster import jobs

    name = submitted.raw["metadata"]["name"]
    try:
        raw, problem = jobs.wait_noticed(cluster, submitted.raw)
        if problem:
            problems.complain([problem], kind="warning")
        if follow and shape == "text":
            from utk.commands.logs import follow as follow_log

            raw = follow_log(cluster, name, limit=limit)
        elif waits:
            raw = told(cluster, raw, limit, jobs.ended)
    except KeyboardInterrupt:
        console.complain(f"\nDetached; the job keeps running.  Reattach: utk logs -f {name} -n {cluster.namespace}")
        return exits.INTERRUPTED
    warnings = [problem.dump()] if problem and not jobs.noticed(raw) else []
    output.show(
        shape,
        _report(raw, submitted.action, "none", warnings),
        text=lambda: console.print(situation(raw)) if not follow else None,
        name=lambda: _resource(raw),
    )
    if shape == "text" and not waits:
        where = f" -n {cluster.namespace}"
        console.next(f"utk logs -f {name}{where}", f"utk status {name}{where}", f"utk delete {name}{where}")
    return exit_of(raw) if waits else exits.OK


def _say(submitted: "Submitted") -> None:
    metadata = submitted.raw["metadata"]
    dry = " (server dry run)" if submitted.dry_run else ""
    console.done(
        f"{clean(_resource(submitted.raw))} {submitted.action} in {clean(submitted.namespace)}{dry}"
        f"   (generation {metadata.get('generation', 1)})"
    )


def _resource(raw: Raw) -> str:
    return f"ultrathinkjob.ultrathink.io/{raw['metadata']['name']}"


def _report(raw: Raw, action: str, dry_run: str, warnings: Any = ()) -> Raw:
    from ultrathink.reports import report

    return report("Submission", action=action, dryRun=dry_run, **view(raw), warnings=list(warnings))
