"""A restart that the spec asks for, on the ladder: done once, whoever hears of it and however often."""

from ultrathink_api.causes import Cause
from ultrathink_store import Epoch, Start
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
