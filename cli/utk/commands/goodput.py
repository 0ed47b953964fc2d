"""utk goodput: where the time of a job went, from its own status."""

from typing import Any

from utk import output
from utk.commands._cluster import Raw, connect, named, say_neglect
from utk.console import clean, console
from utk.events import duration
from utk.options import Context, Kubeconfig, Name, Namespace, Output

BAR = 30


def main(
    name: Name,
    shape: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Show where a job's time went. Shapes (-o): text, wide, json, yaml, jsonpath=."""
    from ultrathink.goodput import breakdown
    from ultrathink.reports import report

    output.allow(shape, "text", "wide", "json", "jsonl", "yaml", output.JSONPATH)
    cluster = connect(namespace, context, kubeconfig)
    raw = named(cluster, name)
    found = breakdown(raw.get("status") or {})
    metadata = {key: raw["metadata"][key] for key in ("name", "namespace", "uid")}
    output.show(
        shape,
        report("Goodput", metadata=metadata, goodput=found),
        text=lambda: _screen(raw, found, wide=shape == "wide"),
    )


def _screen(raw: Raw, found: dict[str, Any] | None, *, wide: bool) -> None:
    name, where = raw["metadata"]["name"], raw["metadata"]["namespace"]
    if found is None:
        say_neglect([raw])
        console.say(f"Nothing is known of the time of {name} yet: that begins with its first attempt")
        console.next(f"utk status {name} -n {where}")
        return
    head = f"goodput {100 * found['ratio']:.1f}%"
    console.print(
        f"{clean(name)}  {clean(where)}  {console.paint(head, 'bold', console.out)} of {duration(found['wallSeconds'])}"
    )
    rows = [["BUCKET", "TIME", "SHARE", *(["MEANING"] if wide else []), ""]]
    for bucket in found["buckets"]:
        meaning = [bucket["meaning"]] if wide else []
        share = f"{100 * bucket['share']:.1f}%"
        rows.append([clean(bucket["name"]), duration(bucket["seconds"]), share, *meaning, _bar(bucket["share"])])
    console.table(rows)


def _bar(share: float) -> str:
    """So many signs; what is not nothing has at least one."""
    return "█" * (max(1, round(BAR * share)) if share else 0)
