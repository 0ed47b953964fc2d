"""How a change takes effect is said by the innermost field that knows."""

import pytest

from ultrathink_api.base import EFFECTS, Section
from ultrathink_api.effects import effect_of
from ultrathink_api.job import JobSpec


@pytest.mark.parametrize(
    ("path", "effect"),
    [
        ("spec.model.preset", "immutable"),
        ("spec.model.moe.experts", "immutable"),
        ("spec.training.seed", "immutable"),
        ("spec.training.steps", "restart"),
        ("spec.workers.count", "newCluster"),
        ("spec.restart.budget.max", "inPlace"),
        ("spec", None),
        ("metadata.labels.team", None),
        ("nothing.of.this", None),
    ],
)
def test_a_field_says_how_its_change_takes_effect(path: str, effect: str | None) -> None:
    assert effect_of(path.split(".")) == effect


def test_every_field_of_a_spec_has_an_effect() -> None:
    assert issubclass(JobSpec, Section)
    for name, field in JobSpec.model_fields.items():
        assert effect_of(["spec", field.alias or name]) in EFFECTS
