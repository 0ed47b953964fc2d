"""What a person sees of a run while it runs: a bar under the lines on a terminal, lines with the time in a pipe."""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

from utk.console import Console
from utk.events import Event, rate

BAR_WIDTH = 30
REFRESHES = 4
"""A second: the cores are for training."""


class Plain(AbstractContextManager["Plain"]):
    """Lines with the time, each written whole."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def line(self, text: str) -> None:
        self._console.print(f"{self._console.stamp()}{text}")

    def step(self, event: Event, of: int) -> None:
        """Lines say it."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to take down."""


class Bar(AbstractContextManager["Bar"]):
    """A bar on stderr that lines pass above; gone without a trace at the end."""

    def __init__(self, console: Console) -> None:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._console = console
        rich = RichConsole(file=console.err, no_color=not console.colored(console.err), highlight=False, markup=False)
        ascii_only = console.signs("━", console.err) != "━" or console.environ.get("TERM") == "dumb"
        self._progress = Progress(
            SpinnerColumn("line" if ascii_only else "dots"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=BAR_WIDTH),
            TextColumn("{task.fields[count]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=rich,
            transient=True,
            refresh_per_second=REFRESHES,
        )
        self._task: Any = self._progress.add_task("starting Ray and the ranks", total=None, count="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def line(self, text: str) -> None:
        """Both streams are the terminal, so what stays goes above the bar."""
        self._progress.console.print(self._console.signs(text, self._console.err), soft_wrap=True)

    def step(self, event: Event, of: int) -> None:
        loss = event.get("loss")
        said = f"loss {loss:.3f}" if isinstance(loss, int | float) else "loss none"
        speed = event.get("tokensPerSecond")
        if isinstance(speed, int | float):
            said += f"  {rate(speed)} tok/s"
        step = int(event.get("step") or 0)
        self._progress.update(self._task, completed=step, total=of or None, count=f"{step}/{of}", description=said)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


def view(console: Console) -> Plain | Bar:
    """A bar where somebody watches and nothing is asked to be quiet, else lines."""
    watched = console.live(console.out) and console.live(console.err) and not console.quiet
    return Bar(console) if watched else Plain(console)
