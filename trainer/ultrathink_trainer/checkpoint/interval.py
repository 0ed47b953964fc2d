"""How long to train between two checkpoints where the job leaves it to us: the rule of Young and Daly. Pure."""

import math
from dataclasses import dataclass

NODE_SECONDS = 237 * 86_400.0
"""Between two failures of a node, before a job has a history: Llama 3's 405B was interrupted 466 times in 54 days on
2,048 nodes."""
STALL_SHARE = 0.01
"""Most of the time that saving may take from training."""
FIRST_SECONDS = 60.0
"""The first save shows what a save costs."""
LEAST_SECONDS = 15.0


@dataclass(frozen=True)
class History:
    """What a job has been through before this attempt."""

    failures: int = 0
    seconds: float = 0.0
    """That its attempts took."""


def interval(stall: float | None, history: History, *, nodes: int, running: float, most: float) -> float:
    """Seconds between two saves that lose the least: sqrt(2 x stall / failure rate), within bounds.

    The rate starts from what nodes do elsewhere and follows the job's own history; `running` is this attempt's age.
    """
    if stall is None:
        return min(FIRST_SECONDS, most)
    rate = (history.failures + 1) / (history.seconds + running + NODE_SECONDS / nodes)
    return min(max(math.sqrt(2 * stall / rate), stall / STALL_SHARE, LEAST_SECONDS), most)
