"""Faults as they are written on the command line."""

import pytest

from ultrathink_trainer.runtime.chaos import BadChaos, Fault, parse


def test_a_list_of_faults_is_read() -> None:
    assert parse(["kill:1@60,driver@80", "sigterm@90"], world_size=2) == (
        Fault("kill", 60, 1),
        Fault("driver", 80),
        Fault("sigterm", 90),
    )


def test_a_fault_is_written_as_it_was_read() -> None:
    assert [str(fault) for fault in parse(["kill:1@60,driver@80"], world_size=2)] == ["kill:1@60", "driver@80"]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("head@5", "not there yet"),
        ("explode@5", "no fault"),
        ("kill@5", "need a rank"),
        ("slow@5", "need a rank"),
        ("nan:0@5", "take none"),
        ("driver:1@5", "take none"),
        ("kill:4@5", "ranks 0 to 1"),
        ("kill:1", "no fault"),
    ],
)
def test_what_cannot_be_injected_is_refused_with_the_reason(word: str, reason: str) -> None:
    with pytest.raises(BadChaos, match=reason):
        parse([word], world_size=2)
