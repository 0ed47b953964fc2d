"""Which checkpoints count: a pure question about epochs and the parents that their STARTs name."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ultrathink_api.errors import Refused
from ultrathink_store.chain import Chain
from ultrathink_store.records import CheckpointRef, Start

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""

Parent = tuple[str, int, int] | None
History = dict[tuple[str, int], tuple[Parent, list[int]]]
"""(uid, epoch) -> parent and committed steps."""


def chain(history: History, uid: str = "a") -> Chain:
    def start(epoch: int, parent: Parent) -> Start:
        named = CheckpointRef(uid=parent[0], epoch=parent[1], step=parent[2]) if parent else None
        return Start(epoch=epoch, parent=named, created_at="then")

    return Chain(
        uid,
        lambda of: {epoch: start(epoch, parent) for (owner, epoch), (parent, _) in history.items() if owner == of},
        lambda of, epoch: [(step, False) for step in history[of, epoch][1]],
        lambda of, epoch, step: CheckpointRef(uid=of, epoch=epoch, step=step),
    )


def found(history: History, uid: str = "a") -> list[tuple[str, int, int]]:
    return [(ref.uid, ref.epoch, ref.step) for ref in chain(history, uid).checkpoints()]


def test_nobody_who_never_began_has_a_chain() -> None:
    assert found({}) == []


def test_steps_after_the_one_that_was_gone_on_from_do_not_count() -> None:
    history: History = {("a", 1): (None, [10, 20, 30]), ("a", 2): (("a", 1, 20), [25])}
    assert found(history) == [("a", 2, 25), ("a", 1, 20), ("a", 1, 10)]


def test_an_attempt_that_nobody_went_on_from_does_not_count() -> None:
    history: History = {("a", 1): (None, [10]), ("a", 2): (("a", 1, 10), [99]), ("a", 3): (("a", 1, 10), [])}
    assert found(history) == [("a", 1, 10)]


def test_a_new_beginning_ends_the_chain() -> None:
    assert found({("a", 1): (None, [10]), ("a", 2): (None, [5])}) == [("a", 2, 5)]


def test_the_chain_goes_on_into_another_uid() -> None:
    history: History = {("b", 4): (None, [10, 20]), ("a", 1): (("b", 4, 10), [15])}
    assert found(history) == [("a", 1, 15), ("b", 4, 10)]


def test_a_parent_that_is_gone_is_told_and_not_offered() -> None:
    history: History = {("a", 1): (None, [10]), ("a", 2): (("a", 1, 20), [])}
    assert found(history) == [("a", 1, 10)]
    assert [(link.ref.step, link.state) for link in chain(history).links()] == [(20, "lost"), (10, "committed")]


@pytest.mark.parametrize(
    "history",
    [
        {("a", 1): (("a", 1, 10), [10])},
        {("a", 2): (("a", 3, 10), []), ("a", 3): (("a", 2, 5), [])},
        {("a", 2): (("a", 1, 10), [])},
        {("a", 1): (("b", 1, 10), []), ("b", 1): (("a", 1, 10), [])},
    ],
    ids=["itself", "a later one", "one that was never taken", "a ring of two jobs"],
)
def test_a_chain_that_leads_nowhere_is_refused(history: History) -> None:
    with pytest.raises(Refused):
        found(history)


@unhurried
@given(st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(1, 9), max_size=3, unique=True)), max_size=6))
def test_what_counts_is_exactly_what_the_training_went_through(attempts: list[tuple[int, list[int]]]) -> None:
    """A model of training: each attempt goes on from a known state, does steps and commits some of them."""
    history: History = {}
    lived: list[tuple[str, int, int]] = []
    for epoch, (back, advances) in enumerate(attempts, start=1):
        kept = lived[: max(len(lived) - back, 0)]  # the newest may have been lost or set aside
        parent = kept[-1] if kept else None
        base = parent[2] if parent else 0
        steps = sorted(base + advance for advance in advances)
        history["a", epoch] = (parent, steps)
        lived = kept + [("a", epoch, step) for step in steps]
    assert found(history) == lived[::-1]
    assert all(chain(history).holds(CheckpointRef(uid=u, epoch=e, step=s)) for u, e, s in lived)
