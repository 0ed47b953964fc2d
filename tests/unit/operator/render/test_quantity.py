"""Quantities as numbers."""

from fractions import Fraction

import pytest

from ultrathink_operator.render import quantity


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), (4, 4), ("500m", Fraction(1, 2)), ("1.5", Fraction(3, 2)), ("2Ki", 2048), ("4Gi", 2**32), ("3M", 3e6)],
)
def test_means_what_kubernetes_means(text: str | int, number: int | Fraction) -> None:
    assert quantity.parse(text) == number


def test_sums_round_up() -> None:
    assert quantity.total("500m", 2, "0.5") == "3000m"
    assert quantity.total_bytes("1Gi", "1", "1k") == "1025Mi"
