"""All of a run that is not a tensor, as plain JSON in the manifest, and whether a checkpoint is of this model."""

import base64
import math
import platform
from dataclasses import asdict, dataclass, replace
from dataclasses import field as member
from typing import Any

import torch

from ultrathink_api.errors import Refused
from ultrathink_planner import Plan
from ultrathink_store import Manifest

from ..data.loader import Cursor


@dataclass(frozen=True)
class HeldOut:
    """What measurements of held-out loss came to: all that early stopping needs, so that it outlives a failure."""

    best: float | None = None
    stale: int = 0
    """Measurements since the best one."""

    def after(self, loss: float) -> "HeldOut":
        if math.isfinite(loss) and (self.best is None or loss < self.best):
            return HeldOut(loss)
        return replace(self, stale=self.stale + 1)

    def spent(self, patience: int | None) -> bool:
        return patience is not None and self.stale >= patience


@dataclass(frozen=True)
class Progress:
    """The state after `step` steps. `updates` are fewer where steps were skipped."""

    step: int
    tokens: int
    updates: int
    cursor: Cursor
    scaler: dict[str, Any] = member(default_factory=dict)
    """Of fp16: its factor, and for how long it has held."""
    held_out: HeldOut = HeldOut()

    def ended(self, plan: Plan) -> bool:
        """Whether nothing is left to train."""
        return self.step >= plan.steps or self.held_out.spent(plan.patience)


def dump(progress: Progress, plan: Plan) -> dict[str, Any]:
    """The manifest's `state`. The schedule is a pure function of the step and of what is said here."""
    generator = base64.b64encode(bytes(torch.get_rng_state().tolist())).decode()
    return {
        "step": progress.step,
        "tokens": progress.tokens,
        "optimizer": {"updates": progress.updates, **plan.optimizer.dump()},
        "schedule": {"steps": plan.steps, **plan.schedule.dump()},
        "data": {"sources": [source.dump() for source in plan.data], "cursor": progress.cursor.dump()},
        "mesh": plan.mesh.dump(),
        "microBatchSequences": plan.batch.micro_rows,
        "precision": plan.precision,
        "scaler": progress.scaler,
        "heldOut": asdict(progress.held_out),
        "generator": generator,
    }


def load(state: dict[str, Any], fingerprint: str) -> Progress:
    """The progress that a checkpoint holds; sets this process's generator."""
    torch.set_rng_state(torch.tensor(list(base64.b64decode(state["generator"])), dtype=torch.uint8))
    return Progress(
        step=state["step"],
        tokens=state["tokens"],
        updates=state["optimizer"]["updates"],
        cursor=Cursor.load(state["data"]["cursor"], fingerprint=fingerprint),
        scaler=state.get("scaler", {}),
        held_out=HeldOut(**state.get("heldOut", {})),
    )


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), "torch": torch.__version__}


def refuse_another_model(manifest: Manifest, plan: Plan) -> None:
    """A checkpoint is read only into the model that wrote it; the first field that differs is named."""
    said = {
        "spec.training.precision": (manifest.state["precision"], plan.precision),
        "spec.training.optimizer.name": (manifest.state["optimizer"]["name"], plan.optimizer.name),
    }
    ours, theirs = plan.model.dump(), dict(manifest.model)
    said |= _differences(ours, theirs, "spec.model")
    for field, (saved, wanted) in said.items():
        if saved != wanted:
            raise Refused.of(
                "UTK0318",
                field=field,
                message=f"the checkpoint of step {manifest.step} has {_word(saved)}, but the job says {_word(wanted)}",
                why="a checkpoint can only be read into the model that wrote it",
                fix=f"set it to {_word(saved)}, or start with resume.from: none",
            )


def _differences(ours: dict[str, Any], theirs: dict[str, Any], at: str) -> dict[str, tuple[Any, Any]]:
    found: dict[str, tuple[Any, Any]] = {}
    for name in ours | theirs:
        saved, wanted = theirs.get(name), ours.get(name)
        if isinstance(saved, dict) and isinstance(wanted, dict):
            found |= _differences(wanted, saved, f"{at}.{name}")
        else:
            found[f"{at}.{name}"] = (saved, wanted)
    return found


def _word(value: Any) -> str:
    if isinstance(value, dict):
        return "experts"
    return "none" if value is None else str(value)
