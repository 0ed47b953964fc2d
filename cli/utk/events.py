"""Events of a run as lines for people: the same words for a run on this machine and for the log of a cluster's head."""

from typing import Any

from utk.console import clean

Event = dict[str, Any]

LINES_PER_RUN = 20
"""Steps that a person is shown of a whole run; -o jsonl has them all."""


class Narrator:
    """Makes lines of events, leaving out steps that say little, never the first of an attempt nor the last."""

    def __init__(self, steps: int = 0) -> None:
        self.steps = steps
        self._fresh = True

    def line(self, event: Event) -> str | None:
        """The line of an event, if it has one."""
        match event.get("event"):
            case "plan":
                self.steps = int(event.get("steps") or 0)
                return None
            case "attempt":
                self._fresh = True
                return attempt_line(event) if event.get("cause") or event.get("resumedFrom") else None
            case "step":
                return self._step(event)
            case "checkpoint":
                seconds = event.get("stallSeconds")
                stall = f"  stall {seconds:.2f}s" if isinstance(seconds, int | float) else ""
                return f"checkpoint step {event.get('step')}{stall}"
            case "checkpointFailed":
                return clean(f"no checkpoint of step {event.get('step')}: {event.get('message')} (training goes on)")
            case "warning":
                return clean(f"! {event.get('message')}")
            case "eval":
                return eval_line(event)
            case "stoppedEarly":
                return f"step {event.get('step')} is the last: {event.get('message')}"
            case _:
                return None

    def _step(self, event: Event) -> str | None:
        number = int(event.get("step") or 0)
        every = max(1, self.steps // LINES_PER_RUN)
        shown = self._fresh or number % every == 0 or number == self.steps
        self._fresh = False
        return step_line(event, self.steps) if shown else None


def step_line(event: Event, steps: int = 0) -> str:
    """`step 120/200  loss 3.4131  grad 0.82  48.1k tok/s  exp-bal 0.97`."""
    width = len(str(steps)) if steps else 1
    of = f"/{steps}" if steps else ""
    parts = [f"step {event.get('step'):>{width}}{of}"]
    parts.append(f"loss {event['loss']:.4f}" if isinstance(event.get("loss"), int | float) else "loss none")
    if isinstance(event.get("gradNorm"), int | float):
        parts.append(f"grad {event['gradNorm']:.2f}")
    if isinstance(event.get("tokensPerSecond"), int | float):
        parts.append(f"{rate(event['tokensPerSecond'])} tok/s")
    moe = event.get("moe") or {}
    if isinstance(moe.get("entropy"), int | float):
        parts.append(f"exp-bal {moe['entropy']:.2f}")
    return "  ".join(parts)


def attempt_line(event: Event) -> str:
    """`── attempt 2 (RankLost) from step 40, recovered in 1.2 s ──`."""
    cause = f" ({clean(str(event['cause']))})" if event.get("cause") else ""
    origin = f" from step {event['resumedFrom']}" if event.get("resumedFrom") else " from the beginning"
    seconds = event.get("recoverySeconds")
    recovered = f", recovered in {seconds:.1f} s" if isinstance(seconds, int | float) else ""
    return f"── attempt {event.get('attempt')}{cause}{origin}{recovered} ──"


def eval_line(event: Event) -> str:
    """`held-out loss 3.1070 at step 200  perplexity 22.4  (entropy of the data 2.9514)`."""
    loss, perplexity, entropy = event.get("loss"), event.get("perplexity"), event.get("entropy")
    said = f"held-out loss {loss:.4f} at step {event.get('step')}" if isinstance(loss, int | float) else "held-out none"
    if isinstance(perplexity, int | float):
        said += f"  perplexity {perplexity:.2f}"
    if isinstance(entropy, int | float):
        said += f"  (entropy of the data {entropy:.4f})"
    return said


def rate(number: float) -> str:
    """5.1k: tokens in a second."""
    return f"{number / 1e6:.2f}M" if number >= 1e6 else f"{number / 1e3:.1f}k" if number >= 1e3 else f"{number:.0f}"


def duration(seconds: float) -> str:
    """41s, 2m03s, 1h05m: how long something took."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3_600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3_600}h{whole % 3_600 // 60:02d}m"
