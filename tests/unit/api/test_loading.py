"""YAML is read as the API server reads it, and remembers where everything stands."""

import pytest

from ultrathink_api.errors import Refused
from ultrathink_api.loading import dump, load, scalar

TEXT = """\
kind: UltraThinkJob
spec:
  training: {steps: 200, lr: 1e-5}
  list:
  - a
  - b: 3
"""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("3.0e-4", 3e-4),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("200", 200),
        ("0x10", 16),
        ("2026-01-01", "2026-01-01"),
        ("1_000", 1000),
        ("yes", True),
        ("'yes'", "yes"),
        ("~", None),
        ("{a: [1, 2]}", {"a": [1, 2]}),
    ],
)
def test_scalars_mean_what_they_mean_to_kubernetes(text: str, value: object) -> None:
    assert scalar(text) == value


@pytest.mark.parametrize(
    "value",
    [
        "1e3",
        "1E3",
        ".5",
        "200",
        "yes",
        "~",
        "",
        " a ",
        "2026-01-01",
        "\u202e",
        "a\nb",
        "\x7f",
        1e-5,
        1e300,
        2,
        None,
        True,
    ],
)
def test_what_is_written_is_read_as_it_was(value: object) -> None:
    assert load(dump({"a": value}), "text").value == {"a": value}


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [("kind", 1, 7), ("spec.training.steps", 3, 21), ("spec.list[1].b", 6, 8), ("spec.training.gone", 3, 3)],
)
def test_every_field_is_found_again(path: str, line: int, column: int) -> None:
    span = load(TEXT, "job.yaml").locate(path)
    assert span is not None
    assert (span.line, span.column) == (line, column)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1\nb: 2", "line 2"),
        ("a: 1\n---\nb: 2", "2 YAML documents"),
        ("", "0 YAML documents"),
        ("- a", "list, not an object"),
        ("a: 1\na: 2", "given twice"),
        ("a: !!python/object:os.system x", "not YAML"),
        ("a: &a [*a]", "deeper than"),
        (
            "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
            "d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d]",
            "more than 10,000 values",
        ),
    ],
)
def test_what_is_not_one_object_is_refused_with_its_place(text: str, words: str) -> None:
    with pytest.raises(Refused) as refused:
        load(text, "job.yaml")
    assert refused.value.problem.code == "UTK0100"
    assert words in refused.value.problem.message
