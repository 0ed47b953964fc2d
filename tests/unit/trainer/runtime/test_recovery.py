"""The stages of a recovery, from the moments that the supervisor sees."""

import pytest

from ultrathink_trainer.supervisor.recovery import Recovery


def test_the_stages_add_up_to_the_time_from_the_fault_to_the_next_step() -> None:
    recovery = Recovery()
    recovery.faulted(10.0, None)
    recovery.ended(10.25)
    recovery.restored(11.0, 0.5)
    stages = recovery.stepped(11.5)
    assert stages == {"teardown": 0.25, "start": 0.25, "restore": 0.5, "firstStep": 0.5}
    assert sum(stages.values()) == pytest.approx(1.5)


def test_a_hang_is_known_as_late_as_the_silence_lasted() -> None:
    recovery = Recovery()
    recovery.faulted(10.0, 5.0)
    recovery.ended(11.0)
    assert recovery.stepped(12.0) == {"detect": 5.0, "teardown": 1.0, "start": 1.0, "restore": 0.0, "firstStep": 0.0}


def test_a_second_fault_before_the_next_step_belongs_to_the_first() -> None:
    recovery = Recovery()
    recovery.faulted(10.0, None)
    recovery.ended(11.0)
    recovery.faulted(12.0, None)
    recovery.ended(13.0)
    recovery.restored(14.0, 0.5)
    assert recovery.stepped(15.0) == {"teardown": 1.0, "start": 2.5, "restore": 0.5, "firstStep": 1.0}


def test_without_a_fault_there_are_no_stages() -> None:
    recovery = Recovery()
    recovery.ended(1.0)
    recovery.restored(2.0, 0.5)
    assert recovery.stepped(3.0) == {}
