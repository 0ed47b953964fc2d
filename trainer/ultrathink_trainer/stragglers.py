"""Which rank is slow: by what each computes in a step, against the ranks that do the same work. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

SMOOTHING = 0.2
"""Weight of the newest step: the mean of the last five or so, since one slow step is no slow rank."""
SLOW = 1.5
"""Times its peers: less than that a busy neighbour or a warm chip explains, and nobody would act on it."""
EVEN = 1.2
"""Below this it is no straggler any more."""
STEPS = 10
"""In a row: a save, an evaluation or a neighbour's job passes sooner."""
LEAST_SECONDS = 0.02
"""More than its peers: of a step that takes milliseconds, noise is a multiple."""


@dataclass(frozen=True)
class Straggler:
    """A rank that computes for so many seconds of a step, and what its peers take."""

    rank: int
    seconds: float
    peers: float

    @property
    def ratio(self) -> float:
        return self.seconds / max(self.peers, 1e-9)


class Stragglers:
    """Fed with every rank's own seconds of each step; ranks of a stage do the same work. A stage of one rank has no
    peers, and nothing is said of it."""

    def __init__(self, ranks: int, stages: int) -> None:
        self._stage = ranks // stages
        self._means: list[float] | None = None
        self._slow = [0] * ranks
        self._even = [0] * ranks
        self.told: dict[int, Straggler] = {}
        """Who is slow now."""
        self.ratio: float | None = None
        """The slowest rank against its peers; None where nobody has any."""

    def take(self, seconds: Sequence[float]) -> tuple[list[Straggler], list[int]]:
        """Who has become a straggler with this step, and who is none any more."""
        before = self._means or seconds
        self._means = [mean + SMOOTHING * (new - mean) for mean, new in zip(before, seconds, strict=True)]
        if self._stage < 2:
            return [], []
        seen = [self._against_peers(rank, self._means) for rank in range(len(seconds))]
        self.ratio = max(found.ratio for found in seen)
        began, ended = [], []
        for found in seen:
            rank = found.rank
            slow = found.ratio >= SLOW and found.seconds - found.peers >= LEAST_SECONDS
            self._slow[rank] = self._slow[rank] + 1 if slow else 0
            self._even[rank] = self._even[rank] + 1 if found.ratio <= EVEN else 0
            if rank in self.told and self._even[rank] >= STEPS:
                del self.told[rank]
                ended.append(rank)
            elif rank not in self.told and self._slow[rank] >= STEPS:
                self.told[rank] = found
                began.append(found)
        return began, ended

    def _against_peers(self, rank: int, means: Sequence[float]) -> Straggler:
        first = rank - rank % self._stage
        peers = [means[other] for other in range(first, first + self._stage) if other != rank]
        return Straggler(rank, means[rank], median(peers))
