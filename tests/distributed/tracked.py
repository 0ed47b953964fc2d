"""One rank's training step under torch's own memory tracker: fake tensors on a fake process group of any size, so that
nothing is computed and nothing is sent, but all is allocated as in a run."""

import multiprocessing
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.distributed._tools.mem_tracker import MemTracker
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.pipelining import schedules
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._sharding_prop import ShardingPropagator
from torch.testing._internal.distributed.fake_pg import FakeStore

from ultrathink_planner import Plan
from ultrathink_trainer.data.loader import Rows
from ultrathink_trainer.engines.native import Native
from ultrathink_trainer.model.auxiliary import StepFacts
from ultrathink_trainer.optim.adamw import AdamW
from ultrathink_trainer.parallel import parallelize
from ultrathink_trainer.parallel.mesh import World, build_world

CPU = torch.device("cpu")


class Totals(MemTracker):
    """Without its account by modules, which does not know that a module runs once for each micro-batch."""

    def _pre_fw_hook(self, *_: Any) -> None: ...
    def _post_fw_hook(self, *_: Any) -> None: ...
    def _pre_bw_hook(self, *_: Any) -> None: ...
    def _post_bw_hook(self, *_: Any) -> None: ...

    def peak(self) -> int:
        total: int = self.get_tracker_snapshot("peak")[CPU]["Total"]
        return total


class FusedNorm(torch.autograd.Function):
    """What an accelerator's RMS norm allocates and keeps; on CPU torch makes it of several operations."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, weight, torch.empty_like(x[..., :1], dtype=torch.float32))
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, weight, _ = ctx.saved_tensors
        return torch.empty_like(x), torch.zeros_like(weight)


def fused(self: nn.RMSNorm, x: torch.Tensor) -> torch.Tensor:
    if isinstance(x, DTensor):
        assert isinstance(self.weight, DTensor)
        local = FusedNorm.apply(x.to_local(), self.weight.to_local())
        return DTensor.from_local(local, x.device_mesh, x.placements, run_check=False)
    return FusedNorm.apply(x, self.weight)


def step_peak(plan: Plan, stage: int, *, accelerator: bool) -> int:
    """Bytes at the fullest moment of a step of the stage's first rank, of torch's own kernels on CPU or with an
    accelerator's; in a process of its own, for torch remembers the groups of another world."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(theirs, plan, stage, accelerator))
    child.start()
    theirs.close()
    try:
        answer: int | str = ours.recv()
    finally:
        child.join()
    if isinstance(answer, str):
        raise RuntimeError(answer)
    return answer


def _answer(pipe: Any, plan: Plan, stage: int, accelerator: bool) -> None:
    try:
        pipe.send(measure(plan, stage, accelerator=accelerator))
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")
        raise


def measure(plan: Plan, stage: int, *, accelerator: bool) -> int:
    """The same in this process."""
    rank = stage * plan.mesh.stage_ranks
    dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=plan.world_size)
    try:
        new_group = dist.new_group
        with patch("torch.distributed.new_group", lambda *_, **__: new_group()):  # gloo's too is a fake one
            world = build_world(plan.mesh, CPU)
        with fakes(accelerator=accelerator):
            return _step(plan, world)
    finally:
        dist.destroy_process_group()


def _step(plan: Plan, world: World) -> int:
    engine = Native(plan, world)
    layers = engine.model.moe_layers()
    for layer in layers:
        layer.facts = StepFacts(plan.batch.tokens, plan.batch.rows)
    length = plan.batch.sequence_length // plan.mesh.context
    tokens = torch.zeros(plan.batch.rows_per_data_rank, length, dtype=torch.int64)
    slots = plan.batch.micro_rows * length // plan.mesh.tensor * (plan.model.moe.top_k if plan.model.moe else 0)
    with Totals() as tracker:
        tracker.track_external(engine.model, *_state(engine))
        with even_rows(slots):
            engine.batches.train(Rows(tokens, torch.zeros_like(tokens)), 1.0)
        engine.squared_norm()
        engine.update(1e-3, 1.0)
        engine.clear()
        return tracker.peak()


def _state(engine: Native) -> list[torch.Tensor]:
    moments = [tensor for state in engine.optimizer.state.values() for tensor in state.values()]
    adamw = getattr(engine.optimizer, "rest", engine.optimizer)
    steps = [state["step"] for state in adamw.torch.state.values()] if isinstance(adamw, AdamW) else []
    return moments + steps


@contextmanager
def fakes(*, accelerator: bool) -> Iterator[None]:
    """Nothing is computed: what asks for values gets what it would be told in a run where all goes evenly."""
    build = DeviceMesh.__init__

    def build_for_real(self: DeviceMesh, *args: Any, **more: Any) -> None:
        with unset_fake_temporarily():
            build(self, *args, **more)

    propagate = ShardingPropagator._propagate_tensor_meta_non_cached

    def apart(self: ShardingPropagator, *args: Any) -> Any:
        with unset_fake_temporarily():  # how a result is laid out is asked with whole tensors that no run has
            return propagate(self, *args)

    def agreed(_: object, stages: list[Any], *__: object) -> None:
        for stage in stages:
            stage._inference_mode = schedules.InferenceMode.STATIC

    with ExitStack() as stack:
        stack.enter_context(patch.object(DeviceMesh, "__init__", build_for_real))
        stack.enter_context(patch.object(ShardingPropagator, "_propagate_tensor_meta_non_cached", apart))
        stack.enter_context(patch.object(schedules._PipelineSchedule, "_warmup_p2p", agreed))
        stack.enter_context(patch.object(parallelize, "initialise", lambda *_: None))
        stack.enter_context(patch.object(nn.Module, "to", lambda self, *_: self))  # it is float32 already
        # Looking back from the end is a flag of an accelerator's kernel, and not a mask.
        stack.enter_context(patch("ultrathink_trainer.model.context.causal_lower_right", lambda *_: None))
        if accelerator:
            stack.enter_context(patch.object(nn.RMSNorm, "forward", fused))
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        yield


@contextmanager
def even_rows(rows: int) -> Iterator[None]:
    """Each expert gets as many rows as any other."""

    def counts(self: torch.Tensor, minlength: int) -> torch.Tensor:
        return self.new_zeros(minlength)

    def numbers(self: torch.Tensor) -> list[int]:
        return [rows // len(self)] * len(self)

    def repeated(self: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return self.new_empty(rows)

    with (
        patch.object(torch.Tensor, "bincount", counts),
        patch.object(FakeTensor, "tolist", numbers),
        patch.object(torch.Tensor, "repeat_interleave", repeated),
    ):
        yield
