"""Evenness of experts on held-out data after a small real run, and what it costs in loss: python -m bench.balance.

One job is trained with each way to balance and with none, from the same weights on the same data. Then held-out rows,
which no way to balance has seen, are sent through, and the rows that each expert is given are counted.
"""

import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import torch
from bench.report import report
from bench.small_run import Trained, alone, job, train

from ultrathink_trainer.model.balance import Counts, load_of

NAME = "balance"
STEPS = 500
SEEDS = (0, 1, 2)
"""Several, for the loss of a run this short differs by some 3 % from seed to seed."""
WAYS = ("global", "bias")
WINDOW_TOKENS_AN_EXPERT = 8_192
"""Rows that an expert is given on average while it is measured: 2,000 at least were meant, at which chance alone makes
the busiest of 8 experts 5 % busier than the mean; here it is 2 %."""
ENTROPY_GOAL, MAX_VIO_GOAL = 0.97, 0.1
LOSS_NOISE = 0.003
"""Relative difference below which the mean losses of two ways are equal; much less than another seed changes."""
AT_ONCE = 2


def held_out(trained: Trained, tokens: int) -> tuple[float, Counts]:
    """The loss of at least so many held-out tokens, and the rows that each expert of each layer is given for them."""
    layers = trained.engine.experts
    found_LE = torch.zeros(len(layers), trained.plan.model.moe.experts, dtype=torch.int64)

    def count(layer: int, given: tuple[torch.Tensor, ...]) -> None:
        found_LE[layer] += given[1]

    hooks = [
        layer.experts.register_forward_pre_hook(lambda _, given, index=index: count(index, given))
        for index, layer in enumerate(layers)
    ]
    loss = trained.held_out_loss(-(-tokens // trained.plan.batch.tokens))
    for hook in hooks:
        hook.remove()
    return loss, Counts(found_LE, found_LE)


def run(way: str, seed: int) -> dict[str, Any]:
    """One job from nothing, and what it is like on held-out data."""
    with alone():
        trained = train(job({"preset": "moe-tiny", "moe": {"balance": way}}, steps=STEPS, seed=seed))
        moe = trained.plan.model.moe
        loss, counts = held_out(trained, WINDOW_TOKENS_AN_EXPERT * moe.experts // moe.top_k)
    load = load_of(counts)
    return {
        "balance": way,
        "seed": seed,
        "heldOutLoss": round(loss, 5),
        "entropy": round(load.entropy, 5),
        "maxVio": round(load.max_load - 1, 4),
        "dead": load.dead,
    }


def judged(runs: list[dict[str, Any]], way: str) -> dict[str, Any]:
    """The worst layer of the worst run, and the loss beside that of no balance."""
    own, plain = ([one for one in runs if one["balance"] == name] for name in (way, "none"))
    ratio = statistics.mean(one["heldOutLoss"] for one in own) / statistics.mean(one["heldOutLoss"] for one in plain)
    entropy, max_vio = min(one["entropy"] for one in own), max(one["maxVio"] for one in own)
    dead = max(one["dead"] for one in own)
    even = entropy >= ENTROPY_GOAL and max_vio <= MAX_VIO_GOAL and dead == 0
    return {
        "entropy": entropy,
        "maxVio": max_vio,
        "dead": dead,
        "lossRatio": round(ratio, 4),
        "ok": even and ratio <= 1 + LOSS_NOISE,
    }


def main() -> int:
    """0 if all goals were met."""
    asked = [(way, seed) for way in (*WAYS, "none") for seed in SEEDS]
    with ProcessPoolExecutor(AT_ONCE, mp_context=get_context("spawn")) as pool:
        runs = list(pool.map(run, *zip(*asked, strict=True)))
    found = {way: judged(runs, way) for way in WAYS}
    none = max(one["maxVio"] for one in runs if one["balance"] == "none")
    row = "\n".join(
        f"| experts under balance: {way}, held-out data | entropy {one['entropy']:.4f} (goal {ENTROPY_GOAL}), "
        f"MaxVio {one['maxVio']:.3f} (goal {MAX_VIO_GOAL}; none {none:.2f}), dead {one['dead']}, "
        f"loss {one['lossRatio']:.4f}x none's | {'ok' if one['ok'] else 'missed'} |"
        for way, one in found.items()
    )
    result = {
        "ok": all(one["ok"] for one in found.values()),
        "goals": {"entropy": ENTROPY_GOAL, "maxVio": MAX_VIO_GOAL, "lossRatio": 1 + LOSS_NOISE},
        "ways": found,
        "steps": STEPS,
        "rowsAnExpert": WINDOW_TOKENS_AN_EXPERT,
        "runs": runs,
    }
    return report(NAME, row, result)


if __name__ == "__main__":
    sys.exit(main())
