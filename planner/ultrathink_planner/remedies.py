"""What would make a job fit an accelerator: changes that were planned, not guessed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ultrathink_api.errors import Refused
from ultrathink_api.job import JobSpec
from ultrathink_api.rules import RULES
from ultrathink_planner.fit import Fit, fit
from ultrathink_planner.hardware import Accelerator
from ultrathink_planner.plan import Plan
from ultrathink_planner.planner import plan
from ultrathink_planner.resolve import Given

Changes = dict[str, Any]
"""Fields below spec, and what they would be."""

MOST_TENSOR = 8
"""Ranks that share a matrix: those of one machine, whose links are fast enough."""
MOST_WORKERS = 64
"""Times as many workers as the job has: beyond that the job is another one."""
WORKERS = "workers.count"


@dataclass(frozen=True, slots=True)
class Remedy:
    """Changes that make it fit, each of which is needed, and what the fullest rank then holds."""

    changes: Changes
    fit: Fit


def remedies(spec: JobSpec, accelerator: Accelerator, given: Given | None = None) -> list[Remedy]:
    """On the same workers each single setting that would be enough, changed no more than it must, or else several
    together; and more workers. If neither is enough, both together. Nothing if that does not help, if it fits already,
    or if its memory is not known."""
    search = _Search(spec, accelerator, given)
    if search.now is None or search.now.fits is not False:
        return []
    settings = [field for field in search.ladders if field != WORKERS]
    same = [found for found in map(search.alone, settings) if found] or search.together(settings)
    return same + search.together([WORKERS]) or search.together([*settings, WORKERS])


class _Search:
    """Plans of one job with some fields changed."""

    def __init__(self, spec: JobSpec, accelerator: Accelerator, given: Given | None) -> None:
        self.raw, self.accelerator, self.given = spec.dump(), accelerator, given
        self.ladders = _ladders(plan(spec, given))
        self.now = self.tried({})

    def tried(self, changes: Changes) -> Fit | None:
        """The verdict with these changes; none if they are not legal."""
        try:
            spec = JobSpec.model_validate(_changed(self.raw, changes))
            if not all(rule.holds(spec) for rule in RULES if rule.at == "spec"):
                return None
            return fit(plan(spec, self.given), self.accelerator)
        except (Refused, ValidationError):
            return None

    def alone(self, field: str) -> Remedy | None:
        """The mildest value of a field that is enough."""
        for value in self.ladders[field]:
            found = self.tried({field: value})
            if found and found.fits:
                return Remedy({field: value}, found)
        return None

    def together(self, fields: list[str]) -> list[Remedy]:
        """Step by step what takes the most away, until it fits; then without what was not needed. None if no step takes
        anything away any more."""
        changes: Changes = {}
        least = self.now
        while least and not least.fits:
            step, found = min(self.steps(changes, fields), key=lambda one: one[1].bytes or 0, default=({}, least))
            if (found.bytes or 0) >= (least.bytes or 0):
                return []
            changes |= step
            least = found
        return [self.pruned(Remedy(changes, least))] if least else []

    def steps(self, changes: Changes, fields: list[str]) -> Iterator[tuple[Changes, Fit]]:
        """Each field's next legal value, with what is changed already."""
        for field in fields:
            ladder = self.ladders[field]
            rest = ladder[ladder.index(changes[field]) + 1 :] if field in changes else ladder
            for value in rest:
                found = self.tried(changes | {field: value})
                if found:
                    yield {field: value}, found
                    break

    def pruned(self, remedy: Remedy) -> Remedy:
        """Without the changes that the others have made needless, workers first."""
        for field in sorted(remedy.changes, key=lambda field: field != WORKERS):
            fewer = {name: value for name, value in remedy.changes.items() if name != field}
            found = self.tried(fewer)
            if found and found.fits:
                return self.pruned(Remedy(fewer, found))
        return remedy


def _ladders(made: Plan) -> dict[str, list[Any]]:
    """What each field could be, the mildest first; the fields by what a change of them costs, the cheapest first."""
    mesh, moe = made.mesh, made.model.moe
    fewer_rows = [rows for rows in range(made.batch.micro_rows - 1, 0, -1) if made.batch.rows_per_data_rank % rows == 0]
    return {
        "training.precision": ["bf16"] if made.precision in ("fp32", "fp64") else [],
        "training.microBatchSequences": fewer_rows,
        "parallelism.expert": _doubled(mesh.expert, moe.experts if moe else 1),
        "parallelism.tensor": _doubled(mesh.tensor, min(MOST_TENSOR, made.ranks_per_node)),
        "parallelism.context": _doubled(mesh.context, made.ranks_per_node),
        "training.activationCheckpointing": [] if made.activation_checkpointing else [True],
        WORKERS: _doubled(made.nodes, made.nodes * MOST_WORKERS),
    }


def _doubled(value: int, most: int) -> list[int]:
    values = []
    while value * 2 <= most:
        value *= 2
        values.append(value)
    return values


def _changed(raw: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    changed = dict(raw)
    for path, value in changes.items():
        section, field = path.split(".")
        changed[section] = changed.get(section, {}) | {field: value}
    return changed
