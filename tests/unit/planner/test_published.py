"""Runs that others published, as outside evidence: what ran is planned to fit, what ran out of memory is not.

Their trainers shard as ours does (FSDP2 of float32 parameters, computed in bf16 or float8), but hold more at the
fullest moment: whole logits, or an optimizer that is not fused. So what ran there must fit here; what failed there is
taken only where no trainer that keeps float32 moments, or activations, had room. Where they added up gradients of two
micro-batches, one is planned: they cut gradients after each, our trainer after the last.

Sources: pytorch/torchtitan, docs/performance.md (A100, and Llama 3.1 405B on 128 H100) and
benchmarks/llama3_h100_202412_torchtitan.md; PrimeIntellect-ai/prime-rl, benchmarks/results/BENCHMARKS.md (of Qwen3 and
INTELLECT-3 what trains all parameters with a head in chunks, "RL Full") and the training nodes of
configs/advanced/models/intellect-3.1/rl/16-nodes.toml, on the H200 of that model's report (arXiv 2512.16144); it moved
activations to the host, which is not needed here. Its shape is GLM-4.5-Air's, as moe-100b's is.
"""

from dataclasses import dataclass
from typing import Any

import pytest

from ultrathink_api.job import UltraThinkJob
from ultrathink_planner import CATALOGUE, Accelerator, Plan, fit, plan
from vectors.reading import changed

DEVICES = CATALOGUE | {"h100-96gb": Accelerator("h100-96gb", "NVIDIA H100 SXM 96 GB", 94 << 30)}
LLAMA_405B = {
    "layers": 126, "hidden": 16_384, "heads": 128, "kvHeads": 8, "headDim": 128, "intermediate": 53_248,
    "vocabulary": 128_256,
}  # fmt: skip
LLAMA_2_70B = {
    "layers": 80, "hidden": 8_192, "heads": 64, "kvHeads": 8, "headDim": 128, "intermediate": 28_672,
    "vocabulary": 32_000,
}  # fmt: skip
QWEN_4B = {
    "layers": 36, "hidden": 2_560, "heads": 32, "kvHeads": 8, "headDim": 128, "intermediate": 9_728,
    "vocabulary": 151_936, "tiedEmbeddings": True, "qkNorm": True,
}  # fmt: skip


@dataclass(frozen=True)
class Published:
    """A run: what of, on how many of which device, and how rows were laid out."""

    model: dict[str, Any]
    count: int
    device: str
    length: int
    rows: int = 1
    """Of a rank, at once."""
    axes: tuple[tuple[str, int], ...] = ()
    recompute: bool = True
    microbatches: int = 1
    optimizer: str = "adamw"

    def plan(self) -> Plan:
        axes = dict(self.axes)
        data = self.count // (axes.get("tensor", 1) * axes.get("context", 1) * axes.get("pipeline", 1))
        machine = min(8, self.count)
        told = {
            "model": self.model | {"maxPositions": self.length},
            "workers": {"count": self.count // machine, "gpus": machine},
            "parallelism": axes,
            "data.sequenceLength": self.length,
            "training.precision": "bf16",
            "training.optimizer": {"name": self.optimizer},
            "training.activationCheckpointing": self.recompute,
            "training.microBatchSequences": self.rows,
            "training.globalBatchTokens": data * self.rows * self.microbatches * self.length,
        }
        return plan(UltraThinkJob.parse(changed(told)).spec)


def axes(**ranks: int) -> tuple[tuple[str, int], ...]:
    return tuple(ranks.items())


LLAMA_8B, LLAMA_70B, LLAMA_2_13B = ({"preset": f"dense-{size}"} for size in ("8b", "70b", "13b"))
QWEN_30B, GLM_AIR = {"preset": "moe-30b"}, {"preset": "moe-100b"}

RAN = {
    "Llama 2 13B, nothing computed again": Published(LLAMA_2_13B, 64, "a100-80gb", 4_096, rows=2, recompute=False),
    "Llama 2 70B": Published(LLAMA_2_70B, 64, "a100-80gb", 4_096, rows=2),
    "Llama 3 8B, nothing computed again": Published(LLAMA_8B, 64, "a100-80gb", 8_192, recompute=False),
    "Llama 3 70B": Published(LLAMA_70B, 64, "a100-80gb", 8_192),
    "Llama 3.1 8B, a row over eight GPUs": Published(LLAMA_8B, 8, "h100-96gb", 262_144, axes=axes(context=8)),
    "Llama 3.1 70B": Published(LLAMA_70B, 256, "h100-96gb", 8_192, rows=16, axes=axes(tensor=8)),
    "Llama 3.1 405B, tensor": Published(LLAMA_405B, 128, "h100-96gb", 8_192, rows=2, axes=axes(tensor=8)),
    "Llama 3.1 405B, tensor and pipeline": Published(
        LLAMA_405B, 512, "h100-96gb", 8_192, axes=axes(tensor=8, pipeline=8), microbatches=32
    ),
    "Qwen3 4B on one": Published(QWEN_4B, 1, "h100", 8_192),
    "Qwen3 4B on eight": Published(QWEN_4B, 8, "h100", 65_536),
    "Qwen3 30B": Published(QWEN_30B, 8, "h100", 16_384),
    "Qwen3 30B, longer": Published(QWEN_30B, 8, "h200", 65_536),
    "INTELLECT-3.1": Published(GLM_AIR, 32, "h200", 131_072, axes=axes(expert=8, context=2), optimizer="muon"),
}
OUT_OF_MEMORY = {
    "Llama 2 70B, most not computed again": Published(LLAMA_2_70B, 64, "a100-80gb", 4_096, rows=2, recompute=False),
    "Llama 3.1 405B without tensor": Published(LLAMA_405B, 128, "h100-96gb", 8_192),
    "Qwen3 30B, longer": Published(QWEN_30B, 8, "h100", 65_536),
    "INTELLECT-3 on too few": Published(GLM_AIR, 8, "b200", 16_384),
}


@pytest.mark.parametrize("run", RAN.values(), ids=RAN)
def test_what_others_ran_fits(run: Published) -> None:
    assert fit(run.plan(), DEVICES[run.device]).fits


@pytest.mark.parametrize("run", OUT_OF_MEMORY.values(), ids=OUT_OF_MEMORY)
def test_what_failed_elsewhere_does_not_fit(run: Published) -> None:
    assert fit(run.plan(), DEVICES[run.device]).fits is False


@pytest.mark.parametrize("run", RAN.values(), ids=RAN)
def test_none_of_it_fits_a_device_that_is_clearly_too_small(run: Published) -> None:
    assert fit(run.plan(), CATALOGUE["rtx4090"]).fits is False


def test_the_shape_of_intellect_3_has_a_plan_for_64_h200_with_its_own_batch() -> None:
    told = {
        "model": GLM_AIR,
        "workers": {"count": 8, "gpus": 8},
        "parallelism": {"expert": 8},
        "training.precision": "bf16",
        "training.activationCheckpointing": True,
    }
    made = plan(UltraThinkJob.parse(changed(told)).spec)
    assert made.parameters.total == pytest.approx(106e9, rel=0.01)
    assert [fit(made, CATALOGUE[name]).fits for name in ("h100", "h200")] == [False, True]
