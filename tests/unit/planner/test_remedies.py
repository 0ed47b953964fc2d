"""What would make a job fit is planned before it is said."""

from typing import Any

from ultrathink_api.errors import Refused
from ultrathink_api.job import UltraThinkJob
from ultrathink_planner import CATALOGUE, fit, plan, remedies
from vectors.reading import changed

DENSE = {"model.preset": "dense-8b", "workers": {"count": 1, "gpus": 8}}
EXPERTS = {
    "model.preset": "moe-100b",
    "workers": {"count": 8, "gpus": 8},
    "training.precision": "bf16",
    "training.activationCheckpointing": True,
}


def offered(told: dict[str, Any], device: str) -> list[dict[str, Any]]:
    """What is offered, of which each was planned again and fits, and misses nothing that could be left out."""
    found = remedies(UltraThinkJob.parse(changed(told)).spec, CATALOGUE[device])
    for one in found:
        assert fits(told, one.changes, device)
        for field in one.changes:
            fewer = {name: value for name, value in one.changes.items() if name != field}
            assert not fits(told, fewer, device)
    return [one.changes for one in found]


def fits(told: dict[str, Any], changes: dict[str, Any], device: str) -> bool:
    spec = changed(told)["spec"]
    for path, value in changes.items():
        section, field = path.split(".")
        spec[section] = spec.get(section, {}) | {field: value}
    try:
        made = plan(UltraThinkJob.parse(changed({}) | {"spec": spec}).spec)
    except Refused:
        return False
    return bool(fit(made, CATALOGUE[device]).fits)


def test_every_field_that_is_enough_alone_is_offered_with_its_mildest_value() -> None:
    assert offered(EXPERTS, "h200") == [{"parallelism.expert": 8}, {"workers.count": 16}]


def test_several_fields_are_offered_together_where_none_is_enough_alone() -> None:
    (together,) = offered(DENSE, "rtx4090")
    assert set(together) >= {"training.precision", "training.activationCheckpointing"}


def test_settings_and_workers_are_changed_together_only_where_neither_is_enough() -> None:
    assert "workers.count" not in offered(DENSE, "rtx4090")[0]
    (together,) = offered(DENSE | {"model.preset": "moe-30b"}, "rtx4090")
    assert together["workers.count"] > 1
    assert "training.activationCheckpointing" in together


def test_what_would_break_a_rule_or_the_model_is_not_offered() -> None:
    (together,) = offered(DENSE | {"model.heads": 30, "model.kvHeads": 10, "model.hidden": 3_840}, "rtx4090")
    assert together.get("parallelism.tensor", 1) in (1, 2)


def test_nothing_is_offered_where_nothing_helps() -> None:
    wide = {"model": {"preset": "dense-70b", "hidden": 65_536, "vocabulary": 1_000_000}}
    assert offered(DENSE | wide, "rtx4090") == []


def test_nothing_is_offered_where_it_fits() -> None:
    assert offered({}, "h100") == []


def test_nothing_is_offered_where_memory_is_not_known() -> None:
    assert offered({"training.engine": "deepspeed", "model.preset": "dense-tiny"}, "h100") == []
