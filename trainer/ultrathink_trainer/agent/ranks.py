"""The ranks of one node as a pure state: orders and exits come in, what to fork, signal and report comes out."""

import signal
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Fork:
    """Fork these ranks."""

    assignments: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Signal:
    """Send a signal to all that run."""

    signum: int


@dataclass(frozen=True)
class Tell:
    """Journal an event."""

    event: dict[str, Any]


Effect = Fork | Signal | Tell


class Ranks:
    """At most one epoch runs at a time; a start waits until the one before is reaped."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.epoch = 0
        """The newest epoch that was ever ordered here."""
        self.running: set[int] = set()
        self._running_epoch = 0
        self._killed = False
        self._waiting: dict[str, Any] | None = None

    @property
    def busy(self) -> bool:
        """Ranks run, or are about to."""
        return bool(self.running or self._waiting)

    def start(self, order: dict[str, Any]) -> list[Effect]:
        """An order to start: of a newer epoch than any before, or nothing new."""
        if order["epoch"] <= self.epoch:
            return []
        self.epoch = order["epoch"]
        self._waiting = order
        return self._kill() if self.running else self._fork()

    def stop(self, epoch: int, *, save: bool) -> list[Effect]:
        """An order to end an epoch; one that never began here is idle at once."""
        self.epoch = max(self.epoch, epoch)
        if self._waiting is not None and self._waiting["epoch"] <= epoch:
            waiting, self._waiting = self._waiting, None
            if not self.running:
                return [_idle(waiting["epoch"])]
        if not self.running:
            return [_idle(epoch)]
        if self._running_epoch > epoch:
            return []
        if self._running_epoch < epoch:
            return [*self._kill(), _idle(epoch)]
        return [Signal(signal.SIGTERM)] if save else self._kill()

    def drop(self) -> list[Effect]:
        """Nobody speaks for this node any more: what runs here can not be told anything."""
        self._waiting = None
        return self._kill() if self.running else []

    def exited(self, epoch: int, rank: int, code: int, *, starved: bool = False) -> list[Effect]:
        """A rank was reaped. One that failed takes the others with it: they wait for it in a collective."""
        self.running.discard(rank)
        ordered = self._killed and code == -signal.SIGKILL
        told: dict[str, Any] = {"kind": "exit", "epoch": epoch, "rank": rank, "code": code, "ordered": ordered}
        if starved:
            told["starved"] = True
        effects: list[Effect] = [Tell(told)]
        if code != 0 and self.running:
            effects += self._kill()
        if not self.running:
            effects.append(_idle(epoch))
            if self._waiting is not None:
                effects += self._fork()
        return effects

    def zygote_lost(self) -> list[Effect]:
        """With the zygote all its ranks are gone, by the kernel's hand."""
        gone, self.running = self.running, set()
        epoch = self._running_epoch
        effects: list[Effect] = [
            Tell({"kind": "exit", "epoch": epoch, "rank": rank, "code": -signal.SIGKILL, "ordered": False})
            for rank in sorted(gone)
        ]
        return [*effects, _idle(epoch)] if gone else []

    def zygote_ready(self) -> list[Effect]:
        """A new zygote stands by: fork what was ordered meanwhile."""
        return self._fork() if self._waiting is not None and not self.running else []

    def _kill(self) -> list[Effect]:
        if self._killed:
            return []
        self._killed = True
        return [Signal(signal.SIGKILL)]

    def _fork(self) -> list[Effect]:
        order, self._waiting = self._waiting, None
        assert order is not None, "there is something to fork"
        self._running_epoch = order["epoch"]
        self._killed = False
        first = order["firstRank"]
        self.running = {first + local for local in range(self._count)}
        return [Fork(tuple({**order, "rank": first + local, "localRank": local} for local in range(self._count)))]


def _idle(epoch: int) -> Tell:
    return Tell({"kind": "idle", "epoch": epoch})
