"""utk wait: for scripts; ends as soon as a job has come so far, or cannot any more."""

from typing import Annotated

import typer

from utk import exits, output
from utk.commands._cluster import Raw, connect, named, say_neglect, situation, told, view
from utk.console import console
from utk.options import Context, Kubeconfig, Name, Namespace, Output, Timeout, seconds


def main(
    name: Name,
    goal: Annotated[
        str, typer.Option("--for", metavar="Running|Succeeded|step=N|checkpoint", help="How far.")
    ] = "Succeeded",
    timeout: Timeout = "",
    shape: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> int:
    """Wait until a job has come so far. Shapes (-o): text, json, yaml, name, jsonpath=.

    Exits with 0 when it has, 5 if the job failed, 6 at the time-out, and with --timeout 0, which only looks, 8 if it
    has not yet. Ctrl-C ends the waiting, the job keeps running.
    """
    from ultrathink.cluster import waiting

    output.allow(shape, "text", "json", "jsonl", "yaml", "name", output.JSONPATH)
    wanted, limit = waiting.goal(goal), seconds(timeout)
    cluster = connect(namespace, context, kubeconfig)
    raw = named(cluster, name)
    verdict = wanted.verdict(raw)
    if verdict is waiting.Verdict.NOT_YET and limit != 0:
        say_neglect([raw])
        try:
            raw = told(cluster, raw, limit, lambda job: wanted.verdict(job) is not waiting.Verdict.NOT_YET)
        except KeyboardInterrupt:
            found, where = raw["metadata"]["name"], raw["metadata"]["namespace"]
            console.complain(f"\nNo longer waiting; the job keeps running.  See: utk status {found} -n {where}")
            return exits.INTERRUPTED
        verdict = wanted.verdict(raw)
    _show(raw, shape, str(wanted), reached=verdict is waiting.Verdict.REACHED)
    return {
        waiting.Verdict.REACHED: exits.OK,
        waiting.Verdict.FAILED: exits.JOB_FAILED,
        waiting.Verdict.NOT_YET: exits.NOT_FINISHED,
    }[verdict]


def _show(raw: Raw, shape: str, goal: str, *, reached: bool) -> None:
    from ultrathink.reports import report

    output.show(
        shape,
        report("Wait", goal=goal, reached=reached, **view(raw)),
        text=lambda: console.print(situation(raw)),
        name=lambda: f"ultrathinkjob.ultrathink.io/{raw['metadata']['name']}",
    )
