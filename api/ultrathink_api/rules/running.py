"""Rules about a run: what a worker is given, when silence is a hang, how often state is kept."""

import re

from ultrathink_api.rules.statement import Rule

NOTHING = "^0+(\\\\.0+)?[a-zA-Z]*$"
"""A quantity of zero, as CEL writes the pattern."""
_NOTHING = re.compile(NOTHING.replace("\\\\", "\\"))


RUNNING: tuple[Rule, ...] = (
    Rule(
        code="UTK0196",
        at="spec.workers",
        field="spec.workers.memory",
        cel=f"!has(self.memory) || !self.memory.matches('{NOTHING}')",
        holds=lambda workers: workers.memory is None or not _NOTHING.search(workers.memory),
        message="a worker without memory cannot train",
        fix="set workers.memory above 0, or leave it out",
    ),
    Rule(
        code="UTK0197",
        at="spec.health",
        field="spec.health.hangCeilingSeconds",
        # What a default fills in is not there yet when the default itself is judged.
        cel="!has(self.hangFloorSeconds) || !has(self.hangCeilingSeconds) || "
        "self.hangFloorSeconds <= self.hangCeilingSeconds",
        holds=lambda health: health.hang_floor_seconds <= health.hang_ceiling_seconds,
        message="hangCeilingSeconds is below hangFloorSeconds",
        fix="set health.hangCeilingSeconds to at least health.hangFloorSeconds",
    ),
    Rule(
        code="UTK0198",
        at="spec.checkpoint",
        field="spec.checkpoint.copies.every",
        cel="!has(self.copies) || !has(self.every.steps) || self.copies.every <= self.every.steps",
        holds=lambda checkpoint: (
            checkpoint.copies is None
            or checkpoint.every.steps is None
            or checkpoint.copies.every <= checkpoint.every.steps
        ),
        message="copies in memory are made more rarely than checkpoints",
        fix="set checkpoint.copies.every to at most checkpoint.every.steps, or leave copies out",
    ),
)
