"""What cannot be undone is asked about: a person answers, a script has said -y."""

import typer

from ultrathink_api.errors import Refused
from utk.console import console


def confirm(warning: str, question: str, *, command: str, doing: str, again: str) -> None:
    """Goes on after a yes. Raises Refused where nobody can be asked: `doing` is what needs it, `again` is the command
    that -y makes one of."""
    if not console.asks:
        raise Refused.of(
            "UTK0605",
            field=f"utk {command}",
            message=f"{doing} needs a yes, and there is no terminal to ask at",
            fix=f"{again} -y",
        )
    console.complain(warning)
    if not typer.confirm(question, err=True):
        raise typer.Abort
