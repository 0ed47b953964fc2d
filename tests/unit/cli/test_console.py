"""Signs, colours and widths: only where they can be seen, and nothing that could command a terminal."""

import io
from typing import Any

import pytest

from utk.console import Console, clean, cut, table
from utk.jsonpath import evaluate


class Stream(io.TextIOWrapper):
    """A stream of an encoding that is a terminal, or not."""

    def __init__(self, *, terminal: bool, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    @property
    def text(self) -> str:
        return bytes(self.buffer.getvalue()).decode(self.encoding)  # type: ignore[attr-defined]


def console(terminal: bool = True, encoding: str = "utf-8", color: str = "auto", **environ: str) -> Console:
    out, err = (Stream(terminal=terminal, encoding=encoding) for _ in range(2))
    return Console(out=out, err=err, environ=environ, color=color)


@pytest.mark.parametrize(
    ("made", "colored"),
    [
        (console(), True),
        (console(terminal=False), False),
        (console(NO_COLOR="1"), False),
        (console(terminal=False, FORCE_COLOR="1"), True),
        (console(NO_COLOR="1", FORCE_COLOR="1"), False),
        (console(CI="true"), False),
        (console(TERM="dumb"), False),
        (console(terminal=False, color="always"), True),
        (console(color="never", FORCE_COLOR="1"), False),
    ],
)
def test_colour_is_where_it_is_wanted(made: Console, colored: bool) -> None:
    assert ("\x1b" in made.paint("text", "red")) is colored


def test_signs_become_letters_where_they_cannot_be_shown() -> None:
    plain = console(terminal=False, encoding="ascii")
    plain.print("✓ a · b × c → ● ─ é")
    assert plain.out.text == "+ a - b x c -> * - \\xe9\n"  # type: ignore[attr-defined]


def test_a_time_stands_before_lines_in_a_pipe_only() -> None:
    assert console().stamp() == ""
    assert console(terminal=False).stamp().endswith("Z ")


def test_quiet_silences_prose_and_no_complaint() -> None:
    made = console()
    made.quiet = True
    made.say("prose")
    made.next("utk plan")
    made.complain("complaint")
    assert made.err.text == "complaint\n"  # type: ignore[attr-defined]


def test_more_than_three_next_commands_are_none() -> None:
    with pytest.raises(AssertionError):
        console().next("a", "b", "c", "d")


@pytest.mark.parametrize("bad", ["\x1b[2J", "\x07", "\x9b31m", "\r", "\u202eevil", "\x00", "\n"])
def test_what_commands_a_terminal_becomes_visible(bad: str) -> None:
    made = clean(f"a{bad}b")
    assert made.isprintable() and made.startswith("a\\") and made.endswith("b")


def test_ordinary_text_stays_as_it_is() -> None:
    assert clean("Grüße, 世界\t✓") == "Grüße, 世界\t✓"


def test_names_are_cut_on_a_terminal_only() -> None:
    rows = [("NAME", "WHY"), ("a" * 50, "b" * 50)]
    assert table(rows, 0)[1] == f"{'a' * 50}   {'b' * 50}"
    assert [len(line) <= 60 for line in table(rows, 60)] == [True, True]
    assert cut("abcdef", 4) == "abc…"


VALUE: dict[str, Any] = {"a": {"b": [{"c": 1}, {"c": "x"}]}, "d.e": True}


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("{.a.b[0].c}", "1"),
        ("a.b[1].c", "x"),
        ("{.a.b[*].c}", "1 x"),
        ("{.a.b[-1].c}", "x"),
        ("{$.a.b[0]}", '{"c": 1}'),
        ("{['d.e']}", "true"),
        ("{.missing.field}", ""),
        ("c is {.a.b[0].c}{'\\n'}!", "c is 1\n!"),
    ],
)
def test_jsonpath_reads_what_scripts_ask(expression: str, text: str) -> None:
    assert evaluate(expression, VALUE) == text


@pytest.mark.parametrize("expression", ["{.a[?(@.b)]}", "{range .a}", "{.a", "{.a..b}"])
def test_jsonpath_refuses_what_it_does_not_know(expression: str) -> None:
    from ultrathink_api.errors import Refused

    with pytest.raises(Refused) as refused:
        evaluate(expression, VALUE)
    assert refused.value.problem.code == "UTK0604"
