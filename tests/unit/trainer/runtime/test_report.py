"""The lines on stdout: the machine-readable contract."""

import io
import json
from typing import Any

from ultrathink_api.causes import Cause
from ultrathink_store import CheckpointRef, Start
from ultrathink_trainer.supervisor.report import Reporter

UID = "0b6b9c2e-0000-4000-8000-000000000000"


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def start(epoch: int, step: int | None) -> Start:
    parent = None if step is None else CheckpointRef(uid=UID, epoch=epoch - 1, step=step)
    return Start(epoch=epoch, parent=parent, created_at="2026-01-01T00:00:00.000Z")


def test_the_uid_comes_first_and_lines_before_the_first_attempt_bear_none() -> None:
    out = io.StringIO()
    reporter = Reporter(out)
    reporter.run(UID)
    reporter.plan({"worldSize": 2})
    assert lines(out) == [{"event": "run", "uid": UID}, {"event": "plan", "worldSize": 2}]


def test_the_first_attempt_is_told_at_once_with_no_cause() -> None:
    out = io.StringIO()
    Reporter(out).attempt(start(1, None), None)
    assert lines(out) == [
        {"event": "attempt", "attempt": 1, "cause": None, "resumedFrom": None, "recoverySeconds": None}
    ]


def test_a_later_attempt_is_told_with_its_first_step() -> None:
    out = io.StringIO()
    reporter = Reporter(out)
    reporter.attempt(start(2, 40), Cause.RANK_LOST)
    assert lines(out) == []
    reporter.record(2, {"event": "step", "step": 41, "loss": 0.1 + 0.2}, 1.5)
    assert lines(out) == [
        {"event": "attempt", "attempt": 2, "cause": "RankLost", "resumedFrom": 40, "recoverySeconds": 1.5},
        {"event": "step", "attempt": 2, "step": 41, "loss": 0.30000000000000004},
    ]


def test_an_attempt_that_made_no_step_is_told_all_the_same() -> None:
    out = io.StringIO()
    reporter = Reporter(out)
    reporter.attempt(start(2, 40), Cause.RANK_LOST)
    reporter.flush()
    assert lines(out)[0]["recoverySeconds"] is None


def test_what_was_really_restored_is_what_is_told() -> None:
    out = io.StringIO()
    reporter = Reporter(out)
    reporter.attempt(start(2, 40), Cause.RANK_LOST)
    reporter.restored(2, 30)
    reporter.flush()
    assert lines(out)[0]["resumedFrom"] == 30


def test_a_late_record_of_the_attempt_before_keeps_its_number() -> None:
    out = io.StringIO()
    reporter = Reporter(out)
    reporter.attempt(start(2, 40), Cause.RANK_LOST)
    reporter.record(1, {"event": "step", "step": 47}, None)
    assert lines(out) == [{"event": "step", "attempt": 1, "step": 47}]


def test_records_between_ranks_and_supervisor_are_not_the_users() -> None:
    out = io.StringIO()
    Reporter(out).record(1, {"event": "finish", "kind": "completed"}, None)
    assert lines(out) == []


def test_every_line_is_json_even_when_a_loss_is_not_a_number() -> None:
    out = io.StringIO()
    Reporter(out).record(1, {"event": "step", "step": 1, "loss": float("nan"), "moe": {"entropy": float("inf")}}, None)
    assert lines(out)[0]["loss"] is None
    assert lines(out)[0]["moe"] == {"entropy": None}
