"""A ladder with a ledger beside it, as the supervisor has one: what the tests of the ladder play on."""

from dataclasses import dataclass, field

from ultrathink_store import CheckpointRef, End, Epoch, Start
from ultrathink_trainer.supervisor import events as ev
from ultrathink_trainer.supervisor.attempt import Limits, State
from ultrathink_trainer.supervisor.ladder import Ladder
from ultrathink_trainer.supervisor.verdict import RESTARTED_AT

NOW = "2026-01-01T00:00:00.000Z"
LIMITS = Limits(most=8, most_without_progress=3, grace=60.0)
UID = "0b6b9c2e-0000-4000-8000-000000000000"


def ref(epoch: int, step: int) -> CheckpointRef:
    return CheckpointRef(uid=UID, epoch=epoch, step=step)


@dataclass
class Bench:
    """A ladder with an obedient store; ranks and workers are played by the test."""

    nodes: int = 2
    ranks: int = 2
    limits: Limits = LIMITS
    now: float = 0.0
    epochs: list[Epoch] = field(default_factory=list)
    newest: CheckpointRef | None = None
    orders: list[ev.Order] = field(default_factory=list)
    hosts: bool = False
    """Whether pods know the node below them, as on a cluster."""

    def __post_init__(self) -> None:
        self.ladder = Ladder(nodes=self.nodes, ranks_per_node=self.ranks, limits=self.limits, now=NOW)

    def open(self, ended: bool = False) -> None:
        self.send(ev.Opened(tuple(self.epochs), self.newest, ended))

    def send(self, event: ev.Event) -> list[ev.Order]:
        """The event, and the store's answers to what was ordered of it; all orders that came of it."""
        given_orders: list[ev.Order] = []
        pending = [event]
        while pending:
            for order in self.ladder.handle(pending.pop(0), self.now):
                given_orders.append(order)
                match order:
                    case ev.TakeEpoch():
                        start = Start(
                            epoch=order.number,
                            parent=self.newest,
                            cause=order.cause,
                            created_at=NOW,
                            detail={**order.detail, RESTARTED_AT: order.restarted_at},
                        )
                        self.epochs.append(Epoch(number=order.number, start=start))
                        pending.append(ev.EpochTaken(start))
                    case ev.EndEpoch():
                        last = self.epochs[-1]
                        assert last.number == order.number and last.end is None, "only the newest ends, once"
                        self.epochs[-1] = last.model_copy(update={"end": order.end})
                        pending.append(ev.EpochEnded(tuple(self.epochs), self.newest))
        self.orders += given_orders
        return given_orders

    def join(self, *nodes: int, generation: int = 0, agent: int = 0, ready: bool = True) -> list[ev.Order]:
        return [
            order
            for node in nodes
            for order in self.send(
                ev.Joined(
                    f"w-{node}",
                    f"worker-{node}-{generation}",
                    f"agent-{node}-{agent}",
                    ready,
                    f"gpu-{node}" if self.hosts else "",
                )
            )
        ]

    def started(self) -> "Bench":
        self.open()
        self.join(0, 1)
        assert self.ladder.state is State.RUNNING
        return self

    @property
    def epoch(self) -> int:
        return self.epochs[-1].number

    def exit(self, rank: int, code: int, *, ordered: bool = False, agent: int = 0) -> list[ev.Order]:
        node = rank // self.ranks
        return self.send(ev.RankExit(f"w-{node}", f"agent-{node}-{agent}", self.epoch, rank, code, ordered))

    def idle(self, *nodes: int, agent: int = 0) -> list[ev.Order]:
        return [o for n in nodes for o in self.send(ev.NodeIdle(f"w-{n}", f"agent-{n}-{agent}", self.epoch))]

    def record(self, rank: int, **record: object) -> list[ev.Order]:
        return self.send(ev.RankRecord(f"w-{rank // self.ranks}", self.epoch, rank, dict(record)))

    def save(self, step: int) -> None:
        self.newest = ref(self.epoch, step)
        self.record(0, event="checkpoint", step=step)

    def end_of(self, number: int) -> End:
        end = self.epochs[number - 1].end
        assert end is not None
        return end


def kinds(orders: list[ev.Order]) -> list[str]:
    return [type(order).__name__ for order in orders]
