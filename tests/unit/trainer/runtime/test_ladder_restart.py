"""A restart that the spec asks for, on the ladder: done once, whoever hears of it and however often."""

from ultrathink_api.causes import Cause
from ultrathink_store import End, Epoch, Start
from ultrathink_trainer.supervisor import events as ev
from ultrathink_trainer.supervisor.attempt import State
from unit.trainer.runtime.parts.ladders import NOW, Bench, kinds

ASKED = "2026-01-02T00:00:00Z"


def test_a_restart_saves_and_begins_one_new_attempt_not_counted_however_often_it_is_said() -> None:
    bench = Bench().started()
    bench.send(ev.RestartAsked(ASKED))
    assert bench.send(ev.Tick()) == [ev.StopRanks(1, ("worker-0-0", "worker-1-0"), save=True)]
    for rank in range(4):
        bench.exit(rank, 0)
    assert kinds(bench.idle(0, 1)) == ["EndEpoch", "TakeEpoch", "StartRanks"]
    assert bench.end_of(1).cause is Cause.SPEC_CHANGED and bench.ladder.budget.counted == 0
    bench.send(ev.RestartAsked(ASKED))
    assert bench.send(ev.Tick()) == []


def test_a_restart_that_an_earlier_supervisor_answered_is_not_answered_again() -> None:
    bench = Bench()
    bench.epochs = [Epoch(number=1, start=Start(epoch=1, created_at=NOW, detail={"restartedAt": ASKED}))]
    bench.open()
    bench.join(0, 1)
    bench.send(ev.RestartAsked(ASKED))
    assert bench.send(ev.Tick()) == []
    assert bench.ladder.state is State.RUNNING


def test_a_restart_asked_for_before_an_attempt_began_needs_no_other() -> None:
    bench = Bench()
    bench.ladder.restarted_at = ASKED
    bench.started()
    assert bench.send(ev.Tick()) == []


def test_a_restart_still_goes_around_the_data_that_were_not_finite() -> None:
    bench = Bench()
    end = End(cause=Cause.NAN, rung="ranks", ended_at=NOW, detail={"rows": [4, 8]})
    bench.epochs = [Epoch(number=1, start=Start(epoch=1, created_at=NOW), end=end)]
    bench.started()
    bench.send(ev.RestartAsked(ASKED))
    bench.send(ev.Tick())
    taken = next(order for order in bench.idle(0, 1) if isinstance(order, ev.TakeEpoch))
    assert (taken.number, taken.cause, taken.restarted_at) == (3, Cause.SPEC_CHANGED, ASKED)
    assert taken.detail["skips"] == [[4, 8]]
    assert bench.ladder.budget.counted == 1, "the rollback, not the restart"
