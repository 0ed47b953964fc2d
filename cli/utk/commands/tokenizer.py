"""utk tokenizer: a tokenizer learned from text."""

from typing import Annotated

import typer

from utk import output
from utk.commands.data import Field, Inputs, Separator
from utk.console import clean, console
from utk.options import Group, Output, command
from utk.working import working

app = typer.Typer(cls=Group, help="What makes tokens of text: train it.", rich_markup_mode=None, no_args_is_help=True)

LEAST_VOCABULARY = 257
"""All bytes and the end token."""


@app.command("train")
@command
def train(
    inputs: Inputs,
    to: Annotated[str, typer.Option("--to", metavar="FILE", help="The tokenizer.json to write.")],
    vocabulary: Annotated[
        int, typer.Option("--vocabulary", metavar="N", min=LEAST_VOCABULARY, help="Token ids at most.")
    ] = 32_768,
    min_frequency: Annotated[
        int, typer.Option("--min-frequency", metavar="N", min=1, help="Pairs seen less often are not merged.")
    ] = 2,
    field: Field = "text",
    separator: Separator = "",
    shape: Output = "text",
) -> None:
    """Learn a byte-level BPE tokenizer from text. Shapes (-o): text, json, jsonl, yaml, name, jsonpath=."""
    from ultrathink.data import tokenizer_trained
    from ultrathink.reports import report

    output.allow(shape, "text", "json", "jsonl", "yaml", "name", output.JSONPATH)
    with working(console) as told:
        made = tokenizer_trained(
            inputs,
            to,
            vocabulary=vocabulary,
            min_frequency=min_frequency,
            field=field,
            separator=separator,
            on_progress=told.take,
        )
    output.show(
        shape,
        report("Tokenizer", **made),
        text=lambda: console.print(
            f"{console.paint('✓', 'green', console.out)} {clean(made['file'])} · {made['vocabulary']:,} tokens"
        ),
        name=lambda: str(made["file"]),
    )
    if shape == "text":
        console.next(f"utk data prepare INPUT... --tokenizer {made['file']} --to DIR")
