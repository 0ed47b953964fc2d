"""How the result of a look is shown: its state, what was looked at, what was found, and what to do."""

from typing import TYPE_CHECKING

from utk.console import clean, console

if TYPE_CHECKING:
    from ultrathink.cluster.preflight import Check

COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}
NAME_WIDTH = 12


def show(check: "Check") -> None:
    """One line, and another for its fix."""
    state = console.paint(f"{check.state:<4}", COLORS[check.state], console.out)
    console.print(f"{state}  {check.name.ljust(NAME_WIDTH)}  {clean(check.message)}")
    if check.fix:
        console.print(f"{'':4}  {'':{NAME_WIDTH}}  fix: {clean(check.fix)}")
