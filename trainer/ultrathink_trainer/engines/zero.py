"""The engine `deepspeed`: ZeRO over the data axis.

DeepSpeed cuts flat buffers, never along a dimension, and saves files of its own. Here state leaves and enters it by
parameter name, cut on the first dimension as FSDP2 cuts it, so that checkpoints are the same for both engines.
"""

import logging
import os
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard

from ultrathink_planner import Plan
from ultrathink_planner.layout import WHOLE

from ..data.loader import Rows
from ..model.moe import MoE
from ..model.transformer import Transformer
from ..optim.adamw import MOMENTS
from ..parallel.batches import Accumulated
from ..parallel.mesh import World
from ..parallel.parallelize import build_model

LARGEST_BUCKET = 50_000_000
"""Elements that are reduced at once. DeepSpeed's own 500 million would hold 2 GB of float32."""
NEVER = 2**31
"""DeepSpeed reports every so many steps; our records say it already."""


class Zero:
    """All of DeepSpeed that we know of. It averages: the loss is multiplied by the number of ranks."""

    def __init__(self, plan: Plan, world: World) -> None:
        assert plan.zero_stage is not None, "the planner resolves the stage"
        self.plan, self.mesh, self.stage = plan, world.mesh["data"], plan.zero_stage
        self.updates, self.divides = 0, plan.mesh.data
        self.model = build_model(plan, world, cut=False)
        self.parameters = dict(self.model.named_parameters())
        half = plan.precision == "bf16"
        first = {name: rows_of(p.detach(), self.mesh) for name, p in self.parameters.items()} if half else {}
        self.engine = begin(self.model, self._adamw(), plan, world)
        self.zero: Any = self.engine.optimizer
        self.flat: list[torch.Tensor] = (
            self.zero.fp32_partitioned_groups_flat if self.stage == WHOLE else self.zero.single_partition_of_fp32_groups
        )
        self._make_moments()
        if half:  # what it updates was copied from what it computes with, already rounded
            self.take(first)
        self.batches = Scaled(self.engine, plan.batch.micro_rows, self.divides)

    def _adamw(self) -> torch.optim.Optimizer:
        """The same kernel as the engine `torch` uses, so that an update of the same numbers gives the same bits."""
        spec = self.plan.optimizer
        assert spec.lr is not None, "the planner resolves the rate"
        matrices = [p for p in self.parameters.values() if p.ndim > 1]
        vectors = [p for p in self.parameters.values() if p.ndim <= 1]
        return torch.optim.AdamW(
            [{"params": matrices, "weight_decay": spec.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
            lr=spec.lr,
            betas=(spec.beta1, spec.beta2),
            eps=spec.epsilon,
            fused=True,
        )

    def _make_moments(self) -> None:
        """DeepSpeed makes them in the first step; a checkpoint is read before it."""
        for flat in self.flat:
            self.zero.optimizer.state[flat] = {
                "step": torch.zeros((), dtype=torch.float32, device=flat.device),
                **{moment: torch.zeros_like(flat) for moment in MOMENTS},
            }
        if self.stage != WHOLE:
            self.zero._lazy_init_hp_params_optimizer_state()

    # A step

    def squared_norm(self) -> torch.Tensor:
        total = torch.zeros((), dtype=torch.float64, device=self.flat[0].device)
        for gradient in self._gradients():
            total += torch.linalg.vector_norm(gradient).double().square()
        return total

    def _gradients(self) -> list[torch.Tensor]:
        """Of the elements that this rank updates."""
        return [gradient for group in self.zero.averaged_gradients.values() for gradient in group or ()]

    def update(self, lr: float, factor: float) -> None:
        if factor != 1.0:
            for gradient in self._gradients():
                gradient.mul_(factor)
        for group in self.zero.param_groups:
            group["lr"] = lr
        for flat in self.flat:
            self.zero.optimizer.state[flat]["step"].fill_(self.updates)
        self.engine.step()
        self.updates += 1

    def clear(self) -> None:
        self.zero.zero_grad(set_to_none=True)
        if self.stage != WHOLE:
            self.zero.micro_step_id = -1
            for group in list(self.zero.averaged_gradients):
                self.zero.averaged_gradients[group] = self.zero.all_grad_tensors[group] = None

    # State by name

    def tensors(self) -> dict[str, torch.Tensor]:
        """This rank's rows of each, made anew at each call: the flat buffers share no storage with them."""
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        found = self._buffers()
        for name, parameter in self.parameters.items():
            found[name] = rows_of(safe_get_full_fp32_param(parameter), self.mesh)
        for name, parameter in self.parameters.items():
            for moment in MOMENTS:
                whole = safe_get_full_optimizer_state(parameter, moment)
                found[f"optimizer.{name}.{moment}"] = rows_of(whole, self.mesh)
        return found

    def take(self, tensors: Mapping[str, torch.Tensor]) -> None:
        if self.stage == WHOLE and self.zero.persistent_parameters:
            self.zero.persistent_parameters[0].partition(self.zero.persistent_parameters)
        for name, parameter in self.parameters.items():
            self._set(parameter, tensors[name], None)
            for moment in MOMENTS:
                if (kept := f"optimizer.{name}.{moment}") in tensors:
                    self._set(parameter, tensors[kept], moment)
        if self.stage != WHOLE:
            self.zero.update_lp_params()
            return
        for group in range(len(self.flat)):
            self.zero._reassign_or_swap_out_partitioned_parameters(group)
        if self.zero.persistent_parameters:
            self.zero.persistent_parameters[0].all_gather(self.zero.persistent_parameters)

    def _set(self, parameter: torch.Tensor, part: torch.Tensor, moment: str | None) -> None:
        from deepspeed import utils

        assert isinstance(part, DTensor)
        whole = part.full_tensor()
        if self.stage == WHOLE:  # its own way for whole tensors fails where ranks do not divide them
            size = utils.safe_get_local_fp32_param(parameter).numel()
            padded = whole.new_zeros(size * self.mesh.size())
            padded[: whole.numel()] = whole.flatten()
            whole = padded.narrow(0, size * self.mesh.get_local_rank(), size)
            if moment is None:
                utils.safe_set_local_fp32_param(parameter, whole)
            else:
                utils.safe_set_local_optimizer_state(parameter, whole, moment)
        elif moment is None:
            utils.safe_set_full_fp32_param(parameter, whole)
        else:
            utils.safe_set_full_optimizer_state(parameter, whole, moment)

    def _buffers(self) -> dict[str, torch.Tensor]:
        """What is kept of the model beside its parameters; every rank has all of it."""
        names = {name for name, _ in self.model.named_parameters(remove_duplicate=False)}
        return {name: value for name, value in self.model.state_dict().items() if name not in names}


class Scaled(Accumulated):
    """Micro-batches one after another, by DeepSpeed's own forward and backward."""

    def __init__(self, engine: Any, micro_rows: int, times: int) -> None:
        super().__init__(engine, micro_rows)
        self.engine, self.times = engine, times

    def train(self, rows: Rows, divisor: float) -> torch.Tensor:
        micro_batches = self._split(rows)
        total = torch.zeros((), dtype=torch.float64, device=rows.tokens_BT.device)
        for index, (tokens_BT, labels_BT) in enumerate(micro_batches):
            self.engine.set_gradient_accumulation_boundary(index == len(micro_batches) - 1)
            loss = self.engine(tokens_BT, labels_BT).sum() / divisor
            self.engine.backward(loss * self.times, scale_wrt_gas=False)
            total += loss.detach()
        return total


def begin(model: Transformer, adamw: torch.optim.Optimizer, plan: Plan, world: World) -> Any:
    """DeepSpeed's engine on the process group that there is. The library is loaded here: other jobs never pay."""
    os.environ["DS_ACCELERATOR"] = world.device.type
    os.environ.setdefault("LOCAL_RANK", str(world.device.index or 0))  # it refuses to begin without
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed.c10d_logger")  # its calls
    import deepspeed

    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    # It would compile this one with g++ before the first step; gloo does the same work.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    if plan.zero_stage == WHOLE:
        assert model.head is not None, "the model is whole"
        # The loss takes the head's weight past the head.
        deepspeed.zero.register_external_parameter(model, model.head.weight)
        if model.moe_layers():
            # Gathered as one: no rank waits for an expert that another one's tokens did not ask for.
            deepspeed.utils.set_z3_leaf_modules(model, [MoE])
    size = sum(parameter.numel() for parameter in model.parameters())
    engine, *_ = deepspeed.initialize(
        model=model,
        optimizer=adamw,
        dist_init_required=False,
        config={
            "train_micro_batch_size_per_gpu": plan.batch.micro_rows,
            "gradient_accumulation_steps": plan.batch.microbatches,
            "gradient_clipping": 0.0,  # ours: the norm also says whether the step counts
            "steps_per_print": NEVER,
            # Whatever is computed in, gradients are summed and kept as parameters are.
            "bf16": {"enabled": plan.precision == "bf16"},
            "data_types": {"grad_accum_dtype": "fp32"},
            "communication_data_type": "fp32",
            "zero_optimization": {"stage": plan.zero_stage, "reduce_bucket_size": min(size, LARGEST_BUCKET)},
        },
    )
    return engine


def rows_of(whole: torch.Tensor, mesh: DeviceMesh) -> DTensor:
    """This rank's rows of a tensor that all ranks have."""
    rows = -(-len(whole) // mesh.size())
    first = min(len(whole), rows * mesh.get_local_rank())
    mine = whole[first : first + rows].clone()
    return DTensor.from_local(
        mine, mesh, [Shard(0)], run_check=False, shape=whole.shape, stride=whole.contiguous().stride()
    )
