"""The ladder as a pure state machine: what happens comes in, what is to be done comes out. One attempt at a time."""

from ultrathink_api.causes import Cause
from ultrathink_api.errors import CODES, Problem
from ultrathink_store.records import CheckpointRef, End, Epoch, Start
from ultrathink_trainer.supervisor import events as ev
from ultrathink_trainer.supervisor import rulings, verdict
from ultrathink_trainer.supervisor.attempt import Attempt, Limits, Member, State
from ultrathink_trainer.supervisor.verdict import Budget, Failure

KILL_SECONDS = 10.0
"""A killed rank is reaped in 0.1 s; a node that says nothing for so long is lost."""
DUMP_SECONDS = 20.0
"""A node tells the stacks of eight ranks that do not answer within that; what is not told by then is left out."""
SETTLE_SECONDS = 3.0
"""Gloo's peers notice a dead rank within 1.5 s: the loss of the node that explains them is known by then."""


class Ladder:
    """State of one supervisor. Everything that must survive it lies in the ledger."""

    def __init__(
        self, *, nodes: int, ranks_per_node: int, limits: Limits, now: str, batch: tuple[int, int] = (1, 1)
    ) -> None:
        self._nodes, self._ranks = nodes, ranks_per_node
        self.limits = limits
        self._rows, self._micro = batch
        """Rows of a data rank in a step, and how many of them it computes at once, by the plan."""
        self.wall_clock = now
        """Time as records write it; the shell sets it before each event."""
        self.state = State.OPENING
        self.members: dict[str, Member] = {}
        self.epochs: tuple[Epoch, ...] = ()
        self.newest: CheckpointRef | None = None
        self.attempt: Attempt | None = None
        self.stop: Cause | None = None
        self.restarted_at: str | None = None
        self._start: Start | None = None
        self._draining: set[str] = set()
        self._dismissed: set[str] = set()
        self._final: Failure | None = None

    @property
    def budget(self) -> Budget:
        """What is spent, by the ledger."""
        since = verdict.hours_before(self.wall_clock, self.limits.window_hours)
        return verdict.spent(self.epochs, self.newest, since=since)

    def ready(self) -> list[Member]:
        """Nodes whose ranks could be forked at once."""
        return [m for m in self.members.values() if m.agent and m.ready and m.agent not in self._draining]

    def handle(self, event: ev.Event, now: float) -> list[ev.Order]:
        """One event in, orders out."""
        match event:
            case ev.Joined():
                orders = self._joined(event, now)
            case ev.Left():
                orders = self._left(event.worker, Cause.WORKER_LOST, now)
            case ev.DriverLost():
                orders = self._break(Cause.DRIVER_LOST, "the driver of Ray Train ended", None, now)
            case ev.RankExit():
                orders = self._exit(event, now)
            case ev.RankRecord():
                orders = self._record(event)
            case ev.NodeIdle():
                orders = self._idle(event, now)
            case ev.Hung():
                orders = self._hung(event, now)
            case ev.Stacks():
                orders = self._take_stacks(event, now)
            case ev.Opened():
                orders = self._opened(event)
            case ev.EpochTaken():
                self.epochs = (*self.epochs, Epoch(number=event.start.epoch, start=event.start))
                self._start, self.state, orders = event.start, State.GATHERING, []
            case ev.EpochEnded():
                self.epochs, self.newest = event.epochs, event.newest
                orders = self._decide()
            case ev.GaveUp():
                orders = self._gave_up(event)
            case ev.StopAsked():
                orders = self._stop(event, now)
            case ev.RestartAsked():
                self.restarted_at, orders = event.restarted_at, []
            case ev.Tick():
                orders = self._tick(now)
        return orders + self._advance()

    # Who is there

    def _joined(self, event: ev.Joined, now: float) -> list[ev.Order]:
        elsewhere = any(m.worker == event.worker and m.node != event.node for m in self.members.values())
        if elsewhere or event.worker in self._dismissed:
            return []
        orders: list[ev.Order] = []
        before = self.members.get(event.node)
        if before is not None and before.worker != event.worker:
            orders = self._left(before.worker, Cause.WORKER_LOST, now)
        elif before is not None and before.agent and before.agent != event.agent:
            orders = self._agent_lost(before, now)
        self.members[event.node] = Member(event.node, event.worker, event.agent, event.ready, event.host)
        return orders

    def _left(self, worker: str, cause: Cause, now: float) -> list[ev.Order]:
        gone = next((m for m in self.members.values() if m.worker == worker), None)
        if gone is None:
            return []
        return self._break(cause, f"the worker on {gone.node} is gone", gone, now)

    def _break(self, cause: Cause, message: str, gone: Member | None, now: float) -> list[ev.Order]:
        """Ray Train regroups all workers when one is lost, so none of these goes on."""
        orders = self._regroup(gone)
        if self.attempt is not None and self.state in (State.RUNNING, State.ENDING):
            self.attempt.broken = True
            self._fail(Failure(cause, node=gone.node if gone else None, message=message))
            orders += self._close()
        return orders

    def _regroup(self, gone: Member | None) -> list[ev.Order]:
        """Let Ray Train make new workers of those that are still there."""
        others = tuple(m.worker for m in self.members.values() if m != gone)
        self._dismissed.update(m.worker for m in self.members.values())
        self.members = {}
        return [ev.Regroup(others)] if others else []

    def _agent_lost(self, before: Member, now: float) -> list[ev.Order]:
        attempt = self.attempt
        if attempt is None or self.state not in (State.RUNNING, State.ENDING) or before.node in attempt.idle:
            return []
        attempt.idle.add(before.node)
        self._fail(Failure(Cause.WORKER_LOST, node=before.node, message=f"the agent on {before.node} is gone"))
        return self._kill(now) + self._close_if_idle(now)

    # What the ranks do

    def _of_attempt(self, epoch: int, node: str) -> Attempt | None:
        """The attempt, if the event speaks of it: what an older one left behind changes nothing."""
        attempt = self.attempt
        if attempt is None or self.state not in (State.RUNNING, State.ENDING):
            return None
        return attempt if attempt.start.epoch == epoch and node in attempt.members else None

    def _record(self, event: ev.RankRecord) -> list[ev.Order]:
        attempt = self._of_attempt(event.epoch, event.node)
        if attempt is None:
            return []
        record = event.record
        match record.get("event"):
            case "failed":
                attempt.said[event.rank] = record
            case "step":
                attempt.last_step = int(record["step"])
            case "checkpoint":
                attempt.saved_step = int(record["step"])
            case "finish":
                attempt.completed |= record["kind"] == "completed"
        return []

    def _exit(self, event: ev.RankExit, now: float) -> list[ev.Order]:
        attempt = self._of_attempt(event.epoch, event.node)
        if attempt is None or event.code == 0 or attempt.completed or (event.ordered and event.code < 0):
            return []
        self._fail(
            verdict.of_exit(event.rank, event.node, event.code, attempt.said.get(event.rank), starved=event.starved)
        )
        return self._kill(now)

    def _idle(self, event: ev.NodeIdle, now: float) -> list[ev.Order]:
        attempt = self._of_attempt(event.epoch, event.node)
        if attempt is None or attempt.members[event.node].agent != event.agent:
            return []
        attempt.idle.add(event.node)
        return self._close_if_idle(now)

    def _hung(self, event: ev.Hung, now: float) -> list[ev.Order]:
        attempt = self.attempt
        if attempt is None or self.state is not State.RUNNING or attempt.completed:
            return []
        self._fail(Failure(Cause.HANG, message=f"no step for {event.seconds:.0f} s, {event.limit:.0f} s are allowed"))
        if not self.limits.dump:
            return self._kill(now)
        self.state = State.ENDING
        attempt.kill_at = now + DUMP_SECONDS
        return [ev.DumpStacks(attempt.start.epoch, tuple(m.worker for m in attempt.members.values()))]

    def _take_stacks(self, event: ev.Stacks, now: float) -> list[ev.Order]:
        attempt = self._of_attempt(event.epoch, event.node)
        if attempt is None:
            return []
        attempt.stood[event.node] = event.ranks
        return self._kill(now) if attempt.stood.keys() >= attempt.members.keys() else []

    def _fail(self, failure: Failure) -> None:
        assert self.attempt is not None, "only an attempt fails"
        self.attempt.failures.append(failure)

    # How an attempt ends

    def _kill(self, now: float) -> list[ev.Order]:
        assert self.attempt is not None
        self.state = State.ENDING
        if self.attempt.close_at is not None:
            return []
        self.attempt.kill_at = None
        self.attempt.close_at = now + KILL_SECONDS
        return [self._order_stop(save=False)]

    def _order_stop(self, *, save: bool) -> ev.StopRanks:
        assert self.attempt is not None
        workers = tuple(m.worker for m in self.attempt.members.values())
        return ev.StopRanks(self.attempt.start.epoch, workers, save)

    def _end_by(self, reason: Cause, grace: float, now: float) -> list[ev.Order]:
        """Save and end the attempt under way, if there is one."""
        if self.attempt is None or self.state is not State.RUNNING:
            return []
        self.attempt.reason = reason
        self.attempt.kill_at = now + grace
        self.state = State.ENDING
        return [self._order_stop(save=True)]

    def _stop(self, event: ev.StopAsked, now: float) -> list[ev.Order]:
        grace = self.limits.grace if event.grace is None else event.grace
        if event.node is None:
            if self.state in (State.STOPPED, State.ENDED):
                return []
            self.stop = self.stop or event.reason
        elif event.node in self.members:
            self._draining.add(self.members[event.node].agent)
        if event.node is not None and (self.attempt is None or event.node not in self.attempt.members):
            return []
        return self._end_by(event.reason, grace, now)

    def _tick(self, now: float) -> list[ev.Order]:
        attempt = self.attempt
        if attempt and self.state is State.RUNNING and not verdict.is_answered(self.restarted_at, self.epochs):
            return self._end_by(Cause.SPEC_CHANGED, self.limits.grace, now)
        if attempt is None or self.state is not State.ENDING:
            return []
        if attempt.kill_at is not None and now >= attempt.kill_at:
            return self._kill(now)
        if attempt.close_at is None or now < attempt.close_at:
            return []
        silent = tuple(m for node, m in attempt.members.items() if node not in attempt.idle)
        if silent:
            message = f"the agent on {silent[0].node} does not answer"
            return self._break(Cause.WORKER_LOST, message, None, now)
        return self._close()

    def _close_if_idle(self, now: float) -> list[ev.Order]:
        attempt = self.attempt
        assert attempt is not None
        if len(attempt.idle) < len(attempt.members):
            return []
        self.state = State.ENDING
        if attempt.failures and not any(f.primary for f in attempt.failures):
            # Every rank only noticed that a peer was gone: what explains it is about to be heard.
            attempt.close_at = now + SETTLE_SECONDS
            return []
        return self._close()

    def _close(self) -> list[ev.Order]:
        attempt = self.attempt
        assert attempt is not None
        self.state = State.CLOSING
        attempt.kill_at = attempt.close_at = None
        self._final, end = attempt.end(self.wall_clock, self.epochs, self.limits)
        orders: list[ev.Order] = [ev.EndEpoch(attempt.start.epoch, end, attempt.stacks)]
        if end.rung == "workers" and not attempt.needs_workers:
            orders += self._regroup(None)
        return orders

    # What follows

    def _opened(self, event: ev.Opened) -> list[ev.Order]:
        self.epochs, self.newest = event.epochs, event.newest
        if event.ended:
            self.state = State.ENDED
            return []
        if self.epochs and self.epochs[-1].end is None:
            self.state = State.CLOSING
            lost = Failure(Cause.HEAD_LOST, message="the supervisor before this one ended without a word")
            self._final, detail, _ = rulings.answer(lost.cause, lost, [lost.message], self.limits.rules)
            told = {"message": lost.message, "detail": dict(detail), "ended_at": self.wall_clock}
            end = End(cause=Cause.HEAD_LOST, rung="workers", **told)
            return [ev.EndEpoch(self.epochs[-1].number, end)]
        return self._decide()

    def _decide(self) -> list[ev.Order]:
        """The ledger's last line says what follows."""
        held = self.attempt.start if self.attempt else self._start
        self.attempt, self._start = None, None
        if held is not None and self.epochs and self.epochs[-1].number > held.epoch:
            return self._gave_up(ev.GaveUp(verdict.deposed(self.epochs[-1].number)))
        final, self._final = self._final, None
        last = self.epochs[-1].end if self.epochs else None
        if self.epochs and last is not None and last.cause is None:
            self.state = State.ENDED
            return [ev.Finish("Succeeded", "Completed")]
        if final is not None and final.problem is not None:
            return self._finish_failed(final.problem, final.cause)
        batch = {"rows": self._rows, "micro": self._micro}
        hopeless = verdict.hopeless(self.epochs, rollbacks=self.limits.rollbacks, **batch)
        if hopeless is not None and last is not None:
            return self._finish_failed(hopeless, Cause.DIVERGED if last.cause is Cause.NAN else last.cause)
        if last is not None and last.cause is not None:
            said = final or Failure(last.cause, message=last.message)
            limits = self.limits
            problem = verdict.refusal(
                self.budget, most=limits.most, most_without_progress=limits.most_without_progress, last=said
            )
            if problem is not None:
                cause = Cause.NO_PROGRESS if problem.code == "UTK0402" else last.cause
                return self._finish_failed(problem, cause)
        self.state = State.GATHERING
        return []

    def _gave_up(self, event: ev.GaveUp) -> list[ev.Order]:
        if self.state is State.ENDED:
            return []
        orders: list[ev.Order] = []
        if self.attempt is not None and self.state in (State.RUNNING, State.ENDING):
            orders = [self._order_stop(save=False)]
        self.state = State.ENDED
        name = CODES[event.problem.code].name
        return [*orders, ev.Finish("Failed", name, None, event.problem, event.problem.message, lasting=False)]

    def _finish_failed(self, problem: Problem, cause: Cause | None) -> list[ev.Order]:
        self.state = State.ENDED
        reason = CODES[problem.code].name if problem.code in CODES else str(cause)
        return [ev.Finish("Failed", reason, cause, problem, problem.message)]

    def _advance(self) -> list[ev.Order]:
        """From gathering: take the epoch when all nodes are there, start when it is taken; or stop."""
        if self.state is not State.GATHERING:
            return []
        if self.stop is not None:
            if self._start is not None:
                self.state = State.CLOSING
                return [ev.EndEpoch(self._start.epoch, End(cause=self.stop, ended_at=self.wall_clock))]
            self.state = State.STOPPED
            return [ev.Stopped(self.stop)]
        ready = sorted(self.ready(), key=lambda member: _natural(member.node))[: self._nodes]
        if len(ready) < self._nodes:
            return []
        if self._start is None:
            last = self.epochs[-1] if self.epochs else None
            self.state = State.CLAIMING
            cause = last.end.cause if last and last.end else None
            detail = verdict.carried(self.epochs, rows=self._rows, micro=self._micro)
            return [ev.TakeEpoch(last.number + 1 if last else 1, cause, detail, self.restarted_at)]
        self.state = State.RUNNING
        self.attempt = Attempt(self._start, {member.node: member for member in ready})
        first = {member.worker: place * self._ranks for place, member in enumerate(ready)}
        return [ev.StartRanks(self._start, first)]


def _natural(name: str) -> tuple[str, int, str]:
    """worker-10 comes after worker-9."""
    stem = name.rstrip("0123456789")
    number = name[len(stem) :]
    return stem, int(number or 0), name
