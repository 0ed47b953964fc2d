"""utk checkpoints: what a job has saved, and whether every byte of it is right. Needs no cluster with --uri."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from ultrathink_api.errors import Refused
from utk import exits, output
from utk.asking import confirm
from utk.commands.plan import size
from utk.console import clean, console, table
from utk.options import Context, Group, Kubeconfig, Namespace, Output, Yes, command

app = typer.Typer(
    cls=Group,
    help="What jobs have saved: list it, verify it, pin it, delete it.",
    rich_markup_mode=None,
    no_args_is_help=True,
)

MaybeName = Annotated[str, typer.Argument(metavar="[NAME]", help="Name of a job on the cluster.", show_default=False)]
Uri = Annotated[
    str,
    typer.Option(
        "--uri", metavar="URI", help="A job's checkpoint.uri, its folder, or one checkpoint.", show_default=False
    ),
]
Step = Annotated[int | None, typer.Option("--step", metavar="N", help="Step of the checkpoint.", show_default=False)]


@app.command("ls")
@command
def ls(
    name: MaybeName = "",
    uri: Uri = "",
    shape: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """List checkpoints, newest first. Shapes (-o): text, wide, json, yaml, name, jsonpath=."""
    from ultrathink.checkpoints import listed
    from ultrathink.reports import report

    output.allow(shape, "text", "wide", "json", "jsonl", "yaml", "name", output.JSONPATH)
    place = _place(name, uri, namespace, context, kubeconfig)
    items = list(listed(place))
    output.show(
        shape,
        report("CheckpointList", uri=place, items=items),
        text=lambda: _table(items, place, wide=shape == "wide"),
        name=lambda: "\n".join(item["uri"] for item in items),
    )
    if items and shape == "text":
        console.next(f"utk checkpoints verify --uri {place}")


@app.command("verify")
@command
def verify(
    name: MaybeName = "",
    uri: Uri = "",
    shape: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> int:
    """Read every byte of the checkpoints and compare. Shapes (-o): text, json, yaml, name, jsonpath=."""
    from ultrathink.checkpoints import verified
    from ultrathink.reports import report

    output.allow(shape, "text", "json", "jsonl", "yaml", "name", output.JSONPATH)
    place = _place(name, uri, namespace, context, kubeconfig)
    items = []
    for item in verified(place):
        items.append(item)
        if shape == "text":
            _say_verified(item)
    sound = all(item["verified"] for item in items)
    output.show(
        shape,
        report("Verification", uri=place, verified=sound, items=items),
        text=lambda: None,
        name=lambda: "\n".join(item["uri"] for item in items if item["verified"]),
    )
    return exits.OK if sound else exits.FAILED


@app.command("pin")
@command
def pin(
    name: MaybeName = "",
    uri: Uri = "",
    step: Step = None,
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Hold on to a checkpoint, whatever checkpoint.keep says."""
    from ultrathink import checkpoints

    console.say(f"pinned {clean(checkpoints.pin(_place(name, uri, namespace, context, kubeconfig), step))}")


@app.command("unpin")
@command
def unpin(
    name: MaybeName = "",
    uri: Uri = "",
    step: Step = None,
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Let checkpoint.keep decide about a checkpoint again."""
    from ultrathink import checkpoints

    console.say(f"unpinned {clean(checkpoints.unpin(_place(name, uri, namespace, context, kubeconfig), step))}")


@app.command("rm")
@command
def rm(
    name: MaybeName = "",
    uri: Uri = "",
    step: Step = None,
    force: Annotated[
        bool, typer.Option("--force", help="The last attempt died without a word; take it for ended.")
    ] = False,
    yes: Yes = False,
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Delete one checkpoint of a job that does not run."""
    from ultrathink import checkpoints

    place = _place(name, uri, namespace, context, kubeconfig)
    if not yes:
        _confirm(checkpoints.find(place, step), force)
    console.say(f"deleted {clean(checkpoints.remove(place, step, force=force))}")


def _confirm(found: str, force: bool) -> None:
    confirm(
        f"{clean(found)} will be deleted; nothing brings it back.",
        "Delete it?",
        command="checkpoints rm",
        doing=f"deleting {found}",
        again=f"utk checkpoints rm --uri {shlex.quote(found)}{' --force' if force else ''}",
    )


@app.command("export")
@command
def export(
    to: Annotated[str, typer.Option("--to", metavar="DIR", help="New folder to write.")],
    name: MaybeName = "",
    uri: Annotated[
        str,
        typer.Option(
            "--uri",
            metavar="URI[@STEP]",
            help="A job's checkpoint.uri or folder, with @STEP for an older one; or one checkpoint.",
            show_default=False,
        ),
    ] = "",
    form: Annotated[str, typer.Option("--format", metavar="hf", help="Layout of the files.")] = "hf",
    shape: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Write a checkpoint's model as safetensors and config.json for other programs. Shapes (-o): text, json, yaml."""
    from ultrathink.models import exported
    from ultrathink.reports import report

    output.allow(shape, "text", "json", "jsonl", "yaml", output.JSONPATH)
    made = exported(_place(name, uri, namespace, context, kubeconfig), to, form)
    output.show(
        shape,
        report("Export", **made),
        text=lambda: console.print(
            f"{console.paint('✓', 'green', console.out)} step {made['step']} written as {made['family']} "
            f"to {clean(to)} · {size(made['bytes'])}"
        ),
    )


def _place(name: str, uri: str, namespace: str, context: str, kubeconfig: str) -> str:
    if bool(name) == bool(uri):
        raise Refused.of(
            "UTK0604",
            field="utk checkpoints",
            message="name either a job of the cluster or a place",
            fix="utk checkpoints ls NAME, or utk checkpoints ls --uri file:///path/to/runs",
        )
    if uri:
        return uri
    from ultrathink.cluster import connect, jobs

    cluster = connect.connect(namespace=namespace, context=context, kubeconfig=kubeconfig)
    place = jobs.checkpoint_place(jobs.get(cluster, name))
    _refuse_unmounted(place)
    return place


def _refuse_unmounted(place: str) -> None:
    """No checkpoints, and a volume that is not mounted here, must not look alike: the folder of all jobs tells."""
    if place.startswith("file://") and not Path(place.removeprefix("file://")).parents[1].is_dir():
        raise Refused.of(
            "UTK0302",
            field=place,
            message="it lies on a volume of the cluster, and there is no such folder here",
            fix="mount the volume at the same path, or mount it elsewhere and name that: --uri file:///path/to/runs",
        )


def _table(items: list[dict[str, Any]], place: str, *, wide: bool) -> None:
    if not items:
        console.say(f"No checkpoints below {place}")
        return
    rows = [("JOB", "STEP", "ATTEMPT", "STATE", "SIZE", "CREATED", *(("URI",) if wide else ()))]
    for item in items:
        state = item["state"] + (f" ({item['problem']})" if "problem" in item else "")
        cells = (item["job"], str(item["step"]), str(item["attempt"]), state, size(item["bytes"]), item["createdAt"])
        rows.append(tuple(clean(cell) for cell in (*cells, *((item["uri"],) if wide else ()))))
    for line in table(rows, console.width(console.out)):
        console.print(line)


def _say_verified(item: dict[str, Any]) -> None:
    if item["verified"]:
        console.print(
            f"{console.paint('✓', 'green', console.out)} {clean(item['uri'])} verified · {size(item['bytes'])}"
        )
    else:
        console.print(
            f"{console.paint('✗', 'red', console.out)} {clean(item['uri'])} is not whole: {clean(item['problem'])}"
        )
