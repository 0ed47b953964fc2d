"""What a rule is: a code, where it looks, the same thing in CEL and in Python, a message and a fix."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ultrathink_api.errors import Problem
from ultrathink_api.job import UltraThinkJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What every rule says. `at` is the part of the object that CEL's `self` is; `field` what to point at."""

    code: str
    at: str = ""
    field: str
    cel: str
    message: str
    fix: str

    @property
    def said(self) -> str:
        """What the API server answers."""
        return f"{self.code} {self.message} (fix: {self.fix})"

    def problem(self) -> Problem:
        """What Python answers."""
        return Problem(code=self.code, field=self.field, message=self.message, fix=self.fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Statement):
    """A rule about what is; the predicate sees the part that `at` names."""

    holds: Callable[[Any], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition(Statement):
    """A rule about a change: what was, and what is asked for."""

    holds: Callable[[UltraThinkJob, UltraThinkJob], bool]


def divides(divisor: int | None, number: int | None) -> bool:
    return divisor is None or number is None or number % divisor == 0
