"""How a person is spoken to: prose on stderr, colour and signs only where they can be seen."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO

COLORS = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "bold": "1", "dim": "2"}
ASCII = {
    "✓": "+",
    "✗": "x",
    "●": "*",
    "·": "-",
    "─": "-",
    "…": "...",
    "×": "x",
    "→": "->",
    "Δ": "d",
    "—": "-",
    "█": "#",
    "░": ".",
}
PIPE_WIDTH = 0
"""No width: what goes into a pipe is never cut."""
NARROW = 80
PROGRAM = "utk"
ONE_LINE = 100
"""Next commands longer than this stand on lines of their own, where they can be copied."""


@dataclass(slots=True)
class Console:
    """One for the process, made again by the tests."""

    out: IO[str] = field(default_factory=lambda: sys.stdout)
    err: IO[str] = field(default_factory=lambda: sys.stderr)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    color: str = "auto"
    quiet: bool = False
    program: str = PROGRAM
    """How this command was called: what is suggested can be typed as it stands."""

    def live(self, stream: IO[str]) -> bool:
        """Whether a person looks at this stream while it is written: a terminal, and no CI."""
        return stream.isatty() and not self.environ.get("CI") and self.environ.get("TERM") != "dumb"

    @property
    def asks(self) -> bool:
        """Whether somebody is there to answer a question."""
        return sys.stdin.isatty() and self.live(self.err)

    def colored(self, stream: IO[str]) -> bool:
        """--color, then NO_COLOR and FORCE_COLOR, then whether it is a terminal."""
        if self.color != "auto":
            return self.color == "always"
        if self.environ.get("NO_COLOR"):
            return False
        if self.environ.get("FORCE_COLOR", "0") not in {"", "0"}:
            return True
        return self.live(stream)

    def paint(self, text: str, color: str, stream: IO[str] | None = None) -> str:
        """The text in a colour, where colours are shown."""
        return f"\x1b[{COLORS[color]}m{text}\x1b[0m" if self.colored(stream or self.err) else text

    def signs(self, text: str, stream: IO[str]) -> str:
        """The text with plain letters for signs that the stream cannot show."""
        encoding = (getattr(stream, "encoding", None) or "ascii").lower().replace("-", "")
        if encoding.startswith("utf") and self.environ.get("TERM") != "dumb":
            return text
        for sign, plain in ASCII.items():
            text = text.replace(sign, plain)
        return text.encode(encoding if encoding else "ascii", "backslashreplace").decode(encoding or "ascii")

    def width(self, stream: IO[str]) -> int:
        """Columns of the terminal; 0 in a pipe."""
        return shutil.get_terminal_size((NARROW, 24)).columns if self.live(stream) else PIPE_WIDTH

    def print(self, text: str = "") -> None:
        """A line of what was asked for."""
        print(self.signs(text, self.out), file=self.out, flush=True)

    def say(self, text: str = "") -> None:
        """A line about what is done; silent with --quiet."""
        if not self.quiet:
            print(self.signs(text, self.err), file=self.err, flush=True)

    def complain(self, text: str) -> None:
        """A line that is never silenced."""
        print(self.signs(text, self.err), file=self.err, flush=True)

    def done(self, text: str) -> None:
        """Something worked."""
        self.say(f"{self.paint('✓', 'green')} {text}")

    def next(self, *commands: str) -> None:
        """What can be done now: at most three."""
        assert len(commands) <= 3, "three next commands are enough"
        if commands:
            commands = tuple(self.typed(command) for command in commands)
            together = "  ·  ".join(commands)
            apart = len(together) > ONE_LINE
            self.say(self.paint("Next:", "bold") + ("" if apart else f" {together}"))
            for command in commands if apart else ():
                self.say(f"  {command}")

    def typed(self, command: str) -> str:
        """A command of ours as it is to be typed here."""
        return self.program + command.removeprefix(PROGRAM) if command.startswith(f"{PROGRAM} ") else command

    def table(self, rows: Sequence[Sequence[str]], colors: Sequence[str] = ()) -> None:
        """A head and rows below it as data; `colors` are those of the rows, "" for none."""
        head, *lines = table(rows, self.width(self.out))
        self.print(self.paint(head, "bold", self.out))
        for line, color in zip(lines, colors or [""] * len(lines), strict=True):
            self.print(self.paint(line, color, self.out) if color else line)

    def stamp(self) -> str:
        """The time before a line in a pipe; nothing on a terminal, where the line is read as it comes."""
        return "" if self.live(self.out) else f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} "


console = Console()


def clean(text: str) -> str:
    """Text from elsewhere with everything that could move a cursor or hide a word made visible."""
    return "".join(c if c.isprintable() or c == "\t" else ascii(c)[1:-1] for c in text)


def cut(text: str, width: int) -> str:
    """The text in at most so many columns; whole where there is no width."""
    return text if not width or len(text) <= width else text[: max(1, width - 1)] + "…"


def table(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Rows in columns; only the last line's end is cut, and only on a terminal."""
    sizes = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["   ".join(cell.ljust(size) for cell, size in zip(row, sizes, strict=True)).rstrip() for row in rows]
    return [cut(line, width) for line in lines]
