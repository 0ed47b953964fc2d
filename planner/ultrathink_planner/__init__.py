"""From a spec to a plan: mesh, batch, stages, exact counts and bytes. Pure."""

from ultrathink_planner.fit import Fit, fit
from ultrathink_planner.hardware import CATALOGUE, Accelerator
from ultrathink_planner.plan import Batch, CheckpointPlan, MemoryBytes, Mesh, Parameters, Plan, RankMemory, Stage
from ultrathink_planner.planner import plan
from ultrathink_planner.remedies import Remedy, remedies
from ultrathink_planner.resolve import Given
from ultrathink_planner.shape import DREShape, ModelShape, MoEShape

__all__ = [
    "CATALOGUE",
    "Accelerator",
    "Batch",
    "CheckpointPlan",
    "DREShape",
    "Fit",
    "Given",
    "MemoryBytes",
    "Mesh",
    "ModelShape",
    "MoEShape",
    "Parameters",
    "Plan",
    "RankMemory",
    "Remedy",
    "Stage",
    "fit",
    "plan",
    "remedies",
]
