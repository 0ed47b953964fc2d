"""A node's ranks and journal: at most one epoch runs, and nothing that happened is forgotten before it was heard."""

import signal
from typing import Any

from ultrathink_trainer.agent.journal import Journal
from ultrathink_trainer.agent.ranks import Effect, Fork, Ranks, Signal, Tell


def order(epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, "firstRank": 2, "chaos": [], "start": {}, "config": "job.json"}


def told(effects: list[Effect]) -> list[str]:
    return [effect.event["kind"] for effect in effects if isinstance(effect, Tell)]


def started(epoch: int = 1) -> Ranks:
    ranks = Ranks(2)
    ranks.start(order(epoch))
    return ranks


def test_a_start_forks_all_ranks_of_the_node() -> None:
    (fork,) = Ranks(2).start(order(1))
    assert isinstance(fork, Fork)
    assert [(a["rank"], a["localRank"], a["epoch"]) for a in fork.assignments] == [(2, 0, 1), (3, 1, 1)]


def test_the_same_start_again_and_an_older_one_change_nothing() -> None:
    ranks = started(2)
    assert ranks.start(order(2)) == []
    assert ranks.start(order(1)) == []


def test_a_failed_rank_takes_the_others_with_it() -> None:
    ranks = started()
    effects = ranks.exited(1, 2, -9)
    assert effects == [
        Tell({"kind": "exit", "epoch": 1, "rank": 2, "code": -9, "ordered": False}),
        Signal(signal.SIGKILL),
    ]
    effects = ranks.exited(1, 3, -9)
    assert effects[0] == Tell({"kind": "exit", "epoch": 1, "rank": 3, "code": -9, "ordered": True})
    assert told(effects) == ["exit", "idle"]


def test_a_rank_that_failed_by_itself_while_being_killed_says_so() -> None:
    ranks = started()
    ranks.exited(1, 2, -9)
    (first, _) = ranks.exited(1, 3, 65)
    assert isinstance(first, Tell) and first.event["ordered"] is False


def test_a_rank_that_is_done_leaves_the_others_alone() -> None:
    ranks = started()
    assert told(ranks.exited(1, 2, 0)) == ["exit"]
    assert told(ranks.exited(1, 3, 0)) == ["exit", "idle"]


def test_a_start_waits_until_the_epoch_before_is_reaped() -> None:
    ranks = started()
    assert ranks.start(order(2)) == [Signal(signal.SIGKILL)]
    ranks.exited(1, 2, -9)
    effects = ranks.exited(1, 3, -9)
    assert isinstance(effects[-1], Fork) and effects[-1].assignments[0]["epoch"] == 2


def test_a_save_asks_and_a_kill_does_not() -> None:
    ranks = started()
    assert ranks.stop(1, save=True) == [Signal(signal.SIGTERM)]
    assert ranks.stop(1, save=False) == [Signal(signal.SIGKILL)]


def test_stopping_what_never_began_is_idle_at_once_and_it_never_begins() -> None:
    ranks = Ranks(2)
    assert told(ranks.stop(3, save=False)) == ["idle"]
    assert ranks.start(order(3)) == []


def test_stopping_an_older_epoch_leaves_the_newer_one_alone() -> None:
    ranks = started(2)
    assert ranks.stop(1, save=False) == []


def test_a_lost_zygote_takes_all_its_ranks() -> None:
    ranks = started()
    assert told(ranks.zygote_lost()) == ["exit", "exit", "idle"]
    assert not ranks.busy


def test_a_node_that_nobody_speaks_for_kills_its_ranks() -> None:
    assert started().drop() == [Signal(signal.SIGKILL)]


def test_the_journal_keeps_what_was_not_acknowledged() -> None:
    journal = Journal()
    for kind in ("a", "b", "c"):
        journal.add({"kind": kind})
    journal.ack(2)
    assert journal.unacked() == ({"kind": "c", "seq": 3},)
    journal.ack(1)
    assert [event["seq"] for event in journal.unacked()] == [3]
