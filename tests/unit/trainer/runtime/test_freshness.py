"""Why no fresh checkpoint can be relied on: told in time, in plain words, and healed by the next that goes well."""

from typing import Any

import pytest

from ultrathink_api.errors import CODES, Problem
from ultrathink_trainer.supervisor.freshness import LATE_SECONDS, MOST_LEFT_OUT, Freshness
from ultrathink_trainer.supervisor.ledger import LOCAL_OUTAGE, worth_waiting


def told(*records: tuple[float, str, dict[str, Any]]) -> Freshness:
    fresh = Freshness()
    for now, event, more in records:
        fresh.take({"event": event, "step": 10, **more}, now)
    return fresh


def reason(fresh: Freshness, now: float) -> str | None:
    trouble = fresh.trouble(now)
    return trouble.reason if trouble else None


def test_saves_that_go_well_are_no_trouble() -> None:
    fresh = told((0, "checkpointBegan", {}), (1, "checkpoint", {}), (9, "checkpointBegan", {}))
    assert reason(fresh, 10) is None


@pytest.mark.parametrize("code", ["UTK0303", "UTK0304", "UTK0305", "UTK0306", "UTK0308"])
def test_a_failed_save_gives_its_codes_name_until_one_is_committed(code: str) -> None:
    fresh = told((0, "checkpointBegan", {}), (1, "checkpointFailed", {"code": code, "message": "says the store"}))
    trouble = fresh.trouble(2)
    assert trouble is not None
    assert trouble.reason == CODES[code].name
    assert trouble.message == "the checkpoint of step 10 failed: says the store"
    fresh.take({"event": "checkpointBegan", "step": 20}, 3)
    assert reason(fresh, 4) == CODES[code].name
    fresh.take({"event": "checkpoint", "step": 20}, 5)
    assert reason(fresh, 6) is None


def test_an_upload_far_longer_than_the_others_is_slow_until_one_goes_well_again() -> None:
    fresh = told((0, "checkpointBegan", {}), (1, "checkpoint", {}), (10, "checkpointBegan", {}))
    assert reason(fresh, 10 + LATE_SECONDS - 1) is None
    assert reason(fresh, 10 + LATE_SECONDS) == "StoreSlow"
    fresh.take({"event": "checkpoint", "step": 20}, 10 + LATE_SECONDS + 1)
    assert reason(fresh, 30) is None


def test_saves_left_out_again_and_again_are_a_slow_store() -> None:
    skipped = [(float(n), "checkpointSkipped", {}) for n in range(1, MOST_LEFT_OUT + 1)]
    fresh = told((0, "checkpointBegan", {}), *skipped)
    trouble = fresh.trouble(4)
    assert trouble is not None
    assert (
        trouble.message
        == f"the checkpoint of step 10 is on its way for 3 s, {MOST_LEFT_OUT} saves were left out meanwhile"
    )
    fresh.take({"event": "checkpoint", "step": 10}, 5)
    assert reason(fresh, 6) == "StoreSlow", "the next may be as slow"
    fresh.take({"event": "checkpointBegan", "step": 50}, 7)
    fresh.take({"event": "checkpoint", "step": 50}, 8)
    assert reason(fresh, 9) is None


def test_a_store_that_does_not_answer_is_told_before_any_save_fails() -> None:
    fresh = Freshness()
    fresh.looked(Problem("UTK0305", "", "no answer", "wait"))
    assert reason(fresh, 0) == "StoreUnreachable"
    fresh.looked(None)
    assert reason(fresh, 1) is None


def test_what_an_ended_attempt_had_on_its_way_is_not_late() -> None:
    fresh = told((0, "checkpointBegan", {}), (1, "checkpoint", {}), (2, "checkpointBegan", {}))
    fresh.attempt_ended()
    assert reason(fresh, 1000) is None


@pytest.mark.parametrize("code", ["UTK0303", "UTK0304", "UTK0305", "UTK0306", "UTK0308"])
def test_a_job_that_has_begun_outlives_an_outage_of_any_length_on_a_cluster(code: str) -> None:
    assert worth_waiting(code, 7 * 86_400, begun=True, local=False)
    assert worth_waiting(code, LOCAL_OUTAGE, begun=True, local=True)
    assert not worth_waiting(code, LOCAL_OUTAGE + 1, begun=True, local=True)


@pytest.mark.parametrize("code", ["UTK0303", "UTK0304", "UTK0310", "UTK0311"])
def test_a_job_that_could_never_save_does_not_begin(code: str) -> None:
    assert not worth_waiting(code, 0, begun=False, local=False)


@pytest.mark.parametrize("code", ["UTK0311", "UTK0313", "UTK0315"])
def test_what_waiting_cannot_cure_is_not_waited_for(code: str) -> None:
    assert not worth_waiting(code, 0, begun=True, local=False)
