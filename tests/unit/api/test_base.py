"""What every model of the API can do."""

from ultrathink_api.base import slim
from ultrathink_api.status import JobStatus

STORED = {
    "phase": "Pending",
    "workers": {"ready": 0, "desired": 2, "selector": "a=b"},
    "conditions": [
        {
            "type": kind,
            "status": "True",
            "reason": "Planned",
            "message": "",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        for kind in ("Valid", "Admitted")
    ],
}


def test_a_slim_value_is_the_same_value() -> None:
    assert slim(JobStatus.model_validate(STORED)) == JobStatus.model_validate(STORED)
    assert slim(JobStatus.model_validate(STORED)).dump() == JobStatus.model_validate(STORED).dump()


def test_slim_values_share_what_they_say_of_themselves() -> None:
    one, other = (slim(JobStatus.model_validate(STORED)) for _ in range(2))
    assert one.model_fields_set is other.model_fields_set
    assert one.conditions[0].model_fields_set is other.conditions[1].model_fields_set


def test_a_change_of_a_slim_value_changes_no_other() -> None:
    one, other = (slim(JobStatus.model_validate(STORED)) for _ in range(2))
    changed = one.model_copy(update={"reason": "Changed"})
    assert "reason" in changed.model_fields_set
    assert "reason" not in other.model_fields_set
