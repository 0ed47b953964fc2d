"""How the ranks of a plan are arranged, in words; an axis that few jobs cut is named where it is cut."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ultrathink_planner import Plan


def gist(plan: "Plan") -> str:
    """In the shortest words."""
    mesh = plan.mesh
    context = f" · cp {mesh.context}" if mesh.context > 1 else ""
    return f"{plan.world_size} ranks (tp {mesh.tensor}{context} · pp {mesh.pipeline} · dp {mesh.data})"


def product(ranks: Any, mesh: dict[str, Any]) -> str:
    """As the product that it is; of a mesh as it is dumped."""
    context = f" × context {mesh['context']}" if mesh.get("context", 1) > 1 else ""
    return (
        f"{ranks} ranks = pipeline {mesh.get('pipeline')} × data {mesh.get('data')}{context} "
        f"× tensor {mesh.get('tensor')}"
    )
