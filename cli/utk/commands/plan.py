"""utk plan: what a job will be: mesh, parameters, memory, steps, checkpoints."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from utk import output
from utk.arrangement import product
from utk.console import console, table
from utk.options import File, Nproc, Output, Set, follow_ups

if TYPE_CHECKING:
    from ultrathink_planner import Accelerator, Fit, Plan, Remedy

On = Annotated[
    str,
    typer.Option(
        "--on", metavar="ACCELERATOR", help="Whether it fits this device: h100, h200, ...", show_default=False
    ),
]


def main(
    file: File,
    sets: Set = (),
    nproc: Nproc = 0,
    shape: Output = "text",
    on: On = "",
) -> None:
    """Show what a job will be, without starting it. Shapes (-o): text, json, yaml, jsonpath=."""
    from ultrathink import Job
    from ultrathink.reports import fit_report, plan_report
    from ultrathink_planner import fit

    output.allow(shape, "text", "json", "jsonl", "yaml", output.JSONPATH)
    accelerator = _accelerator(on) if on else None
    job = Job.from_file(file, sets, nproc=nproc)
    plan = job.plan()
    found = fit(plan, accelerator) if accelerator else None
    remedies = job.remedies(accelerator) if accelerator else ()
    said = plan_report(job.name, plan) | ({"fit": fit_report(found, remedies)} if found else {})

    def text() -> None:
        _text(job.name, plan)
        if found:
            _fit(plan, found, remedies)

    output.show(shape, said, text=text)
    if shape == "text":
        console.next(*follow_ups(file, "run --local", "submit"))


def _accelerator(name: str) -> "Accelerator":
    from ultrathink_api.errors import Refused
    from ultrathink_planner import CATALOGUE

    if name.lower() not in CATALOGUE:
        raise Refused.of(
            "UTK0604", field="--on", message=f"no accelerator {name!r}", fix=f"choose one of: {', '.join(CATALOGUE)}"
        )
    return CATALOGUE[name.lower()]


def _text(name: str, plan: "Plan") -> None:
    batch, model = plan.batch, plan.model
    experts = f" · {model.moe.experts} experts, top {model.moe.top_k}" if model.moe else ""
    every = [f"{plan.checkpoint.interval_steps} steps"] if plan.checkpoint.interval_steps else []
    every += [f"{plan.checkpoint.interval_seconds / 60:g} min"] if plan.checkpoint.interval_seconds else []
    every += ["as saves and failures cost"] if plan.checkpoint.auto else []
    facts = (
        ("Job", f"{name} · plan {plan.digest}"),
        ("World", product(plan.world_size, plan.mesh.dump())),
        ("Model", f"{count(plan.parameters.active)} active / {count(plan.parameters.total)} total parameters{experts}"),
        *([("", f"starts from {plan.weights}")] if plan.weights else []),
        ("Batch", f"{batch.tokens:,} tokens = {batch.rows} rows of {batch.sequence_length}"),
        ("", f"{batch.microbatches} micro-batches of {batch.micro_rows} rows a rank"),
        ("Training", f"{plan.steps:,} steps · {plan.precision} · {plan.optimizer.name} lr {plan.optimizer.lr:g}"),
        ("Checkpoint", f"{size(plan.checkpoint.bytes)} every {' or '.join(every)}, and at the end"),
    )
    for label, fact in facts:
        console.print(f"{console.paint(label.ljust(10), 'bold', console.out)}  {fact}")
    console.print()
    rows = [("STAGE", "LAYERS", "PARAMETERS", "GRADIENTS", "OPTIMIZER", "ACTIVATIONS", "BUFFERS", "FULLEST")]
    for stage, rank in zip(plan.stages, plan.per_rank, strict=True):
        held = rank.memory_bytes
        always = (held.parameters, held.gradients, held.optimizer)
        moment = (held.activations, held.buffers, held.fullest)
        sizes = [*map(size, always), *("-" if one is None else size(one) for one in moment)]
        rows.append((str(stage.index), f"{stage.first_layer}-{stage.last_layer - 1}", *sizes))
    for line in table(rows, console.width(console.out)):
        console.print(line)


def _fit(plan: "Plan", found: "Fit", remedies: "Sequence[Remedy]") -> None:
    console.print()
    title = found.accelerator.title
    if found.bytes is None:
        console.print(f"Whether it fits {title} is not known: {plan.engine} keeps its own buffers")
        return
    room = f"{size(found.bytes)} of {size(found.usable)} usable on stage {found.stage}"
    if found.fits:
        console.print(f"{console.paint('Fits', 'green', console.out)} {title}: {room}")
        return
    console.print(f"{console.paint('Does not fit', 'red', console.out)} {title}: {room}")
    if not remedies:
        console.print("Nothing that was tried would: neither other settings nor more workers")
        return
    console.print("What would, planned with all else as it is:")
    for one in remedies:
        flags = " ".join(f"--set {field}={str(value).lower()}" for field, value in one.changes.items())
        console.print(f"  {flags}  # {size(one.fit.bytes or 0)}")


def count(number: int) -> str:
    """1.3B, 3.4M: as people say it."""
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= unit:
            return f"{number / unit:.1f}{name}"
    return str(number)


def size(number: float) -> str:
    """Bytes with a unit."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number:g} B"
