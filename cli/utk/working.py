"""Work that takes a while, as a person sees it: a bar on stderr where one is watched, else a line a tenth."""

from types import TracebackType
from typing import Any, Self

from utk.console import Console

BAR_WIDTH = 30
LINES = 10
"""In a pipe: of each kind of work, so many lines."""


class Working:
    """A bar, or lines with the time."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Any = None
        self._task: Any = None
        self._said: tuple[str, int] = ("", -1)

    def __enter__(self) -> Self:
        if self._console.live(self._console.err) and not self._console.quiet:
            from rich.console import Console as RichConsole
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

            rich = RichConsole(file=self._console.err, no_color=not self._console.colored(self._console.err))
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=BAR_WIDTH),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                console=rich,
                transient=True,
            )
            self._task = self._bar.add_task("starting", total=None)
            self._bar.start()
        return self

    def take(self, what: str, done: int, of: int) -> None:
        """So much of some work is done."""
        if self._bar:
            self._bar.update(self._task, description=what, completed=done, total=of or None)
            return
        said = (what, done * LINES // max(of, 1))
        if said != self._said:
            self._said = said
            self._console.say(f"{self._console.stamp()}{what} {100 * done // max(of, 1)} %")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()


def working(console: Console) -> Working:
    return Working(console)
