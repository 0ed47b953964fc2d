"""Refusals for people: what, where, why, fix, with the lines of the file and a caret under the place."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ultrathink_api.errors import CODES, Problem, Refused
from utk.console import clean, console

if TYPE_CHECKING:
    from ultrathink.source import Source, Unreadable

CONTEXT_LINES = 1


def complain(problems: Iterable[Problem], source: "Source | None" = None, kind: str = "error") -> None:
    """Each problem on stderr, a blank line between two."""
    console.complain("\n\n".join(text(problem, source, kind) for problem in problems))


def text(problem: Problem, source: "Source | None" = None, kind: str = "error") -> str:
    """One problem."""
    code = CODES.get(problem.code)
    color = "red" if kind == "error" else "yellow"
    head = console.paint(f"{kind}[{problem.code}]", color)
    lines = [f"{head}: {console.paint(clean(_title(problem, code.title if code else '')), 'bold')}"]
    lines += _place(problem, source)
    if problem.why:
        lines.append(f"   = why: {clean(problem.why)}")
    lines.append(f"   = fix: {clean(problem.fix)}")
    lines.append(f"   = see: {console.typed('utk explain')} {problem.code}")
    return "\n".join(lines)


def show(refused: Refused) -> None:
    """A refusal with all that it knows of its place."""
    from ultrathink.source import Located, Unreadable

    if isinstance(refused, Unreadable):
        unreadable(refused)
    else:
        complain(refused.problems, refused.source if isinstance(refused, Located) else None)


def unreadable(refused: "Unreadable") -> None:
    """A text that stops being YAML, with a caret where it does."""
    problem = refused.problem
    lines = [
        f"{console.paint(f'error[{problem.code}]', 'red')}: {console.paint('the file is not YAML', 'bold')}",
        *_excerpt(refused.name, refused.text, refused.line, refused.column, refused.column + 1, "here it stops"),
        f"   = why: {clean(problem.message)}",
        f"   = fix: {clean(problem.fix)}",
        f"   = see: {console.typed('utk explain')} {problem.code}",
    ]
    console.complain("\n".join(lines))


def _title(problem: Problem, title: str) -> str:
    return (title[0].lower() + title[1:]) if title else problem.message


def _place(problem: Problem, source: "Source | None") -> list[str]:
    message = clean(problem.message)
    override = source.override_of(problem.field) if source else None
    if override:
        return [f"  --> {clean(override.said)}", f"   = {clean(problem.field)}: {message}"]
    span = source.span_of(problem.field, problem.code) if source and problem.field else None
    if source is None or span is None:
        return [f"  --> {clean(problem.field)}", f"   = {message}"] if problem.field else [f"   = {message}"]
    return _excerpt(source.document.source, source.document.text, span.line, span.column, span.end, message)


def _excerpt(name: str, text: str, line: int, column: int, end: int, message: str) -> list[str]:
    every = text.splitlines()
    first, last = max(1, line - CONTEXT_LINES), min(len(every), line)
    gutter = len(str(last))
    lines = [f"{' ' * gutter} --> {clean(name)}:{line}:{column}", f"{' ' * gutter} |"]
    for number in range(first, last + 1):
        lines.append(f"{number:>{gutter}} | {clean(every[number - 1].expandtabs(1))}")
    under = console.paint("^" * max(1, end - column), "red")
    lines.append(f"{' ' * gutter} | {' ' * (column - 1)}{under} {message}")
    return lines
