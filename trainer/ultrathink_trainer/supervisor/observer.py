"""What the supervisor learns from the records of ranks: progress, metrics, where the time went, lines for the user."""

import logging
from collections.abc import Mapping
from typing import Any

from ultrathink_api.protocol import RunConfig
from ultrathink_store.records import Start
from ultrathink_trainer.supervisor import events as ev
from ultrathink_trainer.supervisor.account import BUCKETS, Account
from ultrathink_trainer.supervisor.metrics import TrainerMetrics
from ultrathink_trainer.supervisor.recovery import Recovery
from ultrathink_trainer.supervisor.report import Reporter
from ultrathink_trainer.supervisor.spikes import Spikes
from ultrathink_trainer.supervisor.status import Training
from ultrathink_trainer.supervisor.watch import Silence, Watch

log = logging.getLogger("ultrathink.supervisor")


class Observer:
    """Fed by the supervisor's loop; the clocks' readings come in."""

    def __init__(
        self, config: RunConfig, training: Training, metrics: TrainerMetrics, report: Reporter, began: float
    ) -> None:
        self.training, self.metrics, self.report = training, metrics, report
        self.account = Account(began)
        every, steps = config.plan.get("validationEvery"), training.of
        self.watch = Watch(config.spec.health, validation_every=int(every or steps), steps=steps)
        self._spikes = Spikes()
        self._recovery = Recovery()
        self._silence: float | None = None
        """Seconds of a hang that was just found."""
        self._began = began
        self._fault_at: float | None = None
        self._last_step_at: float | None = None
        self._nodes: dict[int, str] = {}
        """First rank -> the node it is on."""

    @property
    def stepping(self) -> bool:
        """The attempt under way has made a step."""
        return self._last_step_at is not None

    def opened(self, event: ev.Opened) -> None:
        """Go on from what the ledger holds of attempts before this supervisor."""
        spent = dict.fromkeys(BUCKETS, 0.0)
        for epoch in event.epochs:
            for bucket in BUCKETS:
                spent[bucket] += epoch.end.timings.get(bucket, 0.0) if epoch.end else 0.0
        high = max((e.end.last_step or 0 for e in event.epochs if e.end), default=0)
        self.account = Account(self._began, carried=spent, high_step=high)
        self.training.step = event.newest.step if event.newest else 0
        if event.epochs and event.epochs[-1].end is None:
            self._fault_at = self._began

    def started(self, start: Start, now: float, nodes: Mapping[int, str]) -> None:
        """An attempt's ranks are being forked; `nodes` by the first rank of each."""
        self._nodes = dict(nodes)
        self.training.stragglers.clear()
        self.watch.began(now)
        self._last_step_at = None
        self.report.attempt(start, start.cause)

    def faulted(self, now: float) -> None:
        """An attempt that ran does so no more: recovery is counted from here."""
        self.watch.ended()
        self._recovery.faulted(now, self._silence)
        self._silence = None
        if self._fault_at is None:
            self._fault_at = now

    def silence(self, now: float) -> Silence | None:
        """A hang, once; its seconds were nobody's work."""
        silence = self.watch.look(now)
        if silence is not None:
            self.watch.ended()
            self._silence = silence.seconds
            self.account.hung(now)
        return silence

    def ended(self, number: int, now: float) -> dict[str, float]:
        """Seconds of the attempt, for its END."""
        timings = self.account.attempt_ended(now)
        self._recovery.ended(now)
        recovery = self.training.recoveries.get(number)
        if recovery is not None:
            timings["recovery"] = round(recovery, 3)
        self.report.flush()
        return timings

    def record(
        self, epoch: int, record: Mapping[str, Any], now: float, *, current: bool, wall: tuple[float, str]
    ) -> None:
        """A record of a rank; `current`: of the attempt under way; `wall`: the time as seconds and as text."""
        seconds: float | None = None
        recovery: float | None = None
        if current:
            self.watch.heard(record, now)
        match record["event"]:
            case "step" if current:
                if self._last_step_at is None and self._fault_at is not None:
                    recovery = self.training.recoveries[epoch] = now - self._fault_at
                    self._fault_at = None
                    self.report.recovered(self._recovery.stepped(now))
                seconds = None if self._last_step_at is None else now - self._last_step_at
                self._last_step_at = now
                self.account.step(record["step"], now, record.get("dataWaitSeconds", 0.0))
            case "checkpoint" if current:
                self.account.stalled(record["stallSeconds"], now)
            case "eval" if current:
                self.account.evaluated(now)
            case "restored":
                self.report.restored(epoch, record["step"])
                if current:
                    self.account.restored(record["seconds"], now)
                    self._recovery.restored(now, record["seconds"])
            case "straggler" if current:
                self._told_slow(record)
            case "stragglerGone" if current:
                self.training.stragglers.pop(record["slow"], None)
            case "failed":
                log.warning("rank failed: %s", record.get("message", ""))
        self.training.take(record, seconds, wall[1])
        self.metrics.record(record, step_seconds=seconds, wall_clock=wall[0])
        self.report.record(epoch, record, recovery)
        left = self._spikes.take(record["loss"]) if current and record["event"] == "step" else None
        if left is not None:
            said = f"loss leapt from {left:.4g} to {record['loss']:.4g} at step {record['step']}"
            log.warning("%s", said)
            self.report.warning("lossSpike", said, step=record["step"], loss=record["loss"], mean=left)

    def _told_slow(self, record: Mapping[str, Any]) -> None:
        """A rank is slow: it is said, and nothing else follows."""
        rank = record["slow"]
        first = max((first for first in self._nodes if first <= rank), default=None)
        node = "" if first is None else self._nodes[first]
        said = f"rank {rank} on {node} computes {record['ratio']:.1f} times as long as its peers"
        self.training.stragglers[rank] = said
        log.warning("%s", said)
        facts = {key: record[key] for key in ("step", "ratio", "seconds", "peerSeconds")}
        self.report.warning("straggler", said, rank=rank, node=node, **facts)
