"""Every rule that relates fields or reads their text, once: code, CEL, predicate, message, fix.

Types, limits and unknown fields are the schema's; what needs a preset's numbers is the planner's. CRD, CLI, operator
and docs take these from here, and one file of vectors runs them in Python and in a real API server.
"""

from typing import Any

from ultrathink_api.errors import Problem
from ultrathink_api.job import UltraThinkJob
from ultrathink_api.rules.change import TRANSITIONS
from ultrathink_api.rules.engine import ENGINE
from ultrathink_api.rules.model import MODEL
from ultrathink_api.rules.parallelism import PARALLELISM
from ultrathink_api.rules.places import PLACES
from ultrathink_api.rules.restart import RESTART
from ultrathink_api.rules.running import RUNNING
from ultrathink_api.rules.statement import Rule, Statement, Transition
from ultrathink_api.rules.training import TRAINING

__all__ = ["RULES", "TRANSITIONS", "Rule", "Statement", "Transition", "broken", "broken_by_change", "part"]

RULES: tuple[Rule, ...] = (*PLACES, *MODEL, *TRAINING, *PARALLELISM, *RESTART, *ENGINE, *RUNNING)


def broken(job: UltraThinkJob) -> list[Problem]:
    """The rules that a job breaks."""
    return [rule.problem() for rule in RULES if not rule.holds(part(job, rule.at))]


def broken_by_change(old: UltraThinkJob, new: UltraThinkJob) -> list[Problem]:
    """The rules that a change breaks."""
    return [rule.problem() for rule in TRANSITIONS if not rule.holds(old, new)]


def part(job: UltraThinkJob, path: str) -> Any:
    """The part of a job that a rule looks at."""
    node: Any = job
    for name in filter(None, path.split(".")):
        node = getattr(node, name)
    return node
