"""The trainer's Prometheus metrics, fed by the records of rank 0: only those that have a source."""

from collections.abc import Mapping
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ultrathink_api.errors import CODES

CONTENT_TYPE = CONTENT_TYPE_LATEST
PREFIX = "ultrathink_trainer_"
STEP_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""From a toy on a laptop to a large model's step."""

_STEP_GAUGES = {
    "loss": ("loss", "Cross-entropy of the last step, in nats a token."),
    "tokensPerSecond": ("tokens_per_second", "Speed of the last step."),
    "gradNorm": ("grad_norm", "Norm of the gradient before clipping."),
    "lr": ("lr", "Learning rate."),
    "dataWaitSeconds": ("data_wait_seconds", "How long the last step waited for data, slowest rank."),
    "stragglerRatio": ("straggler_ratio", "What the slowest rank computes of a step, over what its peers do."),
    "auxLoss": ("aux_loss", "Balance loss, apart from the loss."),
}
_MOE_GAUGES = {
    "entropy": ("router_entropy_ratio", "Normalised entropy of tokens over experts, worst layer."),
    "maxLoad": ("expert_load_ratio", "Fullest expert's tokens over the mean, worst layer."),
    "dropped": ("tokens_dropped_ratio", "Share of tokens dropped by capacity, worst layer."),
    "dead": ("dead_experts", "Experts that got no token, worst layer."),
}


class TrainerMetrics:
    """One registry; labels are job and namespace, nothing else but closed enumerations."""

    def __init__(self, job: str, namespace: str) -> None:
        self.registry = CollectorRegistry()
        self._labels = {"job": job, "namespace": namespace}
        self._step_seconds = Histogram(
            PREFIX + "step_duration_seconds",
            "Wall time of a step.",
            tuple(self._labels),
            buckets=STEP_BUCKETS,
            registry=self.registry,
        ).labels(**self._labels)
        self._steps = self._counter("steps", "Steps done, those done again too.")
        self._tokens = self._counter("tokens", "Positions trained on, those done again too.")
        self._goodput = Counter(
            PREFIX + "goodput_seconds",
            "Wall time by what it was spent on.",
            (*self._labels, "bucket"),
            registry=self.registry,
        )
        self._gauges = {key: self._gauge(name, text) for key, (name, text) in {**_STEP_GAUGES, **_MOE_GAUGES}.items()}
        self._val_loss = self._gauge("val_loss", "Held-out cross-entropy, in nats a token.")
        self._last_step = self._gauge("last_step_timestamp_seconds", "When the last step was done.")
        self._stall = self._gauge("checkpoint_stall_seconds", "How long training waited for the last checkpoint.")
        self._bytes = self._gauge("checkpoint_bytes", "Size of the last checkpoint.")
        self._saved_step = self._gauge("checkpoint_last_success_step", "The step that the last checkpoint holds.")
        self._saved_at = self._gauge("checkpoint_last_success_timestamp_seconds", "When it was committed.")
        self._failures = Counter(
            PREFIX + "checkpoint_failures",
            "Checkpoints that came to nothing, by the name of the code.",
            (*self._labels, "reason"),
            registry=self.registry,
        )
        self._left_out = self._counter("checkpoints_skipped", "Saves left out while one was on its way.")
        self._restore = self._gauge("checkpoint_restore_seconds", "How long the last restore took.")
        self._seen_goodput: dict[str, float] = {}

    def record(self, record: Mapping[str, Any], *, step_seconds: float | None, wall_clock: float) -> None:
        """Take in one record of rank 0."""
        match record["event"]:
            case "step":
                self._take_step(record, step_seconds, wall_clock)
            case "checkpoint":
                self._stall.set(record["stallSeconds"])
                self._bytes.set(record["bytes"])
                self._saved_step.set(record["step"])
                self._saved_at.set(wall_clock)
            case "checkpointFailed":
                code = str(record.get("code"))
                reason = CODES[code].name if code in CODES else "CheckpointFailed"
                self._failures.labels(**self._labels, reason=reason).inc()
            case "checkpointSkipped":
                self._left_out.inc()
            case "eval" if record["loss"] is not None:
                self._val_loss.set(record["loss"])
            case "restored":
                self._restore.set(record["seconds"])

    def goodput(self, seconds: Mapping[str, float]) -> None:
        """Bring the counters up to these totals."""
        for bucket, total in seconds.items():
            grown = total - self._seen_goodput.get(bucket, 0.0)
            if grown > 0:
                self._goodput.labels(**self._labels, bucket=bucket).inc(grown)
                self._seen_goodput[bucket] = total

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)

    def _take_step(self, record: Mapping[str, Any], step_seconds: float | None, wall_clock: float) -> None:
        self._steps.inc()
        # The record's count is cumulative over attempts; every step has the same share of it.
        self._tokens.inc(record["tokens"] // record["step"])
        if step_seconds is not None:
            self._step_seconds.observe(step_seconds)
        self._last_step.set(wall_clock)
        for source, names in ((record, _STEP_GAUGES), (record.get("moe") or {}, _MOE_GAUGES)):
            for key in names:
                if source.get(key) is not None:
                    self._gauges[key].set(source[key])

    def _gauge(self, name: str, text: str) -> Any:
        return Gauge(PREFIX + name, text, tuple(self._labels), registry=self.registry).labels(**self._labels)

    def _counter(self, name: str, text: str) -> Any:
        return Counter(PREFIX + name, text, tuple(self._labels), registry=self.registry).labels(**self._labels)
