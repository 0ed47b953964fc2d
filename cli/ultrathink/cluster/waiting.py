"""Waiting until a job has come as far as somebody wants: what can be waited for, and when it no longer can come."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from ultrathink.cluster.jobs import Raw
from ultrathink_api.errors import Problem, Refused

KNOWN = ("Running", "Succeeded", "step=N", "checkpoint")

_STEP = re.compile(r"step=([1-9]\d{0,17})")


class Verdict(Enum):
    """How a job stands to a goal."""

    NOT_YET = "not yet"
    REACHED = "reached"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Goal:
    """One thing to wait for; who is past it has reached it."""

    kind: Literal["Running", "Succeeded", "step", "checkpoint"]
    step: int = 0

    def __str__(self) -> str:
        return f"step={self.step}" if self.kind == "step" else self.kind

    def verdict(self, raw: Raw) -> Verdict:
        """How far the job is. Raises Refused if it can never come so far."""
        status = raw.get("status") or {}
        phase = status.get("phase")
        if self._reached(raw):
            return Verdict.REACHED
        if phase == "Failed":
            return Verdict.FAILED
        last = (status.get("plan") or {}).get("steps")
        if self.kind == "step" and isinstance(last, int) and self.step > last:
            raise self._never(f"the job is planned for {last} steps", f"wait for step={last} or for Succeeded")
        if phase == "Succeeded":
            raise self._never("the job has succeeded without it", f"utk status {raw['metadata']['name']} shows its end")
        return Verdict.NOT_YET

    def _reached(self, raw: Raw) -> bool:
        status = raw.get("status") or {}
        match self.kind:
            case "Running":
                return status.get("phase") in {"Running", "Succeeded"}
            case "Succeeded":
                return status.get("phase") == "Succeeded"
            case "step":
                return ((status.get("progress") or {}).get("step") or 0) >= self.step
            case "checkpoint":
                return bool(status.get("checkpoint"))

    def _never(self, why: str, fix: str) -> Refused:
        return Refused.of("UTK0611", field=f"--for {self}", message=f"{self} will never come: {why}", fix=fix)


def goal(text: str) -> Goal:
    """The goal that a text names."""
    if found := _STEP.fullmatch(text):
        return Goal("step", int(found[1]))
    match text.lower():
        case "running":
            return Goal("Running")
        case "succeeded":
            return Goal("Succeeded")
        case "checkpoint":
            return Goal("checkpoint")
    raise Refused(
        Problem(
            code="UTK0604",
            field=f"--for {text}",
            message=f"{text!r} cannot be waited for",
            fix=f"wait for one of: {', '.join(KNOWN)}",
        )
    )
