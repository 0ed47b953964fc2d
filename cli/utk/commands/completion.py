"""utk completion: the script with which a shell completes our words."""

from typing import Annotated

import typer

from ultrathink_api.errors import Refused
from utk.completion import SHELLS, script
from utk.console import console


def main(
    shell: Annotated[
        str, typer.Argument(metavar="bash|zsh|fish", help="The shell that will read it.", show_default=False)
    ],
) -> None:
    """Print a shell's completions: source <(utk completion bash)."""
    from utk.main import build

    if shell not in SHELLS:
        raise Refused.of(
            "UTK0604",
            field="utk completion",
            message=f"there are no completions for {shell}",
            fix=f"choose one of: {', '.join(SHELLS)}",
        )
    console.print(script(shell, typer.main.get_command(build())).rstrip("\n"))
