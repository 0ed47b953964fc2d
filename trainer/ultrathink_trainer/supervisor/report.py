"""What the supervisor says on stdout: one JSON object a line, the contract that other programs stand on."""

import json
import math
from collections.abc import Mapping
from typing import IO, Any

from ultrathink_api.causes import Cause
from ultrathink_store.records import Start

STREAMED = frozenset({"step", "checkpoint", "checkpointFailed", "eval", "stoppedEarly"})
"""Records of ranks that are the user's to see; the others are between us."""


class Reporter:
    """Writes events in order; an attempt's own line waits for its first step, which tells how long recovery took."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._waiting: dict[str, Any] | None = None
        self._epoch: int | None = None

    def run(self, uid: str, **facts: Any) -> None:
        self._write({"event": "run", "uid": uid, **facts})

    def plan(self, plan: Mapping[str, Any]) -> None:
        self._write({"event": "plan", **plan})

    def attempt(self, start: Start, cause: Cause | None) -> None:
        """An attempt's ranks are being forked."""
        self.flush()
        self._epoch = start.epoch
        self._waiting = {
            "event": "attempt",
            "attempt": start.epoch,
            "cause": cause,
            "resumedFrom": start.parent.step if start.parent else None,
            "recoverySeconds": None,
        }
        if cause is None:
            self.flush()

    def restored(self, epoch: int, step: int) -> None:
        """What was restored is the truth, where the checkpoint that START names turned out to be damaged."""
        if self._waiting is not None and self._waiting["attempt"] == epoch:
            self._waiting["resumedFrom"] = step

    def recovered(self, stages: Mapping[str, float]) -> None:
        """Where the time of the recovery went that the waiting line tells of."""
        if self._waiting is not None and stages:
            self._waiting["recoveryStages"] = {stage: round(seconds, 4) for stage, seconds in stages.items()}

    def record(self, epoch: int, record: Mapping[str, Any], recovery_seconds: float | None) -> None:
        """A rank's record, with the attempt it belongs to."""
        if record["event"] not in STREAMED:
            return
        if self._waiting is not None and self._waiting["attempt"] == epoch:
            self._waiting["recoverySeconds"] = recovery_seconds
            self.flush()
        self._write({"event": record["event"], "attempt": epoch, **{k: v for k, v in record.items() if k != "event"}})

    def flush(self) -> None:
        """An attempt that never made a step still gets its line."""
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            self._write(waiting)

    def warning(self, kind: str, message: str, **facts: Any) -> None:
        """Something that ends nothing, and that somebody should know."""
        self._write({"event": "warning", "kind": kind, "message": message, **facts})

    def summary(self, **facts: Any) -> None:
        self.flush()
        self._write({"event": "summary", **facts})

    def _write(self, event: dict[str, Any]) -> None:
        if "attempt" not in event and self._epoch is not None:
            event["attempt"] = self._epoch
        try:
            self._out.write(json.dumps(_plain(event), allow_nan=False) + "\n")
            self._out.flush()
        except (BrokenPipeError, ValueError):
            return  # whoever read is gone; its death is told by a signal


def _plain(value: Any) -> Any:
    """JSON has no NaN: a loss that is none is null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
