"""Where Ray Train's workers come in: their polls become events for the ladder, its orders their answers."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ultrathink_api.protocol import Command, Member
from ultrathink_trainer.supervisor import events as ev

LOOK_SECONDS = 0.2
"""How often a waiting poll looks whether its worker is still connected."""
SILENCE_SECONDS = 20.0
"""A worker polls again at once; one that is silent for so long is gone."""


@dataclass
class _Worker:
    node: str
    seen: float
    polls: int = 0
    command: Command = field(default_factory=lambda: Command(order=0, do="wait"))
    shown: tuple[str, bool] | None = None


class Gate:
    """Called by HTTP threads and by the supervisor's loop; one lock, nothing slow under it."""

    def __init__(self, post: Callable[[object], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._post, self._clock = post, clock
        self._changed = threading.Condition()
        self._workers: dict[str, _Worker] = {}
        self._acked: dict[str, int] = {}
        self._left: set[str] = set()
        self._over = False
        self._order = 0

    def exchange(self, member: Member, connected: Callable[[], bool]) -> Command:
        """One POST: take the events, then answer with the newest order, waiting for one that is new."""
        until = self._clock() + member.wait_seconds
        with self._changed:
            if member.worker in self._left:
                return Command(order=self._order + 1, do="regroup", acked=self._acked.get(member.agent, 0))
            worker = self._workers.setdefault(member.worker, _Worker(member.node, self._clock()))
            worker.seen = self._clock()
            self._take_in(member, worker)
            worker.polls += 1
            try:
                while worker.command.order == member.order and not self._over and (left := until - self._clock()) > 0:
                    self._changed.wait(min(left, LOOK_SECONDS))
                    if not connected():
                        self._leave(member.worker)
                        break
            finally:
                worker.polls -= 1
                worker.seen = self._clock()
            command = Command(order=worker.command.order + 1, do="end") if self._over else worker.command
            return command.model_copy(update={"acked": self._acked.get(member.agent, 0)})

    def _take_in(self, member: Member, worker: _Worker) -> None:
        shown = (member.agent, member.ready)
        for event in member.events:
            if int(event["seq"]) > self._acked.get(member.agent, 0):
                self._acked[member.agent] = int(event["seq"])
                self._post(_translated(member, event))
        # Only the thread that listens to the agent knows of it; a waiting poll of the other one may be older.
        if member.wait_seconds == 0 and worker.shown != shown:
            worker.shown = shown
            self._post(ev.Joined(member.node, member.worker, member.agent, member.ready, member.host))

    def order(self, worker: str, command: Command) -> None:
        """The newest order replaces one that was not fetched: a start implies that what ran before is ended."""
        with self._changed:
            found = self._workers.get(worker)
            if found is None:
                return
            self._order += 1
            found.command = command.model_copy(update={"order": self._order})
            self._changed.notify_all()

    def end_all(self) -> None:
        """The job has ended, or is stopped: whoever asks from now on is told so."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def look(self) -> None:
        """Workers that fell silent are gone."""
        with self._changed:
            limit = self._clock() - SILENCE_SECONDS
            for name in [n for n, w in self._workers.items() if w.polls == 0 and w.seen < limit]:
                self._leave(name)

    def _leave(self, name: str) -> None:
        if self._workers.pop(name, None) is not None:
            self._left.add(name)
            self._post(ev.Left(name))


def _translated(member: Member, event: dict[str, Any]) -> object:
    """An agent's event as one of the ladder's."""
    match event["kind"]:
        case "record":
            return ev.RankRecord(member.node, event["epoch"], event["rank"], event["record"])
        case "exit":
            return ev.RankExit(
                member.node,
                member.agent,
                event["epoch"],
                event["rank"],
                event["code"],
                event["ordered"],
                event.get("starved", False),
            )
        case "stacks":
            return ev.Stacks(member.node, member.agent, event["epoch"], event["ranks"])
        case "idle":
            return ev.NodeIdle(member.node, member.agent, event["epoch"])
    raise ValueError(f"an agent sent {event['kind']!r}")
