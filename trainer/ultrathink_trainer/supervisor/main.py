"""The supervisor's loop: everything that happens passes the ladder here, and what it orders is done here."""

import logging
import os
import queue
import shutil
import signal
import threading
import time
import uuid
from typing import IO, Any

from ultrathink_api import protocol
from ultrathink_api.causes import Cause
from ultrathink_api.errors import Problem
from ultrathink_api.protocol import Command, RunConfig
from ultrathink_store.job import utc_now
from ultrathink_store.lineage import without_lineage
from ultrathink_trainer.runtime import processes, raynode
from ultrathink_trainer.runtime.client import read_token
from ultrathink_trainer.supervisor import events as ev
from ultrathink_trainer.supervisor import server, status
from ultrathink_trainer.supervisor.account import ratio
from ultrathink_trainer.supervisor.attempt import Limits, State
from ultrathink_trainer.supervisor.children import Child, end_all
from ultrathink_trainer.supervisor.gate import Gate
from ultrathink_trainer.supervisor.inject import Injector
from ultrathink_trainer.supervisor.ladder import Ladder
from ultrathink_trainer.supervisor.ledger import Ended, LedgerThread
from ultrathink_trainer.supervisor.metrics import CONTENT_TYPE, TrainerMetrics
from ultrathink_trainer.supervisor.observer import Observer
from ultrathink_trainer.supervisor.report import Reporter
from ultrathink_trainer.supervisor.service import ControlService, Limited, View
from ultrathink_trainer.supervisor.status import Training
from ultrathink_trainer.supervisor.storekeeper import StoreKeeper

log = logging.getLogger("ultrathink.supervisor")

TICK_SECONDS = 0.5
ORPHAN_GRACE = 5.0
"""Whoever started a local run is gone: save if it can be done at once, then leave nothing behind."""
LEAVE_MARGIN = 15.0
"""Over the grace, for END, the verification and Ray."""
START_LIMIT = 300.0
"""A laptop whose Ray has placed no worker by then never will; on a cluster the operator judges."""
EXIT_CODES = {"Succeeded": 0, "Failed": 5, "Suspended": 0}


class StoreReady:
    """The TCPStore of the ranks listens."""

    def __init__(self, store: object) -> None:
        self.store = store


class Supervisor:
    """Single-threaded, but for the threads that only leave events: HTTP, the ledger, the import of torch."""

    def __init__(self, config: RunConfig, config_file: str, entry: str, out: IO[str]) -> None:
        self._config = config
        self._events: queue.SimpleQueue[object] = queue.SimpleQueue()
        post = self._events.put
        self._began = time.monotonic()
        self._incarnation = uuid.uuid4().hex
        self._ledger = LedgerThread(config, post)
        self._keeper = StoreKeeper(config)
        self._deleting = self._deleted = False
        self._gate = Gate(post)
        self._report = Reporter(out)
        self._metrics = TrainerMetrics(config.job, config.namespace)
        self._training = Training(of=int(config.plan["steps"]))
        self._observer = Observer(config, self._training, self._metrics, self._report, self._began)
        limits = Limits.of(config.spec)
        batch = config.plan.get("batch", {})
        self._ladder = Ladder(
            nodes=config.nodes,
            ranks_per_node=config.ranks_per_node,
            limits=limits,
            now=utc_now(),
            batch=(int(batch.get("rowsPerDataRank", 1)), int(batch.get("microRows", 1))),
        )
        self._ladder.restarted_at = config.spec.restarted_at
        self._service = ControlService(config, self._incarnation, self._gate, post)
        self._store: object | None = None
        self._joined: dict[str, ev.Joined] = {}
        self._ended: Ended | None = None
        self._phase = ""
        self._leave_at: float | None = None
        ip = os.environ.get(protocol.POD_IP_ENV) or config.head
        self._ray = Child("ray", lambda: raynode.head_command(config, ip), raynode.environment(config))
        self._driver = Child(
            "driver",
            lambda: processes.python("ultrathink_trainer.driver", "--config", config_file),
            raynode.environment(config),
        )
        agent = processes.python("ultrathink_trainer.agent", "--config", config_file, "--entry", entry)
        self._agent = Child("agent", lambda: agent)
        self._injector = Injector(
            config.chaos,
            world_size=config.nodes * config.ranks_per_node,
            strike={"driver": self._kill_driver, "sigterm": self._drain_agent},
        )
        self._children = [self._driver, self._ray, self._agent]

    def run(self) -> int:
        """Until the job has ended (a laptop) or a signal says so; the exit code."""
        processes.adopt_orphans()
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(signum, lambda number, frame: self._events.put(number))
        self._serve()
        self._ledger.open()
        unsafe = None if self._config.bare else raynode.too_old()
        if unsafe:
            self._events.put(ev.GaveUp(unsafe))
        else:
            self._start_children()
        threading.Thread(target=self._hold_store, name="store", daemon=True).start()
        try:
            while not self._over():
                self._turn()
            if self._ended is None:
                # Told to go at once, or the grace is over: what is known is said.
                self._phase = self._phase or "Suspended"
                self._close(Ended(None, self._ladder.newest, False), time.monotonic())
        finally:
            end_all(self._children)
            if self._config.local:
                shutil.rmtree(self._config.directory, ignore_errors=True)
        return EXIT_CODES.get(self._phase, 1)

    def _start_children(self) -> None:
        if not self._config.bare:
            self._ray.start()
        if self._config.agent_in_head:
            self._agent.start()
        self._driver.start()

    def _serve(self) -> None:
        config = self._config
        host = "127.0.0.1" if config.local else "0.0.0.0"
        token = read_token(config.tokens, protocol.CONTROL_TOKEN)
        server.serve_control(self._service, token, host, config.ports.control)
        port = server.serve_metrics(self._metrics.exposition, CONTENT_TYPE, host, config.ports.metrics)
        self._report.run(config.uid, job=config.job, metrics=f"http://{config.head}:{port}{protocol.METRICS_PATH}")
        self._report.plan(config.plan)

    def _hold_store(self) -> None:
        """Importing torch takes seconds: Ray starts meanwhile."""
        try:
            from torch.distributed import TCPStore

            port = self._config.ports.store
            self._events.put(StoreReady(TCPStore(self._config.head, port, None, True, wait_for_workers=False)))
        except Exception as error:
            fix = "free the port, or reinstall torch"
            self._events.put(ev.GaveUp(Problem("UTK0407", "", f"the ranks' meeting point cannot open: {error}", fix)))

    # One turn

    def _turn(self) -> None:
        try:
            event: object | None = self._events.get(timeout=TICK_SECONDS)
        except queue.Empty:
            event = None
        now = time.monotonic()
        self._tend(now)
        if event is not None:
            self._take(event, now)
        self._gate.look()
        if self._ladder.state is State.RUNNING and (silence := self._observer.silence(now)) is not None:
            self._feed(ev.Hung(silence.seconds, silence.limit), now)
        self._feed(ev.Tick(), now)
        self._show(now)

    def _take(self, event: object, now: float) -> None:
        match event:
            case int():
                if event != signal.SIGCHLD:
                    self._leave(now)
            case StoreReady():
                self._store = event.store
                log.info("ranks can meet")
                for joined in self._joined.values():
                    self._feed(joined, now)
            case ev.Joined():
                self._joined[event.node] = event
                log.info("node %s: %s", event.node, "ready" if event.ready else "not ready")
                if self._store is not None:
                    self._feed(event, now)
            case ev.Left():
                self._joined = {node: j for node, j in self._joined.items() if j.worker != event.worker}
                self._feed(event, now)
            case ev.Opened():
                self._open(event, now)
            case ev.EpochEnded() | ev.EpochTaken() | ev.RankExit() | ev.NodeIdle() | ev.Stacks():
                self._feed(event, now)
            case ev.StopAsked() if event.delete:
                self._delete(event, now)
            case ev.StopAsked() | ev.RestartAsked():
                self._feed(event, now)
            case ev.Deleted():
                self._deleted = True
            case ev.RankRecord():
                self._feed(event, now)
                self._record(event.epoch, event.record, now)
            case ev.GaveUp() if self._deleting and self._ended is not None:
                log.error("the checkpoints stay: %s", event.problem.message)
            case ev.GaveUp() if self._ladder.state is State.ENDED:
                self._close(Ended(None, None, False), now)
            case ev.GaveUp():
                self._feed(event, now)
            case Limited():
                self._ladder.limits, self._keeper.keep = event.limits, event.keep
                self._observer.watch.health = event.health
            case Ended():
                self._close(event, now)

    def _feed(self, event: ev.Event, now: float) -> None:
        self._ladder.wall_clock = utc_now()
        before = self._ladder.state
        orders = self._ladder.handle(event, now)
        if before is State.RUNNING and self._ladder.state is not State.RUNNING:
            self._observer.faulted(now)
        for order in orders:
            log.debug("%s", order)
            self._do(order, now)

    def _do(self, order: ev.Order, now: float) -> None:
        match order:
            case ev.TakeEpoch():
                self._ledger.take(order, tuple(self._injector.fired))
            case ev.StartRanks():
                self._start_ranks(order)
            case ev.StopRanks():
                for worker in order.workers:
                    self._gate.order(worker, Command(order=0, do="stop", epoch=order.epoch, save=order.save))
            case ev.DumpStacks():
                for worker in order.workers:
                    self._gate.order(worker, Command(order=0, do="dump", epoch=order.epoch))
            case ev.EndEpoch():
                timings = self._observer.ended(order.number, now)
                self._keeper.attempt_ended()
                log.info("attempt %s ended: %s %s", order.number, order.end.cause or "completed", order.end.message)
                self._ledger.end(order.number, order.end.model_copy(update={"timings": timings}), order.stacks)
            case ev.Regroup():
                for worker in order.workers:
                    self._gate.order(worker, Command(order=0, do="regroup"))
            case ev.Finish():
                self._phase = order.phase
                self._finish(order)
            case ev.Stopped():
                self._phase = "Suspended"
                self._ledger.finish(None)
                if self._deleting:
                    self._ledger.delete()

    def _start_ranks(self, order: ev.StartRanks) -> None:
        start = order.start
        log.info("attempt %s starts from %s", start.epoch, start.parent or "nothing")
        nodes = {order.first_rank[j.worker]: j.node for j in self._joined.values() if j.worker in order.first_rank}
        self._observer.started(start, time.monotonic(), nodes)
        dumped = without_lineage(start).dump()
        for worker, first in order.first_rank.items():
            self._gate.order(
                worker,
                Command(
                    order=0,
                    do="start",
                    epoch=start.epoch,
                    first_rank=first,
                    chaos=self._injector.in_ranks(),
                    start=dumped,
                ),
            )

    # Records of ranks

    def _record(self, epoch: int, record: dict[str, Any], now: float) -> None:
        attempt = self._ladder.attempt
        current = attempt is not None and attempt.start.epoch == epoch
        if record["event"] == "chaos":
            self._injector.note(record["fault"])
            return
        self._observer.record(epoch, record, now, current=current, wall=(time.time(), utc_now()))
        if current:
            self._keeper.record(epoch, record, now)
        if record["event"] == "step":
            self._injector.at(record["step"])

    def _kill_driver(self) -> None:
        self._driver.signal(signal.SIGKILL)

    def _drain_agent(self) -> None:
        self._agent.signal(signal.SIGTERM)

    # Beginning and end

    def _delete(self, event: ev.StopAsked, now: float) -> None:
        """The job is deleted, and its checkpoints with it: first nothing may run any more."""
        if not self._deleting:
            self._deleting = True
            if self._ladder.state in (State.STOPPED, State.ENDED):
                self._ledger.delete()
        self._feed(event, now)

    def _open(self, event: ev.Opened, now: float) -> None:
        self._keeper.open()
        self._observer.opened(event)
        for epoch in event.epochs:
            fired = (epoch.start.chaos or {}).get("fired", [])
            for fault in fired if isinstance(fired, list) else []:
                self._injector.note(str(fault))
        self._feed(event, now)
        if event.ended:
            assert self._ledger.outcome is not None
            self._phase = self._ledger.outcome.phase
            self._gate.end_all()
            self._ledger.finish(self._ledger.outcome)

    def _finish(self, order: ev.Finish) -> None:
        self._gate.end_all()
        outcome = status.outcome_of(order, self._training.step, len(self._ladder.epochs), utc_now())
        self._service.outcome_now = status.outcome_view(outcome)
        self._ledger.finish(outcome, write=order.lasting)
        if self._deleting:
            self._ledger.delete()

    def _close(self, ended: Ended, now: float) -> None:
        """The last word."""
        if self._ended is not None:
            return
        self._ended = ended
        seconds = self._observer.account.close(now)
        if ended.outcome is not None:
            self._service.outcome_now = status.outcome_view(ended.outcome)
        saved = ended.checkpoint
        self._report.summary(
            phase=self._phase,
            **status.ending(self._service.outcome_now, self._training.step),
            attempts=len(self._ladder.epochs),
            goodput={"ratio": ratio(seconds), "seconds": {k: round(v, 3) for k, v in seconds.items()}},
            checkpoint={"step": saved.step, "uri": saved.uri, "verified": ended.verified} if saved else None,
        )
        if not self._config.local:
            end_all(self._children)

    def _leave(self, now: float) -> None:
        """SIGTERM: save, stop, go. A second one, or one without anybody left to tell: at once."""
        orphaned = self._config.local and os.getppid() == 1
        if self._leave_at is not None or self._ladder.state is State.OPENING:
            self._leave_at = now
            return
        grace = ORPHAN_GRACE if orphaned else self._ladder.limits.grace
        self._leave_at = now + grace + (0 if orphaned else LEAVE_MARGIN)
        reason = Cause.SUSPENDED if self._config.local else Cause.DRAINED
        self._feed(ev.StopAsked(reason, grace=grace), now)

    def _over(self) -> bool:
        if self._ended is not None and (self._config.local or self._leave_at is not None):
            return True
        return self._leave_at is not None and time.monotonic() >= self._leave_at

    def _tend(self, now: float) -> None:
        processes.reap([child.process for child in self._children if child.process is not None])
        if self._ladder.state in (State.STOPPED, State.ENDED):
            return
        if self._ray.tend(now):
            # Its driver would hang on what is gone.
            self._kill_driver()
        if self._driver.tend(now):
            self._feed(ev.DriverLost(), now)
        if self._config.agent_in_head:
            self._agent.tend(now)
        never = not self._ladder.epochs and self._ladder.state is State.GATHERING
        if self._config.local and never and now - self._began > START_LIMIT:
            said = f"no worker of Ray Train within {START_LIMIT:.0f} s"
            self._feed(ev.GaveUp(Problem("UTK0405", "", said, "see Ray's lines above; free CPU and memory")), now)

    def _show(self, now: float) -> None:
        seconds = self._observer.account.read(now)
        self._metrics.goodput(seconds)
        self._service.view = View.of(
            self._ladder,
            self._training,
            seconds,
            stepping=self._observer.stepping,
            verified=self._ended is not None and self._ended.verified,
            trouble=self._keeper.trouble(now),
            deleting=self._deleting,
            deleted=self._deleted,
        )
