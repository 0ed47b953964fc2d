"""utk events: what happened to a job, from its status and from the Events of its objects, by time."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from ultrathink_api.errors import Problem, Refused
from utk import exits, output, problems
from utk.commands._cluster import Raw, connect, named, say_neglect, warnings_of
from utk.console import clean, console
from utk.options import Context, Kubeconfig, Name, Namespace, Output

if TYPE_CHECKING:
    from ultrathink.cluster.connect import Cluster
    from ultrathink.cluster.timeline import Moment


def main(
    name: Name,
    watch: Annotated[
        bool, typer.Option("-w", "--watch", help="And what happens next, until the job has ended.")
    ] = False,
    shape: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> int:
    """Show what happened to a job, oldest first. Shapes (-o): text, json, yaml, jsonpath=; with -w text, jsonl.

    A cluster forgets Events after a while (an hour, if nobody said otherwise); the job's own status stays.
    """
    from ultrathink.cluster.timeline import timeline
    from ultrathink.reports import report

    output.allow(shape, *(("text", "jsonl") if watch else ("text", "json", "jsonl", "yaml", output.JSONPATH)))
    cluster = connect(namespace, context, kubeconfig)
    raw = named(cluster, name)
    found, refused = _events(cluster, raw)
    moments = timeline(raw, found)
    if watch and shape == "jsonl":
        for moment in moments:
            _json_line(moment)
        return _watch(cluster, raw, moments, _json_line)
    metadata = {key: raw["metadata"][key] for key in ("name", "namespace", "uid")}
    warnings = [*warnings_of([raw]), *(problem.dump() for problem in refused)]
    output.show(
        shape,
        report("Timeline", metadata=metadata, items=[moment.dump() for moment in moments], warnings=warnings),
        text=lambda: _table(moments),
    )
    if shape == "text":
        say_neglect([raw])
        if refused:
            problems.complain(refused, kind="warning")
    return _watch(cluster, raw, moments, _line) if watch else exits.OK


def _watch(cluster: "Cluster", raw: Raw, known: "Iterable[Moment]", show: "Callable[[Moment], None]") -> int:
    from ultrathink.cluster.timeline import follow

    try:
        for moment in follow(cluster, raw, known, lambda job: _events(cluster, job)[0]):
            show(moment)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    return exits.OK


def _events(cluster: "Cluster", raw: Raw) -> "tuple[list[Raw], tuple[Problem, ...]]":
    """The Events; who may not read them still gets what the job says of itself."""
    from ultrathink.cluster.timeline import events_of

    try:
        return events_of(cluster, raw), ()
    except Refused as refused:
        if refused.problem.code != "UTK0505":
            raise
        return [], refused.problems


def _json_line(moment: "Moment") -> None:
    console.print(output.to_json(moment.dump(), indent=None))


def _line(moment: "Moment") -> None:
    console.print("   ".join(_words(moment)).rstrip())


def _table(moments: "list[Moment]") -> None:
    rows = [["TIME", "TYPE", "OBJECT", "REASON", "MESSAGE"], *map(_words, moments)]
    console.table(rows, ["yellow" if moment.type == "Warning" else "" for moment in moments])


def _words(moment: "Moment") -> list[str]:
    times = f" (x{moment.count})" if moment.count > 1 else ""
    words = (moment.time or "-", moment.type, moment.object, moment.reason, f"{moment.message}{times}".strip())
    return [clean(word) for word in words]
