"""From a spec to a plan: mesh, batch, stages, exact counts and bytes. Pure."""

from ultrathink_planner.plan import Batch, CheckpointPlan, Mesh, Parameters, Plan, RankMemory, Stage
from ultrathink_planner.planner import plan
from ultrathink_planner.shape import ModelShape, MoEShape

__all__ = [
    "Batch",
    "CheckpointPlan",
    "Mesh",
    "ModelShape",
    "MoEShape",
    "Parameters",
    "Plan",
    "RankMemory",
    "Stage",
    "plan",
]
