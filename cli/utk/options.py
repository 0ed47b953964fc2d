"""Options that mean the same in every command, said once; names and meanings are kubectl's where kubectl has them."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from utk.console import console

File = Annotated[str, typer.Argument(metavar="FILE", help="YAML file of a job; - reads stdin.", show_default=False)]
Files = Annotated[
    list[str], typer.Argument(metavar="FILE...", help="YAML files of jobs; - reads stdin.", show_default=False)
]
Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Name of the job; @latest or - for the newest one.", show_default=False),
]
Set = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="PATH=VALUE", help="Set a field over the file; paths start below spec. Can be repeated."
    ),
]
Nproc = Annotated[
    int,
    typer.Option(
        "--nproc", metavar="N", help="The same as --set workers.count=N --set workers.gpus=0.", show_default=False
    ),
]
Output = Annotated[
    str, typer.Option("-o", "--output", metavar="FORMAT", help="Shape of the output.", show_default=False)
]
Namespace = Annotated[
    str, typer.Option("-n", "--namespace", help="Namespace. Default: the context's.", show_default=False)
]
AllNamespaces = Annotated[bool, typer.Option("-A", "--all-namespaces", help="All namespaces.")]
Context = Annotated[
    str, typer.Option("--context", help="Context of the kubeconfig. Default: the current one.", show_default=False)
]
Kubeconfig = Annotated[
    str,
    typer.Option(
        "--kubeconfig", metavar="PATH", help="Kubeconfig. Default: $KUBECONFIG, ~/.kube/config.", show_default=False
    ),
]
DryRun = Annotated[
    str, typer.Option("--dry-run", metavar="none|client|server", help="Show what would be done, and do nothing.")
]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Whether to wait for the end.")]
Timeout = Annotated[
    str, typer.Option("--timeout", metavar="DURATION", help="Longest wait, as 30s, 5m or 2h. Default: none.")
]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")]


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """A command with the options that all have: --color and -q."""
    signature = inspect.signature(function, eval_str=True)
    shared = (
        inspect.Parameter("color", inspect.Parameter.KEYWORD_ONLY, default="auto", annotation=_Color),
        inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_Quiet),
    )

    def with_shared(*args: Any, color: str, quiet: bool, **kwargs: Any) -> Any:
        console.color, console.quiet = color, quiet
        return function(*args, **kwargs)

    with_shared.__name__, with_shared.__doc__ = function.__name__, function.__doc__
    with_shared.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *shared])  # type: ignore[attr-defined]
    return with_shared


class Group(TyperGroup):
    """Commands in the order in which they were added, which is the order in which they are used."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)


def _known_color(value: str) -> str:
    if value not in {"auto", "always", "never"}:
        raise typer.BadParameter("choose auto, always or never")
    return value


_Color = Annotated[
    str,
    typer.Option(
        "--color",
        metavar="auto|always|never",
        callback=_known_color,
        show_default=False,
        help="Colour. Default: on a terminal, unless NO_COLOR is set.",
    ),
]
_Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Only what was asked for, and errors.")]


def follow_ups(file: str, *verbs: str) -> tuple[str, ...]:
    """The next commands for a file; none for stdin, which is read by now."""
    return () if file == "-" else tuple(f"utk {verb} {file}" for verb in verbs)


def allow_dry_run(said: str) -> None:
    """Raises Refused for what --dry-run cannot mean."""
    from ultrathink_api.errors import Refused

    if said not in {"none", "client", "server"}:
        message, fix = f"--dry-run={said} is not there", "say none, client or server"
        raise Refused.of("UTK0604", field="--dry-run", message=message, fix=fix)


def seconds(text: str) -> float | None:
    """A duration as kubectl writes it; nothing is for ever."""
    from ultrathink_api.errors import Refused

    if not text:
        return None
    total, digits = 0.0, ""
    for letter in text:
        if letter.isdigit() or letter == ".":
            digits += letter
        elif letter in _UNITS and _is_number(digits):
            total, digits = total + float(digits) * _UNITS[letter], ""
        else:
            digits = "?"
    if digits and not (_is_number(digits) and text == digits):
        raise Refused.of("UTK0604", field="--timeout", message=f"{text!r} is no duration", fix="write 30s, 5m or 1h30m")
    return total + (float(digits) if digits else 0.0)


_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def _is_number(text: str) -> bool:
    return bool(text) and text.count(".") <= 1 and text != "."
