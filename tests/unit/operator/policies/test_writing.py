"""Conditions keep their times, and nothing is written that changes nothing."""

from ultrathink_operator.actions import Said
from ultrathink_operator.policies import writing
from unit.operator.parts.cluster import running

NOON, LATER = 1_800_000_000.0, 1_800_000_060.0


def test_a_condition_keeps_the_time_of_its_last_change() -> None:
    first = writing.merge((), [Said("Running", "False", "Starting")], 1, NOON)
    same = writing.merge(first.values(), [Said("Running", "False", "Recovering", "words")], 2, LATER)
    assert same["Running"].last_transition_time == writing.timestamp(NOON)
    assert (same["Running"].reason, same["Running"].observed_generation) == ("Recovering", 2)
    changed = writing.merge(same.values(), [Said("Running", "True", "Training")], 2, LATER)
    assert changed["Running"].last_transition_time == writing.timestamp(LATER)


def test_of_two_words_about_one_condition_the_later_counts() -> None:
    said = [Said("Admitted", "True", "Fine"), Said("Admitted", "False", "NameConflict")]
    assert writing.merge((), said, 1, NOON)["Admitted"].reason == "NameConflict"


def test_a_message_without_end_is_cut() -> None:
    merged = writing.merge((), [Said("Failed", "True", "UserError", "x" * 9000)], 1, NOON)
    assert len(merged["Failed"].message) == 2048


def test_a_status_that_says_what_is_stored_is_never_due() -> None:
    cluster = running()
    assert writing.due_in(cluster.seen(), cluster.status, cluster.now) is None


def test_a_new_checkpoint_is_due_at_once() -> None:
    cluster = running()
    changed = cluster.status.model_copy(update={"reason": "Other"})
    assert writing.due_in(cluster.seen(), changed, cluster.now) == 0
