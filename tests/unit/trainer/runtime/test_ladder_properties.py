"""The ladder under random histories, none of which may break its promises."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ultrathink_api.causes import Cause
from ultrathink_trainer.supervisor import events as ev
from ultrathink_trainer.supervisor.attempt import State
from unit.trainer.runtime.parts.ladders import Bench

EVENTS = st.one_of(
    st.builds(
        ev.Joined,
        st.sampled_from(["w-0", "w-1"]),
        st.integers(0, 3).map(lambda n: f"worker-{n}"),
        st.sampled_from(["", "agent-a", "agent-b"]),
        st.booleans(),
    ),
    st.builds(ev.Left, st.integers(0, 3).map(lambda n: f"worker-{n}")),
    st.just(ev.DriverLost()),
    st.builds(ev.StopAsked, st.just(Cause.DRAINED), st.sampled_from(["w-0", "w-1"])),
    st.just(ev.RestartAsked("2026-01-01T00:00:01Z")),
    st.just(ev.Tick()),
    st.just(ev.Hung(40.0, 30.0)),
    st.builds(
        ev.Stacks,
        st.sampled_from(["w-0", "w-1"]),
        st.sampled_from(["agent-a", "agent-b"]),
        st.integers(1, 4),
        st.just({"0": {"state": "T", "stack": ""}}),
    ),
    st.builds(
        ev.RankExit,
        st.sampled_from(["w-0", "w-1"]),
        st.sampled_from(["agent-a", "agent-b"]),
        st.integers(1, 4),
        st.integers(0, 3),
        st.sampled_from([0, -9, 64, 70, 75]),
        st.booleans(),
    ),
    st.builds(ev.NodeIdle, st.sampled_from(["w-0", "w-1"]), st.sampled_from(["agent-a", "agent-b"]), st.integers(1, 4)),
)


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.tuples(EVENTS, st.floats(0, 20)), max_size=60))
def test_no_history_breaks_the_promises(history: list[tuple[ev.Event, float]]) -> None:
    bench = Bench()
    bench.open()
    # Random joins seldom complete a gang: the first one is given.
    joins = [ev.Joined(f"w-{n}", f"worker-{n}", f"agent-{'ab'[n]}", True) for n in (0, 1)]
    history = [*((join, 0.0) for join in joins), *history]
    running: int | None = None
    for event, passed in history:
        bench.now += passed
        for order in bench.send(event):
            match order:
                case ev.TakeEpoch():
                    assert running is None, "one epoch at a time"
                case ev.StartRanks():
                    assert running is None and order.start == bench.epochs[-1].start
                    assert len(order.first_rank) == bench.nodes, "never before all nodes have joined"
                    assert sorted(order.first_rank.values()) == [0, 2]
                    running = order.start.epoch
                case ev.StopRanks() | ev.DumpStacks():
                    assert order.epoch == running
                case ev.EndEpoch():
                    running = None
                case ev.Finish():
                    assert bench.ladder.state is State.ENDED
    numbers = [epoch.number for epoch in bench.epochs]
    assert numbers == list(range(1, len(numbers) + 1)), "numbers without gaps"
    assert all(epoch.end is not None for epoch in bench.epochs[:-1]), "an epoch begins when the one before has ended"
    counted = sum(1 for e in bench.epochs if e.end and e.end.cause not in (None, Cause.DRAINED, Cause.SPEC_CHANGED))
    assert counted <= bench.limits.most_without_progress, "the budget holds"
