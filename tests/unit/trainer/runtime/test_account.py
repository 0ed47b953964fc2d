"""Where the time went: buckets that sum to wall time, whatever happens."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ultrathink_trainer.supervisor.account import BUCKETS, Account, ratio


def test_a_run_with_one_fault_is_told_apart() -> None:
    account = Account(0.0)
    account.step(1, 10.0)
    account.step(2, 11.0)
    account.step(3, 12.0)
    account.attempt_ended(12.5)
    account.restored(0.5, 14.0)
    account.step(2, 15.0)
    account.step(3, 16.0)
    account.step(4, 17.0)
    assert account.close(17.25) == pytest.approx(
        {
            "productive": 3.0,
            "startup": 12.0,
            "restore": 0.5,
            "replay": 1.0,
            "checkpointStall": 0.0,
            "dataWait": 0.0,
            "eval": 0.0,
            "hang": 0.0,
            "other": 0.75,
        }
    )


def test_a_stall_is_taken_out_of_the_step_that_waited() -> None:
    account = Account(0.0)
    account.step(1, 1.0)
    account.stalled(0.4, 2.0)
    account.step(2, 2.0)
    seconds = account.close(2.0)
    assert (seconds["checkpointStall"], seconds["productive"]) == pytest.approx((0.4, 0.6))


def test_waiting_for_data_is_taken_out_of_the_step_that_waited() -> None:
    account = Account(0.0)
    account.step(1, 1.0, waited=0.5)
    account.step(2, 2.0, waited=0.3)
    account.step(3, 3.0, waited=7.0)
    seconds = account.close(3.0)
    assert (seconds["dataWait"], seconds["startup"], seconds["productive"]) == pytest.approx((1.3, 1.0, 0.7))


def test_what_an_earlier_supervisor_spent_is_carried_on() -> None:
    account = Account(100.0, carried={"productive": 30.0}, high_step=7)
    account.step(7, 101.0)
    account.step(7, 102.0)
    assert account.close(102.0)["productive"] == 30.0
    assert account.seconds["replay"] == 1.0


def test_each_attempt_is_told_only_its_own_share() -> None:
    account = Account(0.0)
    account.step(1, 1.0)
    assert sum(account.attempt_ended(2.0).values()) == pytest.approx(2.0)
    assert sum(account.attempt_ended(5.0).values()) == pytest.approx(3.0)


def test_nothing_kept_is_no_goodput() -> None:
    assert ratio(dict.fromkeys(BUCKETS, 0.0)) == 0.0


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.sampled_from(["step", "restored", "stalled", "evaluated", "ended"]), st.floats(0, 10)), max_size=40
    )
)
def test_the_buckets_sum_to_wall_time(history: list[tuple[str, float]]) -> None:
    account = Account(0.0)
    now = 0.0
    for place, (kind, passed) in enumerate(history):
        now += passed
        match kind:
            case "step":
                account.step(place % 7, now, waited=1.5)
            case "restored":
                account.restored(3.0, now)
            case "stalled":
                account.stalled(2.0, now)
            case "evaluated":
                account.evaluated(now)
            case "ended":
                account.attempt_ended(now)
        assert sum(account.read(now).values()) == pytest.approx(now)
    assert sum(account.close(now).values()) == pytest.approx(now)
