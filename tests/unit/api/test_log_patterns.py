"""Log patterns find what regular expressions find, and nobody's time is theirs to waste."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ultrathink_api.log_patterns import found, is_pattern

ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\d", r"\W", r"\.", "[a-c]", "x", "é"])
PIECES = st.builds(lambda atom, repeat: atom + repeat, ATOMS, st.sampled_from(["", "", "*", "+", "?"]))
SEQUENCES = st.lists(PIECES, min_size=1, max_size=4).map("".join)
GROUPS = st.lists(SEQUENCES, min_size=1, max_size=3).map(lambda branches: f"({'|'.join(branches)})")
BRANCHES = st.lists(st.one_of(PIECES, GROUPS), min_size=1, max_size=4).map("".join)
PATTERNS = st.lists(BRANCHES, min_size=1, max_size=2).map("|".join)


@settings(max_examples=300, deadline=None)
@given(PATTERNS, st.text("abcxé1.-_ ", max_size=12))
def test_they_find_what_pythons_regular_expressions_find(pattern: str, text: str) -> None:
    assert is_pattern(pattern)
    assert found(pattern, text) is bool(re.search(pattern, text))


@pytest.mark.parametrize(
    "pattern", ["", "(a+)+", "a{2}", "(a|(b))", "(?:a)", "^a", "a$", r"\1", "[", "[]", "a**", "a||b", "()", "a" * 201]
)
def test_what_could_cost_more_than_its_length_is_no_pattern(pattern: str) -> None:
    assert not is_pattern(pattern)


def test_the_worst_pattern_ends_where_backtracking_would_not() -> None:
    assert not found("a?" * 60 + "a*" * 20 + "b", "a" * 1500)


@pytest.mark.parametrize("pattern", [r"[\]x]", r"[\d.-]", r"[z-a]|q", "[^^]", r"[\\]"])
def test_sets_hold_what_they_say(pattern: str) -> None:
    inside = {r"[\]x]": "]x", r"[\d.-]": "7.-", r"[z-a]|q": "q", "[^^]": "a", r"[\\]": "\\"}[pattern]
    if is_pattern(pattern):
        assert all(found(pattern, character) for character in inside)
        assert not found(pattern, "^" if pattern == "[^^]" else "m")
