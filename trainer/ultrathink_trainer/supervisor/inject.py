"""Faults that `--chaos` asked for: which are still to come, and the blows that the supervisor deals itself."""

import logging
from collections.abc import Callable, Iterable, Mapping

from ultrathink_trainer.runtime.chaos import KINDS_IN_RANK, parse

log = logging.getLogger("ultrathink.supervisor")


class Injector:
    """Each fault fires once over the whole life of a run: the ledger carries what did."""

    def __init__(self, words: Iterable[str], *, world_size: int, strike: Mapping[str, Callable[[], None]]) -> None:
        self._faults = list(parse(words, world_size=world_size))
        self._strike = strike
        self.fired: list[str] = []

    def in_ranks(self) -> tuple[str, ...]:
        """What ranks are to do to themselves."""
        return tuple(str(fault) for fault in self._faults if fault.kind in KINDS_IN_RANK)

    def note(self, fault: str) -> None:
        """It fired."""
        log.warning("injected: %s", fault)
        self.fired.append(fault)
        self._faults = [f for f in self._faults if str(f) != fault]

    def at(self, step: int) -> None:
        """A step is done: deal the blows that were to follow it."""
        for fault in [f for f in self._faults if f.kind not in KINDS_IN_RANK and f.step <= step]:
            self.note(str(fault))
            self._strike[fault.kind]()
