"""utk plan: what a job will be: mesh, parameters, memory, steps, checkpoints."""

from typing import TYPE_CHECKING

from utk import output
from utk.arrangement import product
from utk.console import console, table
from utk.options import File, Nproc, Output, Set, follow_ups

if TYPE_CHECKING:
    from ultrathink_planner import Plan


def main(
    file: File,
    sets: Set = (),
    nproc: Nproc = 0,
    shape: Output = "text",
) -> None:
    """Show what a job will be, without starting it. Shapes (-o): text, json, yaml, jsonpath=."""
    from ultrathink import Job
    from ultrathink.reports import plan_report

    output.allow(shape, "text", "json", "jsonl", "yaml", output.JSONPATH)
    job = Job.from_file(file, sets, nproc=nproc)
    plan = job.plan()
    output.show(shape, plan_report(job.name, plan), text=lambda: _text(job.name, plan))
    if shape == "text":
        console.next(*follow_ups(file, "run --local", "submit"))


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
    rows = [("STAGE", "LAYERS", "PARAMETERS", "GRADIENTS", "OPTIMIZER")]
    for stage, rank in zip(plan.stages, plan.per_rank, strict=True):
        layers = f"{stage.first_layer}-{stage.last_layer - 1}"
        held = rank.memory_bytes
        rows.append((str(stage.index), layers, size(held.parameters), size(held.gradients), size(held.optimizer)))
    for line in table(rows, console.width(console.out)):
        console.print(line)


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
