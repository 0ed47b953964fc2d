"""Plans and problems as programs read them: the machine-readable contract, in one place."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ultrathink_api.errors import Problem
    from ultrathink_planner import Fit, Plan, Remedy

API_VERSION = "utk/v1"


def report(kind: str, **content: Any) -> dict[str, Any]:
    """An object of the command line: versioned, so that programs can rely on its fields."""
    return {"apiVersion": API_VERSION, "kind": kind, **content}


def problem_list(problems: "Iterable[Problem]") -> list[dict[str, str]]:
    """Problems as JSON."""
    return [problem.dump() for problem in problems]


def plan_report(name: str, plan: "Plan") -> dict[str, Any]:
    """What `utk plan -o json` says. What is not known (activations under DeepSpeed, price) is left out, never zero."""
    return report("Plan", name=name, **plan.dump())


def fit_report(found: "Fit", remedies: "Iterable[Remedy]") -> dict[str, Any]:
    """What `utk plan --on` says beside the plan; `fits` is null where it is not known."""
    said: dict[str, Any] = {
        "accelerator": found.accelerator.name,
        "fits": found.fits,
        "stage": found.stage,
        "bytes": found.bytes,
        "usableBytes": found.usable,
    }
    options = [{"set": one.changes, "bytes": one.fit.bytes} for one in remedies]
    return said | ({"remedies": options} if found.fits is False else {})
