"""Every rule is one rule: its predicate accepts and refuses what its vectors say."""

import pytest

from ultrathink_api.errors import CODES
from ultrathink_api.job import UltraThinkJob
from ultrathink_api.rules import RULES, TRANSITIONS, broken, broken_by_change
from vectors.reading import Vector, changed, changes, label, vectors


@pytest.mark.parametrize("vector", vectors(), ids=label)
def test_a_predicate_agrees_with_its_vectors(vector: Vector) -> None:
    code, accepted, raw = vector
    found = {problem.code for problem in broken(UltraThinkJob.parse(raw))}
    assert (code not in found) == accepted
    assert not accepted or not found, "an accepted job breaks no other rule either"


@pytest.mark.parametrize(("code", "accepted", "given", "change"), changes())
def test_a_change_of_a_started_job_agrees_with_its_vectors(
    code: str, accepted: bool, given: dict, change: dict
) -> None:
    old = UltraThinkJob.parse(changed(given) | {"status": {"startedAt": "2026-01-01T00:00:00Z"}})
    new = UltraThinkJob.parse(changed(change))
    assert [p.code for p in broken_by_change(old, new)] == ([] if accepted else [code])


def test_before_its_start_everything_of_a_job_may_change() -> None:
    old, new = UltraThinkJob.parse(changed({})), UltraThinkJob.parse(changed({"model.preset": "dense-tiny"}))
    assert broken_by_change(old, new) == []


def test_every_rule_has_vectors_both_ways_a_registered_code_and_a_fix() -> None:
    seen = {(code, accepted) for code, accepted, _ in vectors()}
    for rule in RULES:
        assert {(rule.code, True), (rule.code, False)} <= seen, rule.code
    for rule in (*RULES, *TRANSITIONS):
        assert rule.code in CODES
        assert rule.message
        assert rule.fix


def test_there_are_forty_rules_and_more() -> None:
    assert len(RULES) + len(TRANSITIONS) >= 40


def test_no_rule_is_stated_twice() -> None:
    cels = [rule.cel for rule in (*RULES, *TRANSITIONS)]
    assert len(cels) == len(set(cels))
    assert len({rule.code for rule in RULES}) == len(RULES)
