"""utk data: token shards out of text, and whether they are sound."""

from typing import Annotated, Any

import typer

from utk import exits, output
from utk.commands.plan import count
from utk.console import clean, console
from utk.options import Group, Output, command
from utk.working import working

SHARD_TOKENS = 1 << 27
"""256 MiB of two-byte tokens: few enough to list, small enough to copy again."""

app = typer.Typer(
    cls=Group, help="What models read: prepare it, check it.", rich_markup_mode=None, no_args_is_help=True
)

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT...",
        help="Files or folders: .txt, .md, .jsonl, .ndjson (also .gz, .zst) and .parquet.",
        show_default=False,
    ),
]
Field = Annotated[str, typer.Option("--field", metavar="NAME", help="Field of JSONL, or column of Parquet, with text.")]
Separator = Annotated[
    str,
    typer.Option(
        "--separator",
        metavar="TEXT",
        help="Cuts text files into documents. Default: a file is one document.",
        show_default=False,
    ),
]


@app.command("prepare")
@command
def prepare(
    inputs: Inputs,
    to: Annotated[str, typer.Option("--to", metavar="URI", help="Where the shards go: a folder, file:// or s3://.")],
    tokenizer: Annotated[str, typer.Option("--tokenizer", metavar="FILE", help="A tokenizer.json.")],
    end_token: Annotated[
        str,
        typer.Option(
            "--end-token",
            metavar="TOKEN",
            help="Token that ends a document. Default: the tokenizer's usual one.",
            show_default=False,
        ),
    ] = "",
    field: Field = "text",
    separator: Separator = "",
    min_characters: Annotated[
        int, typer.Option("--min-characters", metavar="N", min=1, help="Shorter documents are left out.")
    ] = 1,
    held_out: Annotated[
        float,
        typer.Option("--held-out", metavar="SHARE", min=0.0, max=0.5, help="Share of documents that measure the loss."),
    ] = 0.01,
    shard_tokens: Annotated[
        int, typer.Option("--shard-tokens", metavar="N", min=1, help="Tokens of a shard; two or four bytes each.")
    ] = SHARD_TOKENS,
    workers: Annotated[
        int,
        typer.Option("--workers", metavar="N", min=0, help="Processes. Default: one a core.", show_default=False),
    ] = 0,
    work: Annotated[
        str,
        typer.Option(
            "--work", metavar="DIR", help="Folder for unfinished work. Default: beside the shards.", show_default=False
        ),
    ] = "",
    shape: Output = "text",
) -> None:
    """Clean, dedupe, tokenise and pack text into shards. Shapes (-o): text, json, jsonl, yaml, name, jsonpath=.

    Interrupted, it goes on where it was when it is called again.
    """
    from ultrathink.data import prepared
    from ultrathink.reports import report

    output.allow(shape, "text", "json", "jsonl", "yaml", "name", output.JSONPATH)
    with working(console) as told:
        made = prepared(
            inputs,
            to,
            tokenizer=tokenizer,
            end_token=end_token,
            field=field,
            separator=separator,
            min_characters=min_characters,
            held_out=held_out,
            shard_tokens=shard_tokens,
            workers=workers,
            work=work,
            on_progress=told.take,
        )
    output.show(shape, report("DataSet", **made), text=lambda: _show_made(made), name=lambda: str(made["uri"]))
    if shape == "text":
        console.next(f"utk data check {made['uri']}")


@app.command("check")
@command
def check(
    uri: Annotated[str, typer.Argument(metavar="URI", help="A data set: a folder, file:// or s3://.")],
    shape: Output = "text",
) -> int:
    """Read every byte: damage, token range, empties, duplicates, leaks. Shapes (-o): text, json, yaml, jsonpath=."""
    from ultrathink.data import checked
    from ultrathink.reports import report

    output.allow(shape, "text", "json", "jsonl", "yaml", output.JSONPATH)
    with working(console) as told:
        found = checked(uri, told.take)
    output.show(shape, report("DataCheck", **found), text=lambda: _show_found(found))
    return exits.OK if found["sound"] else exits.FAILED


def _show_made(made: dict[str, Any]) -> None:
    console.print(f"{console.paint('✓', 'green', console.out)} {clean(made['uri'])}")
    for name, split in made["splits"].items():
        console.print(
            f"  {name:<9} {count(split['tokens'])} tokens · {split['documents']:,} documents · {split['shards']} shards"
        )
    dropped = [f"{number:,} {why}" for why, number in made["dropped"].items() if number]
    if dropped:
        console.print(f"  left out  {' · '.join(dropped)}")


def _show_found(found: dict[str, Any]) -> None:
    sign = console.paint("✓", "green", console.out) if found["sound"] else console.paint("✗", "red", console.out)
    console.print(f"{sign} {clean(found['uri'])} {'is sound' if found['sound'] else 'is not sound'}")
    for name, split in found["splits"].items():
        low, high = split["range"] or ("none", "none")
        console.print(
            f"  {clean(name):<9} {count(split['tokens'])} tokens, ids {low} to {high} of {found['vocabulary']} · "
            f"{split['documents']:,} documents, {split['empty']:,} empty, {split['duplicates']:,} repeated"
        )
    console.print(f"  leaks     {found['leaks']:,} documents are in more than one part")
    for problem in found["problems"]:
        console.print(f"  {problem['code']} {clean(problem['message'])}")
