"""Whether a plan fits an accelerator's memory."""

from dataclasses import dataclass

from ultrathink_planner.hardware import SKEW, Accelerator, usable
from ultrathink_planner.memory import Setting, fullest
from ultrathink_planner.plan import Plan, RankMemory


@dataclass(frozen=True, slots=True)
class Fit:
    """The fullest stage of a plan beside what a device has for it. `bytes` is none where it is not known."""

    accelerator: Accelerator
    stage: int
    bytes: int | None
    usable: int

    @property
    def fits(self) -> bool | None:
        """Whether the fullest rank has room; none if its memory is not known."""
        return None if self.bytes is None else self.bytes <= self.usable


def fit(plan: Plan, accelerator: Accelerator) -> Fit:
    """The verdict: by the fullest moment of the fullest stage, with as many rows at one rank's experts as balanced
    routers leave."""
    sizes = [(_bytes(plan, rank), rank.stage) for rank in plan.per_rank]
    known = [(size, stage) for size, stage in sizes if size is not None]
    if len(known) < len(sizes):
        return Fit(accelerator, 0, None, usable(accelerator))
    size, stage = max(known)
    return Fit(accelerator, stage, size, usable(accelerator))


def _bytes(plan: Plan, rank: RankMemory) -> int | None:
    said = rank.memory_bytes.fullest
    if said is None:
        return None
    setting = Setting(plan.batch, plan.precision, plan.activation_checkpointing, fused=True, skew=SKEW)
    peak = fullest(plan.model, plan.mesh, plan.stages[rank.stage], setting)
    return max(said, rank.memory_bytes.parameters + rank.memory_bytes.optimizer + peak.total)
