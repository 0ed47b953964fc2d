"""The agent's loop: one select over its zygote, its ranks' records, the Ray Train worker of its node and signals."""

import logging
import os
import queue
import select
import signal
import socket
import subprocess
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from ultrathink_api.causes import Cause
from ultrathink_api.protocol import POD_IP_ENV, RunConfig, StopRequest
from ultrathink_trainer.agent import head, health
from ultrathink_trainer.agent.head import Head
from ultrathink_trainer.agent.journal import Journal
from ultrathink_trainer.agent.memory import Memory
from ultrathink_trainer.agent.ranks import Effect, Fork, Ranks, Signal, Tell
from ultrathink_trainer.agent.warm import Warm
from ultrathink_trainer.runtime import memory, processes, raynode, stacks
from ultrathink_trainer.runtime.node import node_name, socket_path
from ultrathink_trainer.runtime.wire import Link, Message

log = logging.getLogger("ultrathink.agent")

DRAINED_EXIT_CODE = 143
TICK_SECONDS = 0.5
AGAIN_SECONDS = 1.0
"""Pause before Ray or a zygote that died is started again."""


class Agent:
    """One node. Single-threaded but for the head's watch and the health probe, which only leave notes."""

    def __init__(self, config: RunConfig, config_file: str, entry: str) -> None:
        self._config, self._config_file, self._entry = config, config_file, entry
        self._node = node_name()
        self._id = uuid.uuid4().hex
        self._journal = Journal()
        self._memory = Memory(config.ranks_per_node if config.spec.checkpoint.copies else 0)
        self._ranks = Ranks(config.ranks_per_node)
        self._kills = memory.kills()
        self._pids: dict[int, int] = {}
        """Of the ranks that run here, by rank."""
        self._notes: queue.SimpleQueue[Head | Message | str] = queue.SimpleQueue()
        self._signals = processes.Signals(signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
        self._listener = self._listen()
        self._warm: Warm | None = None
        self._worker: Link | None = None
        self._ray: subprocess.Popen[bytes] | None = None
        self._again_at = 0.0
        self._ray_again_at = 0.0
        self._incarnation: str | None = None
        self._ray_answers = False
        self._drain_until: float | None = None

    @property
    def _ready(self) -> bool:
        return self._warm is not None and self._warm.ready and self._drain_until is None

    def run(self) -> int:
        """Until SIGTERM; the exit code."""
        processes.adopt_orphans()
        self._warm = Warm(self._entry, self._memory.fds)
        if not self._config.agent_in_head:
            health.serve(lambda: self._ready, self._config.ports.agent)
            head.watch(self._config, self._note)
        while True:
            self._wait()
            self._tend()
            if self._drained():
                self._leave()
                return DRAINED_EXIT_CODE

    def _note(self, note: Head | Message | str) -> None:
        self._notes.put(note)
        self._signals.wake()

    def _listen(self) -> socket.socket:
        path = Path(socket_path(self._config.directory, self._node))
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        return listener

    def _wait(self) -> None:
        sources: list[Any] = [self._signals, self._listener]
        if self._worker is not None:
            sources.append(self._worker)
        if self._warm is not None:
            sources += [self._warm.link, self._warm.records]
        readable, _, _ = select.select(sources, [], [], TICK_SECONDS)
        if self._warm is not None and (self._warm.records in readable or self._warm.link in readable):
            # Records first: a rank wrote them before it died.
            self._take_records(self._warm)
            if self._warm.link in readable:
                self._hear(self._warm)
        if self._worker is not None and self._worker in readable:
            self._hear_worker(self._worker)
        if self._listener in readable:
            self._greet()
        taken = self._signals.taken()
        if (signal.SIGTERM in taken or signal.SIGINT in taken) and self._drain_until is None:
            self._drain()

    # Ranks

    def _take_records(self, warm: Warm) -> None:
        for record in warm.records.drain():
            epoch, rank = record.pop("epoch"), record.pop("rank")
            self._tell({"kind": "record", "epoch": epoch, "rank": rank, "record": record})

    def _hear(self, warm: Warm) -> None:
        messages = warm.hear()
        if messages is None:
            log.warning("the zygote is gone")
            self._take_records(warm)
            warm.end()
            self._warm = None
            self._again_at = time.monotonic() + AGAIN_SECONDS
            self._pids.clear()
            self._do(self._ranks.zygote_lost())
            self._say_state()
            return
        for message in messages:
            if message["say"] == "ready":
                log.info("ranks can be forked: imported in %s s", message["seconds"])
                warm.ready = True
                self._do(self._ranks.zygote_ready())
                self._say_state()
            elif message["say"] == "forked":
                self._pids[message["rank"]] = message["pid"]
            else:
                self._pids.pop(message["rank"], None)
                self._take_records(warm)
                self._do(
                    self._ranks.exited(message["epoch"], message["rank"], message["code"], starved=self._starved())
                )

    def _do(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Tell():
                    self._tell(effect.event)
                case Signal():
                    if self._warm is not None:
                        self._warm.signal(effect.signum)
                case Fork():
                    if self._warm is not None and self._warm.ready:
                        self._warm.fork(self._with_memory(effect.assignments))
                    else:
                        # The zygote died between our last word and this order.
                        self._do(self._ranks.zygote_lost())

    def _with_memory(self, assignments: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        return tuple({**given, "copies": self._memory.of(int(given["localRank"]))} for given in assignments)

    # The Ray Train worker of this node

    def _greet(self) -> None:
        connection, _ = self._listener.accept()
        if self._worker is not None:
            self._lose_worker()
        self._worker = Link(connection)
        self._worker.send({"say": "hello", "agent": self._id, "node": self._node})
        for event in self._journal.unacked():
            self._worker.send({"say": "event", "event": event})
        self._say_state()

    def _hear_worker(self, worker: Link) -> None:
        messages = worker.receive()
        if messages is None:
            self._lose_worker()
            return
        for message in messages:
            match message["do"]:
                case "ack":
                    self._journal.ack(message["seq"])
                case "start":
                    order = {key: message[key] for key in ("epoch", "firstRank", "chaos", "start")}
                    self._do(self._ranks.start({**order, "config": self._config_file}))
                case "stop":
                    self._do(self._ranks.stop(message["epoch"], save=message["save"]))
                case "dump":
                    self._dump(message["epoch"])

    def _starved(self) -> bool:
        """Whether the kernel has killed for want of memory since we looked last."""
        before, self._kills = self._kills, memory.kills()
        return self._kills > before

    def _dump(self, epoch: int) -> None:
        """Behind the loop: a rank that does not answer costs seconds."""
        pids = dict(self._pids)

        def look() -> None:
            self._note({"kind": "stacks", "epoch": epoch, "ranks": stacks.take(self._config.directory, epoch, pids)})

        threading.Thread(target=look, name="stacks", daemon=True).start()

    def _lose_worker(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None
            self._do(self._ranks.drop())

    def _tell(self, event: Message) -> None:
        numbered = self._journal.add(event)
        if self._worker is not None:
            self._worker.send({"say": "event", "event": numbered})

    def _say_state(self) -> None:
        if self._worker is not None:
            self._worker.send({"say": "state", "ready": self._ready})

    # Children and the head

    def _tend(self) -> None:
        while not self._notes.empty():
            note = self._notes.get()
            if isinstance(note, Head):
                self._see(note)
            elif isinstance(note, dict):
                self._tell(note)
            else:
                self._do([Signal(signal.SIGTERM)])
        known = [child for child in (self._ray, self._warm.process if self._warm else None) if child is not None]
        processes.reap(known)
        now = time.monotonic()
        if self._warm is None and now >= self._again_at and self._drain_until is None:
            self._warm = Warm(self._entry, self._memory.fds)
        if self._config.agent_in_head:
            return
        if self._ray is not None and self._ray.poll() is not None:
            log.warning("Ray ended with %s", self._ray.returncode)
            self._ray = None
            self._ray_again_at = now + AGAIN_SECONDS
        if self._ray is None and self._ray_answers and now >= self._ray_again_at and self._drain_until is None:
            ip = os.environ.get(POD_IP_ENV) or socket.gethostbyname(socket.gethostname())
            command = raynode.worker_command(self._config, ip)
            self._ray = processes.spawn(command, env=raynode.environment(self._config))

    def _see(self, seen: Head) -> None:
        self._ray_answers = seen.ray
        if seen.incarnation == self._incarnation:
            return
        if self._incarnation is not None:
            log.warning("the head began anew: so do Ray and the ranks here")
            self._lose_worker()
            if self._ray is not None:
                self._ray.terminate()
        self._incarnation = seen.incarnation

    # Going away

    def _drain(self) -> None:
        grace = float(self._config.spec.checkpoint.grace_seconds)
        self._drain_until = time.monotonic() + grace
        self._say_state()
        request = StopRequest(reason=Cause.DRAINED, node=self._node, grace_seconds=grace)
        head.say_stop(self._config, request, lambda: self._note("supervisor away"))

    def _drained(self) -> bool:
        if self._drain_until is None:
            return False
        if time.monotonic() >= self._drain_until:
            return True
        return not self._ranks.busy and (self._worker is None or not self._journal.unacked())

    def _leave(self) -> None:
        if self._warm is not None:
            self._warm.end()
        if self._ray is not None:
            processes.end(self._ray, raynode.DRAIN_SECONDS + 2)
        processes.kill_below(os.getpid())
