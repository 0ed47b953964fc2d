"""The observer's judgement of the operator's own calls, and the mistakes that are kept to test it."""

import pytest

from faults.mutations import MUTATIONS, Mutation, mutated
from faults.operator.parts.invariants import of_calls
from faults.operator.parts.proxy import Call

LABELS = {"ultrathink.io/job-uid": "u", "ultrathink.io/cluster": "1"}


def intent(number: int) -> Call:
    body = {"metadata": {"uid": "u"}, "status": {"cluster": {"number": number}}}
    return Call(0.0, "PATCH", "", {}, body, "ultrathinkjobs", "q", "status")


def creation() -> Call:
    return Call(0.0, "POST", "", {}, {"metadata": {"labels": LABELS}}, "statefulsets", "", "")


def test_an_object_is_made_after_the_status_names_its_cluster() -> None:
    assert of_calls([intent(1), creation(), intent(2), creation()]) == []


@pytest.mark.parametrize("calls", [[creation()], [creation(), intent(1)], [intent(0), creation()]])
def test_an_object_that_comes_before_is_told(calls: list[Call]) -> None:
    assert of_calls(calls) == ["I1: POST statefulsets came before the status named cluster 1"]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name)
def test_every_mistake_still_fits_the_code(mutation: Mutation) -> None:
    compile(mutated(mutation), mutation.file, "exec")
