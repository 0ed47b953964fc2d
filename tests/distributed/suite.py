"""`make equality`: all legal layouts, each in every kind of model, and the mistakes that must be noticed.

What was proven is kept, so an interrupted run goes on; a change of the code begins anew. The page is docs/equality.md.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from distributed import mutations
from distributed.equality import (
    ADAPTIVE,
    BIAS_TOLERANCE,
    FLOAT32_TOLERANCE,
    LOSS_TOLERANCE,
    MODELS,
    NORM_TOLERANCE,
    PARAMETER_TOLERANCE,
    Difference,
    difference,
    float32_difference,
)
from distributed.layouts import EXPERTS, legal_layouts, name_of, ranks_of, wide_plan
from distributed.mutations import DIFFERENT, EQUAL, MUTATIONS, ROOT

PROVEN = ROOT / ".make"
PAGE = ROOT / "docs" / "equality.md"
ROOMS = ("api", "planner", "trainer", "tests/distributed")
FLOAT32 = "experts, fp32"
ZERO: dict[str, dict[str, Any]] = {
    f"ZeRO {stage}": {"engine": "deepspeed", "precision": "fp32", "zero": {"stage": stage}} for stage in (1, 2, 3)
}
"""DeepSpeed has no float64."""

Row = dict[str, Any]


def digest() -> str:
    """Of everything that a proof depends on."""
    total = hashlib.sha256()
    for room in ROOMS:
        for file in sorted((ROOT / room).rglob("*.py")):
            total.update(file.read_bytes())
    return total.hexdigest()[:16]


def proofs() -> Iterator[tuple[str, str, int, Callable[[], Row]]]:
    """(model, layout, ranks, how to measure it), the smallest layouts first."""
    legal = {model: legal_layouts(shape) for model, shape in (MODELS | ADAPTIVE).items()}
    for layout in legal_layouts({"moe": EXPERTS}):
        name, ranks = name_of(layout), ranks_of(layout)
        for model in legal:
            if layout in legal[model]:
                yield (
                    model,
                    name,
                    ranks,
                    lambda model=model, layout=layout: _measured(difference(model, layout, wide_plan)),
                )
        yield FLOAT32, name, ranks, lambda layout=layout: _float32(float32_difference(layout, wide_plan))
        for zero, training in ZERO.items():
            for model, shape in (MODELS | ADAPTIVE).items():
                if layout in legal_layouts(shape, **training):
                    yield (
                        f"{model}, fp32, {zero}",
                        name,
                        ranks,
                        lambda model=model, layout=layout, training=training: _float32(
                            float32_difference(layout, wide_plan, model, **training)
                        ),
                    )


def _measured(found: Difference) -> Row:
    return {"equal": not found.too_far, **asdict(found)}


def _float32(found: float) -> Row:
    return {"equal": found <= FLOAT32_TOLERANCE, "norm": found}


def one(model: str, layout: str) -> int:
    """Compare one layout only; the code says whether it was equal."""
    wanted = next(cut for cut in legal_layouts((MODELS | ADAPTIVE)[model]) if name_of(cut) == layout)
    found = difference(model, wanted)
    print(json.dumps(found.too_far or asdict(found)))
    return DIFFERENT if found.too_far else EQUAL


class Kept:
    """What was proven of this very code, a line each."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.parent.mkdir(exist_ok=True)
        lines = file.read_text().splitlines() if file.exists() else []
        self.rows: list[Row] = [json.loads(line) for line in lines]

    def find(self, **key: str) -> Row | None:
        return next((row for row in self.rows if key.items() <= row.items()), None)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        with self.file.open("a") as file:
            file.write(json.dumps(row) + "\n")

    @property
    def proofs(self) -> list[Row]:
        return [row for row in self.rows if "layout" in row]

    @property
    def mistakes(self) -> list[Row]:
        return [row for row in self.rows if "mistake" in row]


def all_of_them(seconds: float) -> int:
    kept, until = Kept(PROVEN / f"equality-{digest()}.jsonl"), time.monotonic() + seconds
    whole = _prove(kept, until) and _notice(kept, until)
    PAGE.write_text(page(kept, whole=whole))
    proven, wrong = proven_layouts(kept), [row for row in kept.proofs if not row["equal"]]
    seen = sum(row["noticed"] for row in kept.mistakes)
    print(f"distinct layouts: {len(proven)} of {len({layout for _, layout, _, _ in proofs()})}")
    print(f"{len(kept.proofs) - len(wrong)} of {len(kept.proofs)} proofs hold; {PAGE.relative_to(ROOT)}")
    print(f"{seen} of {len(MUTATIONS)} mistakes were noticed")
    if not whole:
        print("out of time: run it again to go on")
    return 0 if whole and not wrong and seen == len(MUTATIONS) else 1


def _prove(kept: Kept, until: float) -> bool:
    """Every proof that is not kept yet; whether there was time for all."""
    for model, layout, ranks, measure in proofs():
        if kept.find(model=model, layout=layout):
            continue
        if time.monotonic() > until:
            return False
        start = time.monotonic()
        row = {"model": model, "layout": layout, "ranks": ranks, **measure(), "seconds": time.monotonic() - start}
        kept.add(row)
        print(f"{'equal' if row['equal'] else 'NOT EQUAL'} {layout}: {model} ({row['seconds']:.1f} s)", flush=True)
    return True


def _notice(kept: Kept, until: float) -> bool:
    for mutation in MUTATIONS:
        if kept.find(mistake=mutation.name):
            continue
        if time.monotonic() > until:
            return False
        red, words = mutations.check(mutation)
        kept.add({"mistake": mutation.name, "where": mutation.layout, "noticed": red, "words": words})
        print(f"{'noticed' if red else 'NOT NOTICED'} {mutation.name} ({mutation.layout})", flush=True)
    return True


def proven_layouts(kept: Kept) -> set[str]:
    """Those of which every model was proven equal."""
    wanted = [(model, layout) for model, layout, _, _ in proofs()]
    equal = {(row["model"], row["layout"]) for row in kept.proofs if row["equal"]}
    return {layout for _, layout in wanted} - {layout for model, layout in wanted if (model, layout) not in equal}


def page(kept: Kept, *, whole: bool) -> str:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    rows, legal = kept.proofs, {layout for _, layout, _, _ in proofs()}
    equal = sum(row["equal"] for row in rows)
    unsaid = "" if whole else " The run was stopped before the rest; `make equality` goes on where it stopped."
    lines = [
        "# Every layout trains the same model",
        "",
        f"Made by `make equality` at commit {commit} on {datetime.now(UTC):%Y-%m-%d}: {len(proven_layouts(kept))} of "
        f"{len(legal)} distinct layouts, {equal} of {len(rows)} proofs hold.{unsaid}",
        "",
        "Each layout trains three steps of AdamW with accumulation, ragged labels and clipping on real gloo processes",
        "in float64, and is compared with a plain loop that shares no code with the trainer. It is equal when losses",
        f"are within {LOSS_TOLERANCE:g}, parameters within {PARAMETER_TOLERANCE:g} of each tensor's largest value,",
        f"gradient norms within {NORM_TOLERANCE:g} and balance biases within {BIAS_TOLERANCE:g}. In float32, with the",
        f"grouped kernel, the first loss and each gradient's norm are within {FLOAT32_TOLERANCE:g} of one process of",
        "the engine torch; so they are by the engine deepspeed, for each stage of ZeRO, which knows no float64.",
        "Layouts are all that the planner does not refuse at 1, 2, 4 and 8 processes.",
        "",
        "| layout | processes | model | loss | norm | parameters | held-out loss | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        figures = (f"{row[key]:.0e}" if key in row else "" for key in ("loss", "norm", "parameter", "held_out"))
        verdict = "equal" if row["equal"] else "**not equal**"
        lines.append(f"| {row['layout']} | {row['ranks']} | {row['model']} | {' | '.join(figures)} | {verdict} |")
    lines += [
        "",
        "## That it can fail",
        "",
        "Each mistake was made in a copy of the code; the same comparison is equal without it.",
        "",
        "| mistake | layout | noticed | by how much |",
        "|---|---|---|---|",
    ]
    for row in kept.mistakes:
        seen = "yes" if row["noticed"] else "**no**"
        lines.append(f"| {row['mistake']} | {row['where']} | {seen} | {row['words']} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=2, metavar=("MODEL", "LAYOUT"))
    parser.add_argument("--hours", type=float, default=4.0, help="stop after so long; what was proven is kept")
    asked = parser.parse_args()
    return one(*asked.one) if asked.one else all_of_them(asked.hours * 3600)


if __name__ == "__main__":
    sys.exit(main())
