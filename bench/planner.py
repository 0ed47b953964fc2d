"""How right the planner's memory is, against torch's own tracker on a fake process group: python -m bench.planner."""

import sys
from typing import Any

from bench.report import report

from distributed.memories import compare, drawn

NAME = "planner"
JOBS = 50
GOAL = 0.05
"""Largest error, in what is not exact: everything but parameters and optimizer state."""


def measure(jobs: int = JOBS) -> dict[str, Any]:
    """Each job is the seed's own, so that a bad one can be looked at alone."""
    rows = []
    for seed in range(jobs):
        found = compare(*drawn(seed))
        rows.append(
            {
                "seed": seed,
                "ranks": found.plan.world_size,
                "planned": found.planned,
                "tracked": found.tracked,
                "error": round(found.error, 4),
                "falseFits": found.false_fits(),
            }
        )
        print(f"{seed:3} {found.plan.world_size:5} ranks {found.error:+7.2%}", file=sys.stderr, flush=True)
    worst = max(abs(row["error"]) for row in rows)
    false = sum(bool(row["falseFits"]) for row in rows)
    return {"worst": worst, "falseFits": false, "ratio": round(worst / GOAL, 3), "goal": 1.0,
            "ok": worst <= GOAL and not false, "pairs": rows}  # fmt: skip


def main() -> int:
    """0 if the goal was met."""
    result = measure()
    row = (
        f"| planner's memory against torch's tracker, {len(result['pairs'])} jobs of up to "
        f"{max(row['ranks'] for row in result['pairs'])} ranks | worst {result['worst']:.1%}, "
        f"{result['falseFits']} false fits | goal {GOAL:.0%} | {'ok' if result['ok'] else 'missed'} |"
    )
    return report(NAME, row, result)


if __name__ == "__main__":
    sys.exit(main())
