"""Where a job's time went: the buckets of its status with their shares and what each one means."""

from collections.abc import Mapping
from typing import Any

KEPT = "productive"
MEANINGS = {
    KEPT: "steps that were kept",
    "queue": "waiting to be admitted",
    "startup": "from the start of an attempt to its first step",
    "restore": "reading a checkpoint back",
    "replay": "steps done again after a failure",
    "checkpointStall": "training waited for a checkpoint",
    "dataWait": "training waited for data",
    "eval": "measuring held-out loss",
    "hang": "no step was made, until that was noticed",
    "other": "none of these",
}
"""Every bucket of the API, in the order of a job's life."""


def breakdown(status: Mapping[str, Any]) -> dict[str, Any] | None:
    """Ratio, wall time and buckets, what was kept first and then by size; None before the first report."""
    said = status.get("goodput") or {}
    seconds = {name: value for name, value in (said.get("seconds") or {}).items() if _is_seconds(value)}
    wall = sum(seconds.values())
    if not wall > 0:
        return None
    order = sorted(seconds, key=lambda name: (name != KEPT, -seconds[name]))
    return {
        "ratio": seconds.get(KEPT, 0.0) / wall,
        "wallSeconds": wall,
        "buckets": [
            {
                "name": name,
                "seconds": seconds[name],
                "share": seconds[name] / wall,
                "meaning": MEANINGS.get(name, ""),
            }
            for name in order
        ],
    }


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
