"""Mistakes that the equality suite must notice: each is made in a copy of the code, and must turn a layout red.

`python -m distributed.mutations` does so and reports.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("api", "planner", "store", "trainer", "tests")
EQUAL, DIFFERENT = 0, 3
"""Exit codes of one comparison: a mutation that only crashes proves nothing about equality."""
DEADLINE_SECONDS = 900.0


@dataclass(frozen=True)
class Mutation:
    """One edit of one file, and a layout and model in which it matters."""

    name: str
    file: str
    old: str
    new: str
    layout: str
    model: str = "experts"


TRAINER = "trainer/ultrathink_trainer"
MUTATIONS = (
    Mutation(
        "the expert gradients' all-reduce over tensor ranks is dropped",
        f"{TRAINER}/model/router.py",
        "weight.to_local(grad_placements=[Partial()])",
        "weight.to_local()",
        "tensor 2",
    ),
    Mutation(
        "the stage cut is off by one",
        "planner/ultrathink_planner/layout.py",
        "first_layer=a,",
        "first_layer=max(a - 1, 0),",
        "pipeline 2",
    ),
    Mutation(
        "the loss is divided by this rank's labels",
        f"{TRAINER}/parallel/loss.py",
        "dist.all_reduce(count, group=world.control_group)",
        "pass",
        "data 2",
    ),
    Mutation(
        "gradients are averaged over data ranks",
        f"{TRAINER}/parallel/data.py",
        "module.set_gradient_divide_factor(1.0)",
        "module.set_gradient_divide_factor(2.0)",
        "data 2",
    ),
    Mutation(
        "the balance moves by this rank's counts",
        f"{TRAINER}/model/balance.py",
        "dist.all_reduce(counts_2LE, group=group)",
        "pass",
        "data 2",
    ),
    Mutation(
        "the gradient norm is too long",
        f"{TRAINER}/engines/native.py",
        "return squared_norm(self.model, self.world)",
        "return squared_norm(self.model, self.world) * 2",
        "data 2",
    ),
    Mutation(
        "replicated parameters count on every tensor rank",
        f"{TRAINER}/parallel/loss.py",
        'world.at("tensor") == 0 or not replicated_over_tensor(parameter)',
        "True",
        "tensor 2",
    ),
    Mutation(
        "the late piece of a row looks back from one piece too early",
        f"{TRAINER}/model/context.py",
        "(PIECES * self.ranks - 1 - self.rank) * size",
        "(PIECES * self.ranks - 2 - self.rank) * size",
        "context 2",
    ),
    Mutation(
        "labels are cut in one piece, tokens in two",
        f"{TRAINER}/parallel/context.py",
        "rows.labels_BT[:, where]",
        "rows.labels_BT.chunk(ranks, dim=1)[world.at('context')]",
        "context 2",
    ),
    Mutation(
        "what other ranks say of the gradient of keys is dropped",
        f"{TRAINER}/model/context.py",
        "dist.reduce_scatter_single(mine, grad.flatten(0, 1).contiguous(), group=ctx.group)",
        "mine.copy_(grad[ctx.group.rank()])",
        "context 2",
    ),
)


def source(mutation: Mutation) -> str:
    return (ROOT / mutation.file).read_text()


def mutated(mutation: Mutation) -> str:
    return source(mutation).replace(mutation.old, mutation.new)


@cache
def compare(model: str, layout: str, mutation: Mutation | None = None) -> tuple[int, str]:
    """The exit code and last words of one comparison in a copy of the code, with a mistake or without."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for room in ROOMS:
            shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
        if mutation:
            (copy / mutation.file).write_text(mutated(mutation))
        told = subprocess.run(
            [sys.executable, "-m", "distributed.suite", "--one", model, layout],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(str(copy / room) for room in ROOMS)},
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        return told.returncode, (told.stdout.strip() or told.stderr.strip()).splitlines()[-1]


def check(mutation: Mutation) -> tuple[bool, str]:
    """Whether it turned red, and by how much."""
    clean, words = compare(mutation.model, mutation.layout)
    if clean != EQUAL:
        return False, f"red without the mistake: {words}"
    code, words = compare(mutation.model, mutation.layout, mutation)
    return code == DIFFERENT, words


def main() -> int:
    missed = 0
    for mutation in MUTATIONS:
        red, words = check(mutation)
        missed += not red
        print(
            f"{'red  ' if red else 'GREEN'} {mutation.name} ({mutation.model}, {mutation.layout}): {words}", flush=True
        )
    print(f"{len(MUTATIONS) - missed} of {len(MUTATIONS)} mistakes were noticed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
