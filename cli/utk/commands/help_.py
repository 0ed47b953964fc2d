"""utk help: the pages that belong to no command."""

from typing import Annotated

import typer

from ultrathink_api.errors import Refused
from utk import exits, output
from utk.console import console
from utk.options import Output

TOPICS = {"exit-codes": "what the exit codes mean"}


def main(
    topic: Annotated[str, typer.Argument(metavar="[TOPIC]", help="exit-codes", show_default=False)] = "",
    shape: Output = "text",
) -> None:
    """Show a page of help: exit-codes."""
    from ultrathink.reports import report

    output.allow(shape, "text", "json", "jsonl", "yaml", output.JSONPATH)
    if topic not in {"", *TOPICS}:
        raise Refused.of(
            "UTK0608", field=topic, message=f"there is no page {topic}", fix=f"there are: {', '.join(TOPICS)}"
        )
    if not topic:
        value = report("HelpTopics", topics=TOPICS)
        output.show(shape, value, text=lambda: _topics())
        return
    value = report("ExitCodes", exitCodes=[{"code": code, "meaning": text} for code, text in exits.MEANINGS.items()])
    output.show(shape, value, text=lambda: _exit_codes())


def _topics() -> None:
    console.print("utk --help lists the commands, utk COMMAND --help explains one. Pages:")
    for name, about in TOPICS.items():
        console.print(f"  utk help {name}   {about}")


def _exit_codes() -> None:
    for code, meaning in exits.MEANINGS.items():
        console.print(f"{code:>3}  {meaning}")
