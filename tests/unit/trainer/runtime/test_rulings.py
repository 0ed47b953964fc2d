"""What a job's rules answer to a failure, alone and in the ladder."""

from dataclasses import replace

import pytest

from ultrathink_api.causes import Cause
from ultrathink_api.sections.restart import RestartSpec
from ultrathink_store import End, Epoch, Start
from ultrathink_trainer.supervisor import events as ev
from ultrathink_trainer.supervisor import rulings, verdict
from ultrathink_trainer.supervisor.ledger import memory_since
from unit.trainer.runtime.parts.ladders import LIMITS, NOW, Bench, kinds, ref

XID = "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus"


def rules(*raw: dict) -> tuple:
    return RestartSpec.model_validate({"rules": raw}).rules


def bench(*raw: dict, **limits: object) -> Bench:
    return Bench(limits=replace(LIMITS, rules=rules(*raw), **limits), hosts=True).started()


def fail(on: Bench, code: int = -9, message: str = "") -> list[ev.Order]:
    """Rank 3 fails, the others are killed."""
    if message:
        on.record(3, event="failed", kind="error", message=message)
    on.exit(3, code)
    for rank in (0, 1, 2):
        on.exit(rank, -9, ordered=True)
    return on.idle(0, 1)


@pytest.mark.parametrize(
    ("when", "fits"),
    [
        ({"exitCodes": [137]}, True),
        ({"exitCodes": [9]}, False),
        ({"cause": ["RankLost"]}, True),
        ({"cause": ["Hang"]}, False),
        ({"log": "Xid.* 79"}, True),
        ({"log": "Xid 13"}, False),
        ({"exitCodes": [137], "cause": ["Hang"]}, False),
        ({"exitCodes": [1, 137], "cause": ["Hang", "RankLost"], "log": "fallen (off|on)"}, True),
    ],
)
def test_all_that_a_rule_says_must_hold(when: dict, fits: bool) -> None:
    found = rulings.find(Cause.RANK_LOST, -9, ["", XID], rules({"when": when, "do": "Fail"}))
    assert (found is not None and found.name == "spec.restart.rules[0]") is fits


def test_the_first_rule_that_fits_counts() -> None:
    both = rules({"when": {"cause": ["Hang"]}, "do": "Restart"}, {"when": {"cause": ["Hang"]}, "do": "Fail"})
    found = rulings.find(Cause.HANG, None, [], both)
    assert found is not None and found.rule.do == "Restart"


@pytest.mark.parametrize("cause", [Cause.SUSPENDED, Cause.SPEC_CHANGED, None])
def test_what_somebody_wished_for_is_answered_by_no_rule(cause: Cause | None) -> None:
    assert rulings.find(cause, None, [], rules({"when": {"log": ".*"}, "do": "Fail"})) is None


def test_a_rule_can_end_the_job() -> None:
    orders = fail(bench({"when": {"exitCodes": [137]}, "do": "Fail"}))
    finish = orders[-1]
    assert isinstance(finish, ev.Finish) and finish.problem is not None
    assert (finish.phase, finish.problem.code, finish.problem.field) == ("Failed", "UTK0412", "spec.restart.rules[0]")
    assert "RankLost (SIGKILL)" in finish.problem.message


def test_the_jobs_own_fault_is_never_retried_whatever_a_rule_says_of_its_words() -> None:
    on = bench({"when": {"log": "shape"}, "do": "Restart", "counts": False})
    finish = fail(on, 64, "wrong shape")[-1]
    assert isinstance(finish, ev.Finish) and finish.problem is not None and finish.problem.code == "UTK0401"


def test_a_failure_that_does_not_count_spares_the_budget_but_not_the_patience_without_progress() -> None:
    on = bench({"when": {"cause": ["RankLost"]}, "do": "Restart", "counts": False}, most=0)
    for _ in range(2):
        assert kinds(fail(on))[-1] == "StartRanks"
    assert (on.ladder.budget.counted, on.ladder.budget.free) == (0, 2)
    finish = fail(on)[-1]
    assert isinstance(finish, ev.Finish) and finish.reason == "NoProgress"


def test_a_drained_node_counts_if_the_job_says_so() -> None:
    on = bench({"when": {"cause": ["Drained"]}, "do": "Restart", "counts": True})
    on.send(ev.StopAsked(Cause.DRAINED, node="w-1"))
    for rank in range(4):
        on.exit(rank, 0)
    on.idle(0, 1)
    assert (on.ladder.budget.counted, on.ladder.budget.without_progress) == (1, 1)


def test_a_rollback_leaves_copies_in_memory_unread() -> None:
    on = bench({"when": {"cause": ["RankLost"]}, "do": "Rollback"})
    on.save(10)
    fail(on)
    assert on.end_of(1).detail == {"rollback": True}
    assert memory_since(on.epochs[:1], Cause.RANK_LOST, 2) == 2


def test_steps_that_were_not_finite_keep_their_data_if_the_job_wants_a_plain_restart() -> None:
    for do, rows in (("Rollback", [8, 12]), ("Restart", None)):
        on = bench({"when": {"cause": ["NaN"]}, "do": do})
        on.save(10)
        on.record(3, event="failed", kind="nonFinite", message="NaN", rows=[8, 12])
        fail(on, 76)
        assert on.end_of(1).detail.get("rows") == rows


def test_broken_hardware_is_avoided_for_a_day_without_a_word_of_the_job() -> None:
    on = bench()
    fail(on, 70, XID)
    assert on.end_of(1).detail == {"avoid": {"node": "gpu-1", "hours": 24.0, "reason": "Internal"}}


def test_a_head_that_is_lost_is_answered_by_rules_too() -> None:
    limits = replace(LIMITS, rules=rules({"when": {"cause": ["HeadLost"]}, "do": "Fail"}))
    on = Bench(limits=limits, epochs=[Epoch(number=1, start=Start(epoch=1, created_at=NOW))])
    on.open()
    finish = on.orders[-1]
    assert isinstance(finish, ev.Finish) and finish.problem is not None and finish.problem.code == "UTK0412"


def test_without_the_rung_of_ranks_ray_train_regroups() -> None:
    on = bench(in_place=False)
    orders = fail(on)
    assert kinds(orders) == ["EndEpoch", "Regroup"] and on.end_of(1).rung == "workers"
    assert on.join(0, 1) == [], "the workers of before do not go on"
    assert kinds(on.join(0, 1, generation=1)) == ["TakeEpoch", "StartRanks"]


def ended(number: int, node: str, hours: float, at: str = NOW) -> Epoch:
    detail = {"avoid": {"node": node, "hours": hours, "reason": "Hang"}}
    end = End(cause=Cause.HANG, ended_at=at, detail=detail)
    return Epoch(number=number, start=Start(epoch=number, created_at=at, parent=ref(1, 1)), end=end)


def test_a_node_is_avoided_until_its_hours_are_over_and_the_newest_word_counts() -> None:
    later = "2026-01-01T02:00:00.000Z"
    epochs = [ended(1, "gpu-1", 1), ended(2, "gpu-2", 30), ended(3, "gpu-1", 3, later), ended(4, "gpu-2", 1)]
    seen = rulings.avoided(epochs, "2026-01-01T04:00:00.000Z")
    assert [(one.node, one.since, one.until) for one in seen] == [("gpu-1", later, "2026-01-01T05:00:00Z")]
    assert rulings.avoided(epochs, "2026-01-01T05:00:00.000Z") == ()


def test_a_ledger_that_says_nothing_of_counting_counts_by_the_cause() -> None:
    for cause, counted in ((Cause.RANK_LOST, True), (Cause.DRAINED, False)):
        assert verdict.counts(End(cause=cause, ended_at=NOW)) is counted
