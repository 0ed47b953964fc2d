"""The ladder by table: events in, orders out."""

from dataclasses import replace

from ultrathink_api.causes import Cause
from ultrathink_api.errors import Problem
from ultrathink_store import End, Epoch, Start
from ultrathink_trainer.supervisor import events as ev
from ultrathink_trainer.supervisor.attempt import Limits, State
from ultrathink_trainer.supervisor.ladder import DUMP_SECONDS, KILL_SECONDS, SETTLE_SECONDS
from unit.trainer.runtime.parts.ladders import LIMITS, NOW, Bench, kinds, ref


def test_nothing_starts_before_all_nodes_have_joined() -> None:
    bench = Bench()
    bench.open()
    assert bench.join(0) == []
    assert kinds(bench.join(1, ready=False)) == []
    assert kinds(bench.join(1)) == ["TakeEpoch", "StartRanks"]


def test_a_worker_speaks_for_one_node() -> None:
    bench = Bench()
    bench.open()
    bench.send(ev.Joined("w-0", "worker", "agent-0", True))
    assert bench.send(ev.Joined("w-1", "worker", "agent-1", True)) == []


def test_nothing_starts_before_the_ledger_was_read() -> None:
    bench = Bench()
    assert bench.join(0, 1) == []
    bench.open()
    assert kinds(bench.orders) == ["TakeEpoch", "StartRanks"]


def test_ranks_are_numbered_over_nodes_in_natural_order() -> None:
    bench = Bench(nodes=3)
    bench.open()
    bench.join(10, 9, 2)
    start = bench.orders[-1]
    assert isinstance(start, ev.StartRanks)
    assert start.first_rank == {"worker-2-0": 0, "worker-9-0": 2, "worker-10-0": 4}


def test_a_dead_rank_is_answered_in_place() -> None:
    bench = Bench().started()
    bench.save(10)
    bench.record(0, event="step", step=13)
    assert bench.exit(3, -9) == [ev.StopRanks(1, ("worker-0-0", "worker-1-0"), save=False)]
    bench.exit(0, 75)
    bench.exit(2, -9, ordered=True)
    bench.idle(1)
    assert kinds(bench.idle(0)) == ["EndEpoch", "TakeEpoch", "StartRanks"]
    end = bench.end_of(1)
    assert (end.cause, end.rank, end.node, end.rung, end.lost_steps) == (Cause.RANK_LOST, 3, "w-1", "ranks", 3)
    assert bench.epochs[1].start.parent == ref(1, 10)
    assert bench.epochs[1].start.cause is Cause.RANK_LOST


def test_the_rank_that_only_noticed_is_not_blamed() -> None:
    bench = Bench().started()
    bench.record(0, event="failed", kind="peer", message="Connection closed by peer")
    bench.exit(0, 75)
    bench.exit(3, -11)
    bench.idle(0, 1)
    assert (bench.end_of(1).rank, bench.end_of(1).exit_code) == (3, -11)


def test_when_all_only_noticed_the_loss_of_a_worker_explains_it() -> None:
    bench = Bench().started()
    for rank in (0, 1):
        bench.record(rank, event="failed", kind="peer", message="Connection reset by peer")
        bench.exit(rank, 75)
    bench.idle(0)
    bench.send(ev.Left("worker-1-0"))
    end = bench.end_of(1)
    assert (end.cause, end.node, end.rung) == (Cause.WORKER_LOST, "w-1", "workers")


def test_when_nothing_explains_it_the_attempt_ends_all_the_same() -> None:
    bench = Bench().started()
    bench.record(0, event="failed", kind="peer", message="Connection reset by peer")
    bench.exit(0, 75)
    bench.idle(0, 1)
    assert bench.ladder.state is State.ENDING
    bench.now = SETTLE_SECONDS + 0.1
    bench.send(ev.Tick())
    assert bench.end_of(1).cause is Cause.RANK_LOST


def test_a_lost_worker_makes_ray_train_regroup_and_old_workers_are_not_counted_again() -> None:
    bench = Bench().started()
    orders = bench.send(ev.Left("worker-1-0"))
    assert kinds(orders) == ["Regroup", "EndEpoch"]
    assert orders[0] == ev.Regroup(("worker-0-0",))
    assert bench.join(0) == [], "a dismissed worker does not join"
    assert bench.join(1, generation=1, agent=1) == []
    assert kinds(bench.join(0, generation=1)) == ["TakeEpoch", "StartRanks"]


def test_a_new_worker_of_a_node_shows_that_its_group_is_gone() -> None:
    bench = Bench().started()
    assert kinds(bench.join(0, generation=1)) == ["Regroup", "EndEpoch"]
    assert kinds(bench.join(1, generation=1)) == ["TakeEpoch", "StartRanks"]


def test_a_lost_agent_ends_the_attempt_and_its_successor_joins_without_regrouping() -> None:
    bench = Bench().started()
    assert kinds(bench.send(ev.Joined("w-1", "worker-1-0", "", False))) == ["StopRanks"]
    bench.exit(0, -9, ordered=True)
    bench.idle(0)
    assert (bench.end_of(1).cause, bench.end_of(1).rung) == (Cause.WORKER_LOST, "workers")
    assert kinds(bench.join(1, agent=1)) == ["TakeEpoch", "StartRanks"]


def test_a_lost_driver_ends_the_attempt_and_waits_for_new_workers() -> None:
    bench = Bench().started()
    assert "EndEpoch" in kinds(bench.send(ev.DriverLost()))
    assert bench.end_of(1).cause is Cause.DRIVER_LOST
    assert bench.join(0, 1) == []
    assert kinds(bench.join(0, 1, generation=1)) == ["TakeEpoch", "StartRanks"]


def test_a_driver_lost_before_the_first_attempt_costs_no_epoch() -> None:
    bench = Bench()
    bench.open()
    bench.join(0)
    assert bench.send(ev.DriverLost()) == [ev.Regroup(("worker-0-0",))]
    assert bench.epochs == []


def test_the_job_ends_when_all_ranks_have_finished() -> None:
    bench = Bench().started()
    bench.record(0, event="finish", kind="completed", step=20)
    for rank in range(4):
        bench.exit(rank, 0)
    orders = bench.idle(0, 1)
    assert orders[-1] == ev.Finish("Succeeded", "Completed")
    assert bench.end_of(1).cause is None


def test_a_rank_that_dies_after_the_last_commit_changes_nothing() -> None:
    bench = Bench().started()
    bench.record(0, event="finish", kind="completed", step=20)
    bench.exit(1, -11)
    bench.idle(0, 1)
    assert bench.end_of(1).cause is None


def test_a_refusal_in_a_rank_ends_the_job_with_its_code() -> None:
    bench = Bench().started()
    problem = Problem("UTK0201", "spec.data.uri", "no such data", "name data that exist")
    bench.record(2, event="failed", kind="refused", message="", problem=problem.dump())
    bench.exit(2, 65)
    bench.idle(1)
    finish = bench.idle(0)[-1]
    assert isinstance(finish, ev.Finish)
    assert (finish.phase, finish.reason, finish.cause) == ("Failed", "DataUnknown", Cause.DATA_ERROR)
    assert finish.problem is not None and finish.problem.fix == "name data that exist"


def test_exit_code_64_is_never_retried() -> None:
    bench = Bench().started()
    bench.exit(2, 64)
    bench.idle(1)
    finish = bench.idle(0)[-1]
    assert isinstance(finish, ev.Finish) and finish.reason == "UserError"


def test_a_store_that_does_not_answer_a_rank_is_tried_again() -> None:
    bench = Bench().started()
    problem = Problem("UTK0305", "", "no answer", "wait")
    bench.record(2, event="failed", kind="refused", message="", problem=problem.dump())
    bench.exit(2, 65)
    assert kinds(bench.idle(0, 1)) == ["EndEpoch", "TakeEpoch", "StartRanks"]
    assert bench.end_of(1).cause is Cause.STORE_ERROR


def fail_once(bench: Bench) -> list[ev.Order]:
    bench.exit(0, -9)
    return bench.idle(0, 1)


def test_three_failures_without_a_new_checkpoint_end_the_job() -> None:
    bench = Bench().started()
    fail_once(bench)
    fail_once(bench)
    finish = fail_once(bench)[-1]
    assert isinstance(finish, ev.Finish) and finish.reason == "NoProgress" and finish.cause is Cause.NO_PROGRESS


def test_a_new_checkpoint_gives_the_patience_back() -> None:
    bench = Bench().started()
    fail_once(bench)
    fail_once(bench)
    bench.save(10)
    assert kinds(fail_once(bench))[-1] == "StartRanks"
    fail_once(bench)
    assert bench.ladder.state is State.RUNNING


def test_the_budget_over_the_whole_life_ends_the_job_in_spite_of_progress() -> None:
    bench = Bench(limits=Limits(most=2, most_without_progress=3, grace=60)).started()
    for step in (10, 20):
        bench.save(step)
        fail_once(bench)
    bench.save(30)
    finish = fail_once(bench)[-1]
    assert isinstance(finish, ev.Finish) and finish.reason == "RestartBudgetSpent"


def test_the_budget_is_read_back_from_the_ledger() -> None:
    bench = Bench()
    for number in (1, 2, 3):
        end = End(cause=Cause.RANK_LOST, ended_at=NOW)
        bench.epochs.append(Epoch(number=number, start=Start(epoch=number, created_at=NOW), end=end))
    bench.open()
    assert isinstance(bench.orders[-1], ev.Finish)


def test_an_attempt_without_an_end_was_lost_with_its_head() -> None:
    bench = Bench(epochs=[Epoch(number=1, start=Start(epoch=1, created_at=NOW))])
    bench.open()
    assert bench.end_of(1).cause is Cause.HEAD_LOST
    bench.join(0, 1)
    assert bench.epoch == 2


def test_a_supervisor_that_died_between_end_and_outcome_writes_the_outcome() -> None:
    bench = Bench(epochs=[Epoch(number=1, start=Start(epoch=1, created_at=NOW), end=End(ended_at=NOW))])
    bench.open()
    assert bench.orders == [ev.Finish("Succeeded", "Completed")]


def test_after_an_outcome_nothing_is_trained() -> None:
    bench = Bench()
    bench.open(ended=True)
    assert bench.join(0, 1) == []


def test_a_stop_saves_and_no_attempt_follows() -> None:
    bench = Bench().started()
    orders = bench.send(ev.StopAsked(Cause.SUSPENDED))
    assert orders == [ev.StopRanks(1, ("worker-0-0", "worker-1-0"), save=True)]
    bench.record(0, event="checkpoint", step=14)
    bench.record(0, event="finish", kind="stopped", step=14)
    for rank in range(4):
        bench.exit(rank, 0)
    assert bench.idle(0, 1)[-1] == ev.Stopped(Cause.SUSPENDED)
    assert bench.end_of(1).cause is Cause.SUSPENDED
    assert bench.end_of(1).lost_steps == 0


def test_ranks_that_do_not_save_within_the_grace_are_killed() -> None:
    bench = Bench().started()
    bench.send(ev.StopAsked(Cause.SUSPENDED, grace=5.0))
    bench.now = 4.9
    assert bench.send(ev.Tick()) == []
    bench.now = 5.1
    assert bench.send(ev.Tick()) == [ev.StopRanks(1, ("worker-0-0", "worker-1-0"), save=False)]


def test_a_node_that_does_not_answer_a_kill_is_lost() -> None:
    bench = Bench().started()
    bench.exit(0, -9)
    bench.idle(0)
    bench.now = KILL_SECONDS + 0.1
    assert kinds(bench.send(ev.Tick())) == ["Regroup", "EndEpoch"]


def test_a_stop_before_the_first_attempt_takes_no_epoch() -> None:
    bench = Bench()
    bench.open()
    assert bench.send(ev.StopAsked(Cause.SUSPENDED)) == [ev.Stopped(Cause.SUSPENDED)]
    assert bench.join(0, 1) == []


def test_a_drained_node_saves_and_training_goes_on_when_it_is_back_not_counted() -> None:
    bench = Bench().started()
    assert bench.send(ev.StopAsked(Cause.DRAINED, node="w-1")) == [
        ev.StopRanks(1, ("worker-0-0", "worker-1-0"), save=True)
    ]
    for rank in range(4):
        bench.exit(rank, 0)
    assert kinds(bench.idle(0, 1)) == ["EndEpoch"], "the node that goes away is not started on again"
    assert bench.end_of(1).cause is Cause.DRAINED
    assert bench.ladder.budget.counted == 0 and bench.ladder.budget.free == 1
    assert kinds(bench.join(1, agent=1)) == ["TakeEpoch", "StartRanks"]


def test_what_an_older_epoch_left_behind_changes_nothing() -> None:
    bench = Bench().started()
    fail_once(bench)
    late = ev.RankExit("w-0", "agent-0-0", 1, 1, -9, False)
    assert bench.send(late) == []
    assert bench.send(ev.NodeIdle("w-0", "agent-0-0", 1)) == []


def test_a_supervisor_whose_place_was_taken_steps_down_and_writes_no_outcome() -> None:
    bench = Bench().started()
    newer = Start(epoch=2, parent=None, cause=Cause.HEAD_LOST, created_at=NOW)
    bench.exit(3, -9)
    for rank in (0, 1, 2):
        bench.exit(rank, 75)
    bench.idle(1)
    assert kinds(bench.ladder.handle(ev.NodeIdle("w-0", "agent-0-0", 1), 0.0)) == ["EndEpoch"]
    ended = bench.epochs[0].model_copy(update={"end": End(cause=Cause.RANK_LOST, ended_at=NOW)})
    orders = bench.send(ev.EpochEnded((ended, Epoch(number=2, start=newer)), None))
    (finish,) = orders
    assert isinstance(finish, ev.Finish) and finish.problem is not None
    assert (finish.problem.code, finish.lasting) == ("UTK0315", False)
    assert bench.ladder.state is State.ENDED
    assert not {"TakeEpoch", "StartRanks"} & set(kinds(bench.join(0, 1, generation=1)))


def test_what_is_around_the_job_ends_it_without_an_outcome() -> None:
    bench = Bench().started()
    orders = bench.send(ev.GaveUp(Problem("UTK0305", "", "no answer", "wait")))
    assert kinds(orders) == ["StopRanks", "Finish"]
    finish = orders[-1]
    assert isinstance(finish, ev.Finish) and not finish.lasting


def test_limits_may_change_while_it_runs() -> None:
    bench = Bench().started()
    bench.ladder.limits = replace(bench.limits, most=0)
    finish = fail_once(bench)[-1]
    assert isinstance(finish, ev.Finish) and finish.reason == "RestartBudgetSpent"


STOPPED = {"state": "T", "stack": "in begin"}
WAITING = {"state": "S", "stack": "torch/distributed all_reduce"}


def hang(bench: Bench, rank: str = "3") -> list[ev.Order]:
    """Silence, the stacks of both nodes, the end of all ranks."""
    bench.send(ev.Hung(42.0, 30.0))
    for node, ranks in ((0, ("0", "1")), (1, ("2", "3"))):
        seen = {name: STOPPED if name == rank else WAITING for name in ranks}
        bench.send(ev.Stacks(f"w-{node}", f"agent-{node}-0", bench.epoch, seen))
    for number in range(4):
        bench.exit(number, -9, ordered=True)
    return bench.idle(0, 1)


def test_a_hang_is_answered_when_all_stacks_are_taken() -> None:
    bench = Bench().started()
    assert bench.send(ev.Hung(42.0, 30.0)) == [ev.DumpStacks(1, ("worker-0-0", "worker-1-0"))]
    assert bench.send(ev.Stacks("w-0", "agent-0-0", 1, {"0": WAITING, "1": WAITING})) == []
    orders = bench.send(ev.Stacks("w-1", "agent-1-0", 1, {"2": WAITING, "3": STOPPED}))
    assert orders == [ev.StopRanks(1, ("worker-0-0", "worker-1-0"), save=False)]


def test_a_hang_is_laid_to_the_rank_that_the_others_wait_for() -> None:
    bench = Bench().started()
    orders = hang(bench)
    assert kinds(orders) == ["EndEpoch", "TakeEpoch", "StartRanks"]
    end = bench.end_of(1)
    assert (end.cause, end.rank, end.node, end.rung, end.detail) == (Cause.HANG, 3, "w-1", "ranks", {})
    assert isinstance(orders[0], ev.EndEpoch) and orders[0].stacks["3"] == {"node": "w-1", **STOPPED}


def test_a_node_whose_rank_hangs_twice_is_to_be_avoided() -> None:
    bench = Bench(hosts=True).started()
    hang(bench)
    hang(bench, rank="1")
    assert bench.end_of(2).detail == {}, "another rank"
    bench.save(10)
    hang(bench)
    assert bench.end_of(3).detail == {"avoid": {"node": "gpu-1", "hours": 24.0, "reason": "rank 3 hung twice"}}


def test_a_laptop_has_no_other_node_and_says_so() -> None:
    bench = Bench().started()
    hang(bench)
    bench.save(10)
    hang(bench)
    assert bench.end_of(2).detail == {}
    assert bench.end_of(2).message.endswith("avoiding its node has no effect here: there is no other")


def test_stacks_that_do_not_come_are_not_waited_for() -> None:
    bench = Bench().started()
    bench.send(ev.Hung(42.0, 30.0))
    bench.now = DUMP_SECONDS + 0.1
    assert kinds(bench.send(ev.Tick())) == ["StopRanks"]


def test_without_a_wish_for_stacks_the_ranks_are_ended_at_once() -> None:
    bench = Bench(limits=replace(LIMITS, dump=False)).started()
    assert kinds(bench.send(ev.Hung(42.0, 30.0))) == ["StopRanks"]
