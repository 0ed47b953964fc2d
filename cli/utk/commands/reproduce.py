"""utk reproduce: the job of a run once more, with every default, seed and digest that its record holds."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from utk import files
from utk import output as shapes
from utk.console import clean, console
from utk.options import Context, Kubeconfig, Namespace

STDOUT = "-"
SHAPES = ("yaml", "json", "jsonl")


def main(
    what: Annotated[
        str,
        typer.Argument(
            metavar="NAME|URI",
            help="A job of the cluster; or a checkpoint.uri, a job's or run's folder, or one checkpoint.",
            show_default=False,
        ),
    ],
    attempt: Annotated[
        int, typer.Option("--attempt", metavar="N", min=1, help="The attempt whose start is meant.")
    ] = 1,
    output: Annotated[
        str,
        typer.Option("-o", "--output", metavar="FILE|yaml|json", help="New file to write, or a shape for stdout."),
    ] = "yaml",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Write the job of a run again, to start as it did.

    By name the caller's own bucket credentials are used.
    """
    from ultrathink.lineage import reproduced
    from ultrathink_api.loading import dump

    place, uid = _place(what, namespace, context, kubeconfig)
    made = reproduced(place, uid=uid, attempt=attempt)
    if output in SHAPES or output == STDOUT:
        shapes.show(output if output in SHAPES else "yaml", made.job, text=lambda: None)
    else:
        files.create(Path(output), dump(made.job))
        console.done(f"{clean(output)} written from attempt {made.attempt} of {clean(made.run)}")
    for note in made.notes:
        console.say(f"note: {clean(note)}")
    if output not in SHAPES and output != STDOUT:
        file = shlex.quote(output)
        console.next(f"utk plan {file}", f"utk run --local {file}", f"utk submit {file}")


def _place(what: str, namespace: str, context: str, kubeconfig: str) -> tuple[str, str]:
    if "://" in what:
        return what, ""
    from ultrathink.cluster import connect, jobs

    raw = jobs.get(connect.connect(namespace=namespace, context=context, kubeconfig=kubeconfig), what)
    return jobs.checkpoint_place(raw), raw["metadata"]["uid"]
