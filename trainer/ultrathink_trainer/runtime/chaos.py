"""Faults to inject, as `--chaos` writes them: parsed once, each fired once."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

KINDS_OF_A_RANK = frozenset({"kill", "hang", "slow"})
"""They name the rank that they strike."""
KINDS_IN_RANK = KINDS_OF_A_RANK | {"nan", "oom"}
"""A rank does them to itself; rank 0 where none is named."""
KINDS_OUTSIDE = frozenset({"driver", "sigterm"})
KINDS_KNOWN = frozenset({"kill", "hang", "slow", "nan", "oom", "driver", "head", "sigterm"})
"""All kinds of the contract; those in neither set above are refused until they work."""

OTHERS = "nan, oom, driver, sigterm"

_FAULT = re.compile(r"(?P<kind>[a-z]+)(?::(?P<rank>\d+))?@(?P<step>\d+)")


class BadChaos(ValueError):
    """What was written names no fault that can be injected."""


@dataclass(frozen=True)
class Fault:
    """One fault: what, where, and in which step."""

    kind: str
    step: int
    rank: int | None = None

    def __str__(self) -> str:
        where = "" if self.rank is None else f":{self.rank}"
        return f"{self.kind}{where}@{self.step}"


def parse(words: Iterable[str], *, world_size: int) -> tuple[Fault, ...]:
    """Faults of `kill:1@60,driver@80`; raises BadChaos with a sentence for the user."""
    faults = []
    for word in (piece.strip() for line in words for piece in line.split(",") if piece.strip()):
        match = _FAULT.fullmatch(word)
        if match is None or match["kind"] not in KINDS_KNOWN:
            raise BadChaos(
                f"{word!r} is no fault: write kill:RANK@STEP, hang:RANK@STEP, slow:RANK@STEP, or KIND@STEP of {OTHERS}"
            )
        kind, rank = match["kind"], match["rank"]
        if kind not in KINDS_IN_RANK | KINDS_OUTSIDE:
            raise BadChaos(f"{word!r}: {kind} is not there yet; kill, hang, slow, {OTHERS} are")
        if (rank is None) == (kind in KINDS_OF_A_RANK):
            raise BadChaos(f"{word!r}: kill, hang and slow need a rank, as in kill:1@60; others take none")
        if rank is not None and int(rank) >= world_size:
            raise BadChaos(f"{word!r}: there are ranks 0 to {world_size - 1}")
        faults.append(Fault(kind, int(match["step"]), None if rank is None else int(rank)))
    return tuple(faults)
