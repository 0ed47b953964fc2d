"""Where `utk` starts: words in, exit code out; every refusal in one shape, never a traceback."""

import os
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from ultrathink_api.errors import Problem, Refused
from utk import exits, output
from utk.console import PROGRAM, console
from utk.options import Group, command

COMMANDS = (
    *("init", "validate", "plan", "run", "eval", "reproduce"),
    *("diff", "submit", "list", "get", "status", "wait", "logs", "events", "goodput"),
    *("stop", "resume", "restart", "cancel", "delete"),
    *("diagnose", "doctor", "explain", "version", "completion", "help"),
)
"""Each is `main` in the module of its name below utk.commands; its docstring is its help."""

GROUPS = ("checkpoints", "data", "tokenizer", "admin")
"""Each is `app` in the module of its name."""

DEBUG = "UTK_DEBUG"
PLUGIN = "kubectl-utk"
PYTHON_NAMES = {"list": "list_", "eval": "eval_", "help": "help_"}


def build() -> typer.Typer:
    """The command line. Modules of commands import nothing heavy: what they need, they import when they run."""
    app = typer.Typer(
        cls=Group,
        help="Trains Mixture-of-Experts language models on Kubernetes, or right here.",
        rich_markup_mode=None,
        add_completion=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name in COMMANDS:
        module = import_module(f"utk.commands.{PYTHON_NAMES.get(name, name)}")
        app.command(name)(command(module.main))
    for name in GROUPS:
        app.add_typer(import_module(f"utk.commands.{name}").app, name=name)
    return app


def main() -> None:
    """The console script."""
    console.program = called_as(sys.argv[0])
    sys.exit(run(sys.argv[1:]))


def called_as(path: str) -> str:
    """What to type to get here again: utk where a shell finds it, `kubectl utk` for its plugin, else the path."""
    name = Path(path).name
    if name == PLUGIN:
        return "kubectl utk"
    return path if name == PROGRAM and shutil.which(PROGRAM) is None else PROGRAM


def run(argv: list[str]) -> int:
    """Runs one command line; returns its exit code."""
    from typer.exceptions import Abort, TyperException

    shape = output.requested(argv)
    try:
        code = typer.main.get_command(build()).main(args=argv, prog_name="utk", standalone_mode=False)
        return code if isinstance(code, int) else exits.OK
    except Refused as refused:
        return _refused(refused, shape)
    except TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            console.complain(error.format_message())
            return exits.USAGE
        return _refused(_usage(error), shape)
    except (KeyboardInterrupt, Abort):
        return exits.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough of it; the interpreter must not stumble over it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.OK
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        return _refused(_unexpected(error), shape)


def _refused(refused: Refused, shape: str) -> int:
    from utk import problems

    code = exits.of(refused.problem)
    if shape in {"json", "jsonl"}:
        _show_json(refused, code, shape)
        return code
    problems.show(refused)
    return code


def _show_json(refused: Refused, code: int, shape: str) -> None:
    from ultrathink.reports import problem_list, report

    said: dict[str, Any] = report("Error", exitCode=code, errors=problem_list(refused.problems))
    if shape == "jsonl":
        said = {"event": "error", **said}
    console.print(output.to_json(said, indent=None if shape == "jsonl" else 2))


def _usage(error: Any) -> Refused:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "utk"
    return Refused(
        Problem(
            code="UTK0604",
            field=path,
            message=error.format_message().rstrip("."),
            fix=f"see {path} --help",
        )
    )


def _unexpected(error: Exception) -> Refused:
    return Refused.of(
        "UTK0600",
        message=f"{type(error).__name__}: {error}",
        why="this is a bug in utk, or something on this machine that it did not expect",
        fix=f"run it again with {DEBUG}=1 in the environment and report what it prints",
    )
