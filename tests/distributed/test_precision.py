"""Half precision on real ranks, and activation checkpointing: what is kept, what is computed, what is counted."""

from pathlib import Path
from typing import Any

import pytest
import torch

from distributed.equality import difference, train
from distributed.jobs import attempt, job_store, mismeasure
from distributed.layouts import ALONE, EXPERTS, LAYOUTS, job_plan, random_batches
from distributed.ranks import run_ranks
from ultrathink_planner import Plan
from ultrathink_trainer.data.loader import Rows
from ultrathink_trainer.optim.scaler import FIRST_SCALE
from ultrathink_trainer.parallel.engine import Engine
from ultrathink_trainer.parallel.mesh import build_world
from ultrathink_trainer.run import Run

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
NEAR = {"bf16": 2e-3, "fp16": 5e-4}
"""Share of the first loss that rounding may cost: a few units in the last place."""


def small(layout: str, precision: str, **training: Any) -> Plan:
    where = LAYOUTS.get(layout, ALONE)
    return job_plan(where, model={"moe": EXPERTS, "layers": 2}, precision=precision, **training)


@pytest.mark.parametrize("layout", ["alone", "data 2, tensor 2", "pipeline 2", "context 2"])
@pytest.mark.parametrize("precision", HALVES)
def test_half_precision_starts_where_fp32_does_and_learns(precision: str, layout: str) -> None:
    exact = train(small("alone", "fp32"))[0]["losses"]
    found = train(small(layout, precision))
    assert found[0]["losses"][0] == pytest.approx(exact[0], rel=NEAR[precision])
    assert found[0]["losses"] == pytest.approx(exact, rel=10 * NEAR[precision])
    assert len({tuple(result["losses"]) for result in found}) == 1
    assert {str(value.dtype) for name, value in found[0]["tensors"].items() if "norm" in name} == {"float32"}


@pytest.mark.parametrize("precision", HALVES)
def test_blocks_compute_in_half_precision_even_on_one_rank(precision: str) -> None:
    plan = small("alone", precision)

    def work(rank: int) -> set[str]:
        engine = Engine(plan, build_world(plan.mesh, torch.device("cpu")))
        seen: set[str] = set()
        for block in engine.model.layers.values():
            block.attn.q.register_forward_hook(lambda module, args, out: seen.add(f"{module.weight.dtype} {out.dtype}"))
        ((tokens, labels),) = random_batches(plan, 1)
        engine.forward_backward(Rows(tokens, labels))
        return seen

    assert run_ranks(1, work) == [{f"{HALVES[precision]} {HALVES[precision]}"}]


def test_an_overflow_of_fp16_is_skipped_by_all_and_halves_the_scale_that_a_restart_reads(tmp_path: Path) -> None:
    plan = small("data 2", "fp16", steps=3)

    def poison(run: Run) -> None:
        if run.world.rank == 1:
            mismeasure(run, grad_norm=float("inf"))

    told = attempt(plan, tmp_path, 1, prepare=poison)
    assert [record["step"] for record in told.of("step") if record.get("skipped")] == [2]
    state = job_store(tmp_path).open(job_store(tmp_path).find("latest")).manifest.state
    assert state["scaler"] == {"scale": FIRST_SCALE / 2, "clean": 1}
    assert attempt(plan, tmp_path, 2).finishes == [("completed", 3)] * 2


@pytest.mark.parametrize("layout", ["alone", "data 2, tensor 2", "pipeline 2", "context 2"])
def test_activation_checkpointing_changes_nothing_and_counts_nothing_twice(layout: str) -> None:
    where = LAYOUTS.get(layout, ALONE)
    found = difference("global balance, z-loss", where, activationCheckpointing=True)
    assert found.too_far == {}


def test_activation_checkpointing_computes_each_block_once_more() -> None:
    def work(rank: int) -> list[int]:
        runs = []
        for again in (False, True):
            plan = small("alone", "fp32", activationCheckpointing=again)
            engine = Engine(plan, build_world(plan.mesh, torch.device("cpu")))
            seen: list[int] = []
            engine.model.layers["0"].attn.register_forward_hook(lambda *told, seen=seen: seen.append(1))
            ((tokens, labels),) = random_batches(plan, 1)
            engine.forward_backward(Rows(tokens, labels))
            runs.append(len(seen))
        return runs

    ((once, twice),) = run_ranks(1, work)
    assert twice == 2 * once
