"""The ranks' arrangement, pipeline outermost, then data, context, tensor; experts borrow the ranks of a stage."""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from ultrathink_planner import Mesh, Plan, Stage

AXES = ("pipeline", "data", "context", "tensor")
EXPERT, REST = "expert", "rest"
"""Axes of the experts' own mesh."""


@dataclass(frozen=True)
class World:
    """This rank's place among the others. Needs an initialised default process group, even alone."""

    mesh: DeviceMesh
    experts: DeviceMesh
    """The same ranks once more, as (pipeline, rest, expert): neighbours on `expert` hold different experts, those on
    `rest` parts of the same."""
    stage_group: dist.ProcessGroup
    """The ranks of this stage, which hold different tokens."""
    row_group: dist.ProcessGroup
    """Those of them that hold positions of the same rows."""
    shards: DeviceMesh
    """Those that parameters are sharded over: data and context, in one dimension."""
    control_group: dist.ProcessGroup
    """All ranks, on CPU: control words and everything else that must not wait for a GPU."""
    device: torch.device

    @property
    def rank(self) -> int:
        return dist.get_rank()

    def size(self, axis: str) -> int:
        return self.mesh.size(AXES.index(axis))

    def at(self, axis: str) -> int:
        return self.mesh.get_local_rank(axis)

    def stage_of(self, plan: Plan) -> Stage:
        return plan.stages[self.at("pipeline")]

    @property
    def counts_loss(self) -> bool:
        """Whether this rank's loss counts: the last stage computes it, on all its tensor ranks alike."""
        return self.at("pipeline") == self.size("pipeline") - 1 and self.at("tensor") == 0


def build_world(mesh: Mesh, device: torch.device) -> World:
    """Called by all ranks of the default process group together."""
    shape = (mesh.pipeline, mesh.data, mesh.context, mesh.tensor)
    assert dist.get_world_size() == mesh.pipeline * mesh.stage_ranks, "the plan is for another world size"
    cube = init_device_mesh(device.type, shape, mesh_dim_names=AXES)
    borrowed = (mesh.pipeline, mesh.stage_ranks // mesh.expert, mesh.expert)
    experts = init_device_mesh(device.type, borrowed, mesh_dim_names=("pipeline", REST, EXPERT))
    stage_group = cube["data", "context", "tensor"]._flatten("stage").get_group()
    row_group = cube["context", "tensor"]._flatten("row").get_group()
    shards = cube["data", "context"]._flatten("shard")
    control_group = dist.new_group(backend="gloo")
    return World(cube, experts, stage_group, row_group, shards, control_group, device)
