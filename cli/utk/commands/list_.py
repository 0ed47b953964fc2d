"""utk list: the jobs of a namespace, a line each."""

from typing import Annotated, Any

import typer

from utk import output
from utk.commands._cluster import Raw, age, connect, phase_of, say_neglect, view, warnings_of
from utk.console import clean, console
from utk.events import duration, rate
from utk.options import AllNamespaces, Context, Kubeconfig, Namespace, Output


def main(
    selector: Annotated[
        str, typer.Option("-l", "--selector", metavar="LABELS", help="Label selector.", show_default=False)
    ] = "",
    phase: Annotated[
        str, typer.Option("--phase", metavar="PHASE", help="Only jobs in this phase.", show_default=False)
    ] = "",
    shape: Output = "text",
    namespace: Namespace = "",
    everywhere: AllNamespaces = False,
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """List jobs. Shapes (-o): text, wide, json, yaml, name, jsonpath=."""
    from ultrathink.cluster import jobs
    from ultrathink.reports import report

    output.allow(shape, "text", "wide", "json", "jsonl", "yaml", "name", output.JSONPATH)
    cluster = connect(namespace, context, kubeconfig)
    items = jobs.all_of(cluster, selector=selector, everywhere=everywhere)
    if phase:
        items = [item for item in items if phase_of(item).lower() == phase.lower()]
    output.show(
        shape,
        report("JobList", items=[view(item) for item in items], warnings=warnings_of(items)),
        text=lambda: _table(items, cluster.namespace, wide=shape == "wide", everywhere=everywhere),
        name=lambda: "\n".join(f"ultrathinkjob.ultrathink.io/{item['metadata']['name']}" for item in items),
    )
    if shape in {"text", "wide"}:
        say_neglect(items)


def _table(items: list[Raw], namespace: str, *, wide: bool, everywhere: bool) -> None:
    if not items:
        console.say("No jobs anywhere" if everywhere else f"No jobs in namespace {namespace}")
        return
    rows = [_row(item, wide=wide, everywhere=everywhere) for item in items]
    # A column that no job has anything for is left out: nothing is not zero.
    columns = [name for name in rows[0] if name in ALWAYS or any(row[name] for row in rows)]
    console.table([columns, *([row[name] for name in columns] for row in rows)])


ALWAYS = frozenset({"NAMESPACE", "NAME", "PHASE", "AGE"})


def _row(raw: Raw, *, wide: bool, everywhere: bool) -> dict[str, str]:
    metadata, status = raw["metadata"], raw.get("status") or {}
    progress, workers, restarts = (status.get(key) or {} for key in ("progress", "workers", "restarts"))
    eta = progress.get("etaSeconds")
    row = {"NAMESPACE": metadata["namespace"]} if everywhere else {}
    row |= {
        "NAME": metadata["name"],
        "PHASE": phase_of(raw),
        "REASON": status.get("reason"),
        "STEP": f"{progress.get('step')}/{progress.get('of')}" if progress else None,
        "PROGRESS": progress.get("percent"),
        "ETA": duration(eta) if isinstance(eta, int | float) else None,
        "LOSS": progress.get("loss"),
        "WORKERS": f"{workers.get('ready', 0)}/{workers.get('desired', 0)}" if workers else None,
        "RESTARTS": restarts.get("counted"),
        "AGE": age(metadata.get("creationTimestamp")),
    }
    if wide:
        row |= _wide(status)
    return {name: "" if value is None else clean(str(value)) for name, value in row.items()}


def _wide(status: dict[str, Any]) -> dict[str, Any]:
    speed = (status.get("progress") or {}).get("tokensPerSecond")
    return {
        "TOKENS/S": rate(speed) if isinstance(speed, int | float) else None,
        "GOODPUT": (status.get("goodput") or {}).get("ratio"),
        "CKPT-AGE": age((status.get("checkpoint") or {}).get("committedAt")),
        "CLUSTER": (status.get("cluster") or {}).get("number"),
    }
