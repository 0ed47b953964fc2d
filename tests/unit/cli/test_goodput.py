"""Where a job's time went: shares, order, and what is not known."""

import pytest

from ultrathink.goodput import MEANINGS, breakdown
from ultrathink_trainer.supervisor.account import BUCKETS


def test_shares_sum_to_one_and_what_was_kept_comes_first() -> None:
    seconds = {"startup": 6.0, "replay": 10.0, "productive": 80.0, "hang": 4.0, "eval": 0.0}
    found = breakdown({"goodput": {"ratio": "0.8", "seconds": seconds}})
    assert found is not None
    assert [bucket["name"] for bucket in found["buckets"]] == ["productive", "replay", "startup", "hang", "eval"]
    assert sum(bucket["share"] for bucket in found["buckets"]) == pytest.approx(1.0)
    assert (found["ratio"], found["wallSeconds"]) == (0.8, 100.0)


@pytest.mark.parametrize("status", [{}, {"goodput": {"ratio": "0.5"}}, {"goodput": {"seconds": {"productive": 0.0}}}])
def test_what_is_not_known_is_not_made_up(status: dict[str, object]) -> None:
    assert breakdown(status) is None


def test_a_bucket_that_a_newer_operator_knows_is_counted() -> None:
    found = breakdown({"goodput": {"seconds": {"productive": 1.0, "migrate": 3.0}}})
    assert found is not None and found["ratio"] == 0.25
    assert found["buckets"][1] == {"name": "migrate", "seconds": 3.0, "share": 0.75, "meaning": ""}


def test_every_bucket_of_the_supervisor_is_explained() -> None:
    assert set(BUCKETS) <= set(MEANINGS)
