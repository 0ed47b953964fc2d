"""What adaptive compute saves, and what it costs, over three seeds and beside plain experts: python -m bench.dre.

Each seed trains top-1, top-2 and DRE on the same rows. Loss, rows and order of difficulty are of held-out data. A run
that `results/dre.jsonl` has with the same settings is not made again; `--again` makes all of them.
"""

import argparse
import json
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import pairwise
from multiprocessing import get_context
from typing import Any

import torch
import torch.nn.functional as F
from bench.dre_time import GOAL, measured_times
from bench.report import RESULTS, commit, report
from bench.small_run import Trained, alone, job, train

from ultrathink_trainer.data.loader import Rows
from ultrathink_trainer.evaluate import Dial
from ultrathink_trainer.model.dre import FULL, threshold
from ultrathink_trainer.model.moe import MoE

NAME = "dre"
RAW = RESULTS / "dre.jsonl"
SEEDS = (0, 1, 2)
STEPS, BATCH_TOKENS = 1_000, 512
HELD_OUT_BATCHES = 64
EFFORT = 0.68
"""A little below the 0.7 that saves 30 %: the budget is held within 2 %, and the goal is a least saving."""
CURVE = (0.5, 0.6, EFFORT, 0.85, 1.0)
EXPERTS = {"shared": 0, "router": "sigmoid"}
ARMS: dict[str, dict[str, Any]] = {
    # The share of a single best expert is always one, which teaches a router nothing: its score is the weight instead.
    "top-1": {"moe": {**EXPERTS, "topK": 1, "normTopK": False}},
    "top-2": {"moe": EXPERTS},
    "dre": {"moe": EXPERTS, "dre": {"nullExperts": 2, "effort": EFFORT, "efforts": [0.5, EFFORT, 1.0]}},
}
SAVED_GOAL, LOSS_GOAL = 0.30, 1.01
AT_ONCE = 2

Record = dict[str, Any]


def settings(arm: str, seed: int) -> Record:
    model = {"preset": "moe-tiny", "layers": 2, **ARMS[arm]}
    return {
        "model": model,
        "steps": STEPS,
        "globalBatchTokens": BATCH_TOKENS,
        "heldOutBatches": HELD_OUT_BATCHES,
        "seed": seed,
    }


def run(arm: str, seed: int) -> Record:
    """One job from nothing, measured at each effort that it can be."""
    said = settings(arm, seed)
    with alone():
        trained = train(job(said["model"], steps=said["steps"], globalBatchTokens=said["globalBatchTokens"], seed=seed))
        rows = [trained.loader.held_out(batch) for batch in range(HELD_OUT_BATCHES)]
        efforts = CURVE if arm == "dre" else (1.0,)
        hardness, points = None, []
        for effort in sorted(efforts, reverse=True):
            losses_N, experts_N = each_token(trained, rows, effort)
            hardness = losses_N if hardness is None else hardness
            points.append(point(trained, effort, losses_N, experts_N, hardness))
    return {"arm": arm, "seed": seed, "settings": said, "commit": commit(), "points": points}


@torch.no_grad()
def each_token(trained: Trained, batches: list[Rows], effort: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each held-out token: the loss of its label, and the experts that it used in all layers together."""
    model = trained.engine.model.eval()
    dial = Dial(model, effort)
    used: list[torch.Tensor] = []
    hooks = [layer.register_forward_pre_hook(lambda layer, given: used.append(reached(layer, *given)))
             for layer in dial.layers]  # fmt: skip
    losses = []
    for rows in batches:
        logits_NV = model(rows.tokens_BT).flatten(0, 1)
        losses.append(F.cross_entropy(logits_NV, rows.labels_BT.flatten(), reduction="none"))
    for hook in hooks:
        hook.remove()
    experts_N = torch.stack(used).unflatten(0, (len(batches), len(dial.layers))).sum(1).flatten()
    assert experts_N.sum() == dial.rows, "a token used other experts than were computed"
    return torch.cat(losses), experts_N


def reached(layer: MoE, x_BTH: torch.Tensor) -> torch.Tensor:
    """How many of a token's best experts reach the threshold: once more, by the formula."""
    effort = layer.facts.effort
    choice = layer.router(x_BTH.flatten(0, 1), layer.bias)
    if effort == FULL:
        return torch.full(choice.chosen_NS.shape[:1], layer.moe.top_k)
    assert layer.dre is not None and layer.thresholds is not None and layer.bias is not None
    return (choice.wanted_NS >= threshold(layer.dre, layer.thresholds, effort, layer.bias.min())).sum(1)


def point(
    trained: Trained, effort: float, losses_N: torch.Tensor, experts_N: torch.Tensor, hardness_N: torch.Tensor
) -> Record:
    """One effort: loss, rows, and whether harder tokens got more; hardness is a token's loss at full effort, which no
    saving has touched."""
    moe, slots = trained.plan.model.moe, len(trained.engine.experts)
    assert moe is not None
    per_layer = experts_N.double().mean().item() / slots
    told = {
        "effort": effort,
        "loss": round(losses_N.double().mean().item(), 5),
        "expertsPerToken": round(per_layer, 4),
        "flopsSaved": round(1 - per_layer / moe.top_k, 4),
    }
    return told if effort == FULL else told | {"spearman": round(spearman(hardness_N, experts_N), 4)}


def spearman(one: torch.Tensor, other: torch.Tensor) -> float:
    """Of ranks, equal values sharing their mean rank."""
    return torch.corrcoef(torch.stack([mean_ranks(one), mean_ranks(other)]))[0, 1].item()


def mean_ranks(values_N: torch.Tensor) -> torch.Tensor:
    _, which_N, counts = values_N.unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    return (last - (counts - 1) / 2)[which_N]


def runs(again: bool) -> list[Record]:
    """All of them: those that are kept, and those that are made now, each kept as soon as it is there."""
    kept = [] if again or not RAW.exists() else [json.loads(line) for line in RAW.read_text().splitlines()]
    wanted = [(arm, seed) for seed in SEEDS for arm in ARMS]
    have = [one for one in kept if one["settings"] in [settings(arm, seed) for arm, seed in wanted]]
    missing = [pair for pair in wanted if settings(*pair) not in [one["settings"] for one in have]]
    RESULTS.mkdir(exist_ok=True)
    RAW.write_text("".join(json.dumps(one) + "\n" for one in have))
    with ProcessPoolExecutor(AT_ONCE, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(run, *pair) for pair in missing]):
            have.append(done.result())
            with RAW.open("a") as file:
                file.write(json.dumps(have[-1]) + "\n")
            print(f"{have[-1]['arm']} seed {have[-1]['seed']}", file=sys.stderr, flush=True)
    return have


def judged(made: list[Record]) -> Record:
    """The means over the seeds."""
    found = {(one["arm"], point["effort"], one["seed"]): point for one in made for point in one["points"]}

    def each(what: str, arm: str, effort: float) -> list[float]:
        return [found[arm, effort, seed][what] for seed in SEEDS]

    def mean(what: str, arm: str, effort: float) -> float:
        return statistics.mean(each(what, arm, effort))

    curve = [
        {"effort": effort} | {what: round(mean(what, "dre", effort), 5) for what in ("loss", "expertsPerToken")}
        for effort in CURVE
    ]
    beyond = [
        loss - (top1 + (experts - 1) * (top2 - top1))
        for loss, experts, top1, top2 in zip(
            each("loss", "dre", EFFORT),
            each("expertsPerToken", "dre", EFFORT),
            each("loss", "top-1", FULL),
            each("loss", "top-2", FULL),
            strict=True,
        )
    ]
    ratio = mean("loss", "dre", EFFORT) / mean("loss", "top-2", FULL)
    saved, order = min(each("flopsSaved", "dre", EFFORT)), each("spearman", "dre", EFFORT)
    monotone = all(less["loss"] >= more["loss"] for less, more in pairwise(curve))
    budget = max(
        abs(1 - experts / (2 * effort))
        for effort in (0.5, EFFORT, 1.0)
        for experts in each("expertsPerToken", "dre", effort)
    )
    spread = statistics.stdev(beyond)
    return {
        "flopsSaved": saved,
        "lossRatio": round(ratio, 5),
        "beyondInterpolation": round(statistics.mean(beyond), 5),
        "beyondInterpolationDeviation": round(spread, 5),
        "spearman": order,
        "curve": curve,
        "monotone": monotone,
        "budgetMissed": round(budget, 4),
        "losses": {arm: each("loss", arm, FULL) for arm in ARMS},
        "ok": saved >= SAVED_GOAL
        and ratio <= LOSS_GOAL
        and statistics.mean(beyond) <= spread
        and min(order) > 0
        and monotone,
    }


def main(arguments: list[str]) -> int:
    """0 if all goals were met."""
    parser = argparse.ArgumentParser(prog="python -m bench.dre")
    parser.add_argument("--again", action="store_true", help="make every run anew")
    found = judged(runs(parser.parse_args(arguments).again))
    times = measured_times()
    realised = times[0]["realised"]
    ok = found["ok"] and realised >= GOAL
    curve = ", ".join(f"{at['effort']:g}: {at['loss']:.4f}" for at in found["curve"])
    order = ", ".join(f"{rho:+.2f}" for rho in found["spearman"])
    row = (
        f"| DRE at effort {EFFORT}, {len(SEEDS)} seeds | expert FLOPs saved {found['flopsSaved']:.1%} (goal "
        f"{SAVED_GOAL:.0%}), loss {found['lossRatio']:.4f}x top-2 (goal {LOSS_GOAL}), beyond top-1 to top-2 "
        f"{found['beyondInterpolation']:+.4f} (deviation {found['beyondInterpolationDeviation']:.4f}), realised / "
        f"ideal expert time {realised:.2f} (goal {GOAL}), Spearman {order}, loss over effort {curve} "
        f"| {'ok' if ok else 'missed'} |"
    )
    goals = {"flopsSaved": SAVED_GOAL, "lossRatio": LOSS_GOAL, "realised": GOAL}
    return report(NAME, row, found | {"ok": ok, "goals": goals, "steps": STEPS, "seeds": SEEDS, "times": times})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
