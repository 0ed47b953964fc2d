"""Two objects, field by field."""

from ultrathink.cluster.difference import Change, changes

LIVE = {
    "metadata": {"labels": {"team": "a"}},
    "spec": {"workers": {"count": 2}, "training": {"steps": 200, "seed": 1}, "data": {"mixture": [{"weight": 1}]}},
}


def test_the_same_object_has_no_changes() -> None:
    assert list(changes(LIVE, LIVE)) == []


def test_each_field_that_differs_is_told_with_its_effect() -> None:
    new = {
        "metadata": {"labels": {"team": "b"}},
        "spec": {"workers": {"count": 4}, "training": {"steps": 200}, "data": {"mixture": [{"weight": 2}]}},
    }
    assert list(changes(LIVE, new)) == [
        Change("spec.workers.count", 2, 4, "newCluster"),
        Change("spec.training.seed", 1, None, "immutable"),
        Change("spec.data.mixture", [{"weight": 1}], [{"weight": 2}], "immutable"),
        Change("metadata.labels.team", "a", "b", None),
    ]


def test_a_section_that_is_new_is_told_by_its_fields() -> None:
    added = {**LIVE, "spec": {**LIVE["spec"], "restart": {"budget": {"max": 3}}}}
    assert list(changes(LIVE, added)) == [Change("spec.restart.budget.max", None, 3, "inPlace")]
