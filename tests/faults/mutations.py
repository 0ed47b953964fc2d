"""Mistakes that the operator's harness must notice: each is made in a copy of the code, and must turn a test red.

`python -m faults.mutations` does so, on a real API server, and reports.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from faults.operator.parts.sweep import chosen
from faults.operator.test_watches import EFFECTS, POINTS

ROOT = Path(__file__).parents[2]
ROOMS = ("api", "planner", "operator", "store", "tests")
BESIDE = ("manifests", "pyproject.toml")
PASSED, FAILED = 0, 1
"""Exit codes of pytest: what only cannot be collected proves nothing."""
DEADLINE_SECONDS = 600.0
HARNESS = "tests/faults/operator"
OPERATOR = "operator/ultrathink_operator"
SEEDS = 1_000


def seed_of(effect: str, point: tuple[str, str]) -> int:
    """With which the seeded tenth of the watches' sweep is this very point."""
    index = sorted(EFFECTS).index(effect)
    return next(seed for seed in range(SEEDS) if chosen(POINTS, False, seed + index) == [point])


@dataclass(frozen=True)
class Mutation:
    """One edit of one file, and the test that is to notice it."""

    name: str
    file: str
    old: str
    new: str
    test: str
    seed: int = 0


MUTATIONS = (
    Mutation(
        "an object of our name is taken for ours, whoever owns it",
        f"{OPERATOR}/apply.py",
        "if owner != job.meta.uid:",
        "if False:",
        f"{HARNESS}/test_hands.py::test_a_foreign_object_with_our_name_is_left_alone_and_told",
    ),
    Mutation(
        "a cluster's objects are made before its number is written",
        f"{OPERATOR}/decide.py",
        "return [*findings, _begin(seen, now)] if admitted else findings",
        "return [*findings, _begin(seen, now), cluster.create(seen, admitted, 1)] if admitted else findings",
        f"{HARNESS}/test_hands.py::test_a_cluster_deleted_by_hand_is_made_again_as_the_next_one",
    ),
    Mutation(
        "what a new list does not show any more is kept",
        f"{OPERATOR}/reflect.py",
        "for key in [k for k in self._views if k not in present]:",
        "for key in ():",
        f"{HARNESS}/test_watches.py::test_a_watch_that_lies_costs_time_alone[lose]",
        seed_of("lose", ("pods", "DELETED")),
    ),
    Mutation(
        "each process of the operator gives clusters other names",
        "api/ultrathink_api/names.py",
        'return f"{job}-{number}"',
        "return f\"{job}-{number}-{__import__('os').getpid()}\"",
        f"{HARNESS}/test_crashes.py::test_killed_at_any_call_it_comes_to_the_golden_state[after-success]",
    ),
)


def mutated(mutation: Mutation) -> str:
    source = (ROOT / mutation.file).read_text()
    assert source.count(mutation.old) == 1, f"{mutation.file} has changed: {mutation.old}"
    return source.replace(mutation.old, mutation.new)


def play(mutation: Mutation, *, clean: bool) -> tuple[int, str]:
    """pytest's exit code and what failed, in a copy of the code, with the mistake or without."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for room in ROOMS:
            shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
        for one in BESIDE:
            (shutil.copytree if (ROOT / one).is_dir() else shutil.copy)(ROOT / one, copy / one)
        if not clean:
            (copy / mutation.file).write_text(mutated(mutation))
        paths = os.pathsep.join(str(copy / room) for room in ROOMS)
        told = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", mutation.test],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": paths, "UTK_FAULT_SEED": str(mutation.seed)},
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        lines = told.stdout.splitlines()
        why = next((line[1:].strip() for line in lines if line.startswith("E ")), lines[-1] if lines else told.stderr)
        return told.returncode, why[:200]


def check(mutation: Mutation) -> tuple[bool, str]:
    """Whether it was noticed, and by what."""
    code, words = play(mutation, clean=True)
    if code != PASSED:
        return False, f"red without the mistake: {words}"
    code, words = play(mutation, clean=False)
    return code == FAILED, words


def main() -> int:
    missed = 0
    for mutation in MUTATIONS:
        red, words = check(mutation)
        missed += not red
        print(f"{'red  ' if red else 'GREEN'} {mutation.name}: {words}", flush=True)
    print(f"{len(MUTATIONS) - missed} of {len(MUTATIONS)} mistakes were noticed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
