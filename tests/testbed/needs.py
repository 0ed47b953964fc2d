"""What happens when a part of the test bed cannot be had: a skip with its reason at home, a failure in CI."""

import os
from collections.abc import Callable
from typing import NoReturn, TypeVar

T = TypeVar("T")


class CannotSupply(Exception):
    """A part that this machine cannot supply, and the command that would."""

    def __init__(self, part: str, reason: str, supply: str) -> None:
        super().__init__(f"{part}: {reason}; to supply it: {supply}")
        self.part, self.reason, self.supply = part, reason, supply


def require(part: Callable[[], T]) -> T:
    """The part, or the end of the calling test: skipped with the reason, failed where CI=true."""
    try:
        return part()
    except CannotSupply as missing:
        _give_up(str(missing))


def _give_up(message: str) -> NoReturn:
    import pytest

    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
