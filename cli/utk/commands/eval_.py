"""utk eval: what a model knows of data that it has not seen."""

import math
from typing import Annotated

import typer

from utk import output
from utk.console import console
from utk.options import Output


def main(
    checkpoint: Annotated[
        str,
        typer.Option(
            "--checkpoint",
            metavar="URI",
            help="A job's checkpoint.uri or folder, URI@STEP, one checkpoint, or hf:DIR.",
        ),
    ],
    data: Annotated[
        str, typer.Option("--data", metavar="URI", help="As a job's data.uri; its held-out rows are read.")
    ],
    limit_tokens: Annotated[
        int,
        typer.Option(
            "--limit-tokens", metavar="N", min=1, help="Most tokens to measure. Default: 65536.", show_default=False
        ),
    ] = 0,
    effort: Annotated[
        float | None,
        typer.Option(
            "--effort", metavar="E", help="Share of experts to use, where model.dre is. Default: the model's own."
        ),
    ] = None,
    shape: Output = "text",
) -> None:
    """Measure a model's loss on held-out data: float32, on CPU. Shapes (-o): text, json, yaml, jsonpath=."""
    from ultrathink.models import evaluated
    from ultrathink.reports import report

    output.allow(shape, "text", "json", "jsonl", "yaml", output.JSONPATH)
    found = evaluated(checkpoint, data, limit_tokens or None, effort)
    if not math.isfinite(found["perplexity"]):
        found["perplexity"] = None  # JSON knows no infinity
    output.show(
        shape,
        report("Evaluation", checkpoint=checkpoint, data=data, **found),
        text=lambda: console.print(
            f"loss {found['loss']:.4f}   perplexity {found['perplexity'] or math.inf:.4g}   tokens {found['tokens']:,}"
            + (f"   effort {found['effort']:g}   experts {found['expertsPerToken']:.3f}" if "effort" in found else "")
        ),
    )
