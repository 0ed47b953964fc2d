"""When silence means a hang: by the job's own pace, within limits."""

import pytest

from ultrathink_api.sections.health import HealthSpec
from ultrathink_trainer.supervisor.watch import PACE, Watch


def watch(steps: int = 100, validation_every: int = 50, **health: object) -> Watch:
    return Watch(HealthSpec(**health), validation_every=validation_every, steps=steps)


def stepped(made: Watch, *, seconds: float, count: int, first: int = 1, began: float = 0.0) -> float:
    """Steps of so many seconds; the time after the last."""
    now = began
    made.began(began)
    for step in range(first, first + count):
        now += seconds
        made.heard({"event": "step", "step": step}, now)
    return now


def test_an_attempt_may_take_its_time_to_the_first_step() -> None:
    made = watch(startupMinutes=2)
    made.began(0.0)
    made.heard({"event": "restored", "step": 0}, 10.0)
    assert made.look(129.0) is None
    silence = made.look(130.5)
    assert silence is not None and (silence.seconds, silence.limit) == (120.5, 120.0)


def test_the_limit_is_three_steps_of_the_pace_that_was_learned() -> None:
    made = watch()
    now = stepped(made, seconds=40.0, count=10)
    assert made.look(now + 3 * 40.0) is None
    assert made.look(now + 3 * 40.0 + 1) is not None


@pytest.mark.parametrize(("pace", "limit"), [(0.1, 30.0), (20.0, PACE * 20), (2000.0, 1200.0)])
def test_the_limit_stays_between_floor_and_ceiling(pace: float, limit: float) -> None:
    made = watch()
    stepped(made, seconds=pace, count=10)
    assert made.limit() == pytest.approx(limit)


def test_seconds_that_are_said_are_the_limit_from_the_first_step_on() -> None:
    made = watch(hang=7)
    stepped(made, seconds=100.0, count=1)
    assert made.limit() == 7.0


def test_off_means_never() -> None:
    made = watch(hang="off")
    now = stepped(made, seconds=0.1, count=10)
    assert made.look(now + 1e9) is None


def test_held_out_loss_may_take_longer_than_steps() -> None:
    made = watch(validation_every=10)
    now = stepped(made, seconds=1.0, count=10)
    assert made.limit() == 1200.0
    made.heard({"event": "eval", "step": 10}, now + 900)
    made.heard({"event": "step", "step": 11}, now + 901)
    assert made.limit() == 30.0, "the pace of steps has not changed"
    for step in range(12, 21):
        made.heard({"event": "step", "step": step}, now + 901 + step)
    assert made.limit() == PACE * 900, "the next one is known to take long"


def test_the_last_checkpoint_may_take_as_long_as_the_store_does() -> None:
    made = watch(steps=10, hang=5)
    now = stepped(made, seconds=1.0, count=10)
    made.heard({"event": "eval", "step": 10}, now)
    assert made.look(now + 600) is None


def test_after_a_step_that_was_skipped_an_upload_may_be_waited_for() -> None:
    made = watch()
    now = stepped(made, seconds=1.0, count=10)
    made.heard({"event": "step", "step": 11, "skipped": True}, now + 1)
    assert made.limit() == 1800.0
    made.heard({"event": "step", "step": 12}, now + 2)
    assert made.limit() == 30.0


def test_what_was_learned_holds_in_the_next_attempt() -> None:
    made = watch()
    now = stepped(made, seconds=40.0, count=10)
    made.ended()
    assert made.look(now + 1e6) is None, "nobody is expected to speak"
    stepped(made, seconds=40.0, count=4, first=5, began=2000.0)
    assert made.limit() == pytest.approx(120.0)
