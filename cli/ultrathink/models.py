"""Models outside of a run: measured on data, and written for other programs. The trainer is imported late."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ultrathink_api.errors import Refused
from ultrathink_api.sections.model import ModelSpec
from ultrathink_planner import Given

FORMATS = ("hf",)


def given(model: ModelSpec) -> Given | None:
    """What the folder says that a job's model comes from. Files are read here: rules and planner are pure."""
    if model.from_ is None:
        return None
    from ultrathink_trainer.checkpoint.folder import read_given

    return read_given(model.from_)


def evaluated(
    checkpoint: str, data: str, limit_tokens: int | None = None, effort: float | None = None
) -> dict[str, Any]:
    """Loss, perplexity and number of labels of a model at a checkpoint's URI or at hf:DIR, on held-out data; with
    adaptive compute also the effort, and the experts that a token used in a layer."""
    _need_trainer()
    from ultrathink_trainer.evaluate import evaluate

    found = evaluate(checkpoint, data, limit_tokens, effort=effort)
    said = {"loss": found.loss, "perplexity": found.perplexity, "tokens": found.tokens}
    adapted = {"effort": found.effort, "expertsPerToken": found.experts_per_token}
    return said if found.effort is None else said | adapted


def exported(uri: str, to: str, form: str = "hf") -> dict[str, Any]:
    """Writes a checkpoint's model into a new folder."""
    if form not in FORMATS:
        raise Refused.of("UTK0604", field="--format", message=f"there is no format {form!r}", fix="use --format hf")
    _need_trainer()
    from ultrathink_trainer.evaluate import export

    made = export(uri, Path(to).absolute())
    return {"uri": made.uri, "step": made.step, "family": made.family, "bytes": made.bytes, "folder": to}


def _need_trainer() -> None:
    missing = [name for name in ("torch", "numpy") if find_spec(name) is None]
    if missing:
        raise Refused.of(
            "UTK0606",
            message=f"to compute here {' and '.join(missing)} must be installed",
            fix="pip install 'ultrathink[cli,trainer]'",
        )
