"""utk logs: what a job says, over all its attempts and pods, until it has ended."""

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from utk import exits, output
from utk.commands._cluster import Raw, connect, exit_of, named, situation
from utk.console import clean, console
from utk.events import Narrator
from utk.options import Context, Kubeconfig, Name, Namespace, Output, seconds

if TYPE_CHECKING:
    from ultrathink.cluster.connect import Cluster
    from ultrathink.cluster.logs import Line, Notice


def main(
    name: Name,
    follows: Annotated[bool, typer.Option("-f", "--follow", help="Until the job has ended.")] = False,
    rank: Annotated[
        int, typer.Option("--rank", metavar="N", help="The log of the pod where this rank runs.", show_default=False)
    ] = -1,
    attempt: Annotated[int, typer.Option("--attempt", metavar="N", help="Only this attempt.", show_default=False)] = 0,
    since: Annotated[
        str, typer.Option("--since", metavar="DURATION", help="Only what is younger, as 10m.", show_default=False)
    ] = "",
    grep: Annotated[str, typer.Option("--grep", metavar="TEXT", help="Only lines with this.", show_default=False)] = "",
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Each line with its time.")] = False,
    exit_status: Annotated[bool, typer.Option("--exit-status", help="With -f: exit with 5 if the job failed.")] = False,
    shape: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> int:
    """Show the log of a job. Shapes (-o): text, jsonl (the events of the head, one a line), raw.

    Ctrl-C detaches, the job keeps running.
    """
    output.allow(shape, "text", "jsonl", "raw")
    cluster = connect(namespace, context, kubeconfig)
    raw = named(cluster, name)
    printer = Printer(shape, attempt=attempt, grep=grep, timestamps=timestamps, every=True)
    try:
        raw = _stream(cluster, raw, printer, follows, None if rank < 0 else rank, seconds(since), None)
    except KeyboardInterrupt:
        console.complain(f"\nDetached; the job keeps running.  Reattach: utk logs -f {raw['metadata']['name']}")
        return exits.INTERRUPTED
    return exit_of(raw) if follows and exit_status else exits.OK


def follow(cluster: "Cluster", name: str, limit: float | None) -> Raw:
    """What submit --follow shows: the log, with fewer steps, and the job as it ended."""
    return _stream(cluster, {"metadata": {"name": name}}, Printer("text"), True, None, None, limit)


class Printer:
    """Lines of a log as they were asked for."""

    def __init__(
        self, shape: str, *, attempt: int = 0, grep: str = "", timestamps: bool = False, every: bool = False
    ) -> None:
        self._shape, self._attempt, self._grep = shape, attempt, grep
        self._timestamps, self._every = timestamps, every
        self._narrator = Narrator()
        self._current = 0

    def notice(self, notice: "Notice") -> None:
        """What is not in the log goes beside it."""
        console.say(console.paint(f"── {clean(notice.text)} ──", "dim"))

    def line(self, line: "Line") -> None:
        """One line, if it was asked for."""
        event = _event(line.text)
        if event is not None:
            number = event.get("attempt")
            self._current = number if isinstance(number, int) else self._current
        if self._attempt and self._current != self._attempt:
            return
        text = self._text(line.text, event)
        if text is None or self._grep not in text:
            return
        stamp = f"{clean(line.time)} " if self._timestamps and self._shape != "jsonl" else ""
        console.print(f"{stamp}{text}")

    def _text(self, text: str, event: dict[str, Any] | None) -> str | None:
        if self._shape == "jsonl":
            return None if event is None else output.to_json(event, indent=None)
        if self._shape == "raw" or event is None:
            return clean(text)
        if self._every and event.get("event") == "step":
            from utk.events import step_line

            return step_line(event, self._narrator.steps)
        return self._narrator.line(event)


def _stream(
    cluster: "Cluster",
    raw: Raw,
    printer: Printer,
    follows: bool,
    rank: int | None,
    since: float | None,
    limit: float | None,
) -> Raw:
    from ultrathink.cluster import jobs, logs

    name = raw["metadata"]["name"]
    until = None if limit is None else time.monotonic() + limit
    for piece in logs.stream(cluster, name, follow=follows, rank=rank, since=since, until=until):
        if isinstance(piece, logs.Line):
            printer.line(piece)
        else:
            printer.notice(piece)
    raw = jobs.get(cluster, name)
    if follows:
        console.say(situation(raw))
    return raw


def _event(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        event = json.loads(text)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None
