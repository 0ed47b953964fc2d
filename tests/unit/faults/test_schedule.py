"""Random schedules of faults: the same for the same seed, and none that a job may fail under."""

import itertools
from collections import Counter

from faults.page import chaos
from faults.schedule import BURST, FIRST, GAP, LAST, RANKS, schedule, step_of
from ultrathink_trainer.runtime.chaos import parse

MANY = [schedule(seed, ray=seed % 2 == 0) for seed in range(400)]


def test_a_seed_means_one_schedule() -> None:
    assert [schedule(each.seed, ray=each.ray) for each in MANY] == MANY
    assert len({str(each) for each in MANY}) > 390


def test_all_that_is_drawn_can_be_injected() -> None:
    for each in MANY:
        assert [str(fault) for fault in parse(each.faults, world_size=RANKS)] == list(each.faults)
        assert each.ray or not any(fault.startswith("driver") for fault in each.faults)


def test_faults_lie_so_far_apart_that_a_checkpoint_comes_between() -> None:
    for each in MANY:
        burst = range(each.burst, each.burst + BURST) if each.burst else range(0)
        steps = [step for fault in each.faults if (step := step_of(fault)) not in burst[1:]]
        steps += [each.stop] if each.stop else []
        steps += [each.store.step] if each.store else []
        steps.sort()
        assert 2 <= len(steps) <= 4
        assert all(later - earlier >= GAP for earlier, later in itertools.pairwise(steps)), each
        assert steps[0] >= FIRST and steps[-1] <= LAST


def test_every_kind_is_drawn() -> None:
    kinds = Counter(fault.partition("@")[0].partition(":")[0] for each in MANY for fault in each.faults)
    assert set(kinds) == {"kill", "hang", "nan", "oom", "sigterm", "driver"}
    assert {each.twist for each in MANY} == {"exact", "nan", "oom"}
    assert {each.store.kind for each in MANY if each.store} == {"slowDown", "full", "denied", "cut", "slow"}
    assert sum(each.stop is not None for each in MANY) > 40


def test_the_page_counts_the_last_result_of_each_schedule() -> None:
    told = [("a1", 1, "fail"), ("a1", 1, "pass"), ("a1", 2, "pass"), ("b2", 1, "fail")]
    records = [{"commit": c, "seed": s, "ray": s == 2, "result": r} for c, s, r in told]
    assert [line for line in chaos(records).splitlines() if line[:4] in {"| a1", "| b2"}] == [
        "| a1 | 2 | 1 | 2 |",
        "| b2 | 1 | 0 | 0 |",
    ]
    assert "| none yet | 0 |" in chaos([])
