"""What happens to the ladder, and what it orders: plain values, no behaviour."""

from dataclasses import dataclass, field
from typing import Any, Literal

from ultrathink_api.causes import Cause
from ultrathink_api.errors import Problem
from ultrathink_store.records import CheckpointRef, End, Epoch, Start

Rung = Literal["ranks", "workers"]


@dataclass(frozen=True)
class Joined:
    """A Ray Train worker speaks for its node. An empty agent: the worker is there, the agent is not."""

    node: str
    worker: str
    agent: str
    ready: bool
    host: str = ""
    """The Kubernetes node below it, where there is one."""


@dataclass(frozen=True)
class Left:
    """A Ray Train worker is gone."""

    worker: str


@dataclass(frozen=True)
class DriverLost:
    """The driver's process ended; the supervisor starts it again by itself."""


@dataclass(frozen=True)
class RankExit:
    """A rank was reaped. `ordered`: its agent had been told to end it."""

    node: str
    agent: str
    epoch: int
    rank: int
    code: int
    ordered: bool
    starved: bool = False
    """The kernel killed for want of memory there just then."""


@dataclass(frozen=True)
class RankRecord:
    """A record that a rank wrote."""

    node: str
    epoch: int
    rank: int
    record: dict[str, Any]


@dataclass(frozen=True)
class NodeIdle:
    """No rank of this epoch runs on the node any more."""

    node: str
    agent: str
    epoch: int


@dataclass(frozen=True)
class Hung:
    """No step for longer than the job's own pace explains."""

    seconds: float
    limit: float


@dataclass(frozen=True)
class Stacks:
    """Where the ranks of a node stand: by rank its state and stack."""

    node: str
    agent: str
    epoch: int
    ranks: dict[str, dict[str, str]]


@dataclass(frozen=True)
class Opened:
    """The ledger was read: what there is to go on from."""

    epochs: tuple[Epoch, ...]
    newest: CheckpointRef | None
    ended: bool
    """OUTCOME is there: nothing is left to do."""


@dataclass(frozen=True)
class EpochTaken:
    """START is written: nobody else has this epoch."""

    start: Start


@dataclass(frozen=True)
class EpochEnded:
    """END is written, and the ledger was read again."""

    epochs: tuple[Epoch, ...]
    newest: CheckpointRef | None


@dataclass(frozen=True)
class GaveUp:
    """What is around the job failed: the store said no and will say it again, or Ray never came."""

    problem: Problem


@dataclass(frozen=True)
class StopAsked:
    """Save and stop; with a node, only that node goes away."""

    reason: Cause
    node: str | None = None
    grace: float | None = None
    delete: bool = False
    """And delete what was saved."""


@dataclass(frozen=True)
class Deleted:
    """What the job saved is deleted, but for what is pinned."""

    checkpoints: int


@dataclass(frozen=True)
class RestartAsked:
    """Save, then begin the next attempt: once for each `restarted_at`, however often it is said."""

    restarted_at: str


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


Event = (
    Joined
    | Left
    | DriverLost
    | RankExit
    | RankRecord
    | NodeIdle
    | Hung
    | Stacks
    | Opened
    | EpochTaken
    | EpochEnded
    | GaveUp
    | StopAsked
    | RestartAsked
    | Tick
)


@dataclass(frozen=True)
class TakeEpoch:
    """Write START of the next epoch, naming the newest checkpoint."""

    number: int
    cause: Cause | None
    detail: dict[str, Any] = field(default_factory=dict)
    """What it has to do otherwise than the plan says: rows to leave out, a smaller micro-batch."""
    restarted_at: str | None = None
    """The restart that this attempt answers, so that nobody answers it again."""


@dataclass(frozen=True)
class StartRanks:
    """Let each worker's node fork its ranks, from this one on."""

    start: Start
    first_rank: dict[str, int]


@dataclass(frozen=True)
class StopRanks:
    """End the ranks of an epoch."""

    epoch: int
    workers: tuple[str, ...]
    save: bool


@dataclass(frozen=True)
class DumpStacks:
    """Let each worker's node tell where its ranks stand."""

    epoch: int
    workers: tuple[str, ...]


@dataclass(frozen=True)
class EndEpoch:
    """Write END, with the stacks that were taken beside it, and read the ledger again."""

    number: int
    end: End
    stacks: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Regroup:
    """Let Ray Train make new workers: these can not go on."""

    workers: tuple[str, ...]


@dataclass(frozen=True)
class Finish:
    """The job has ended: write OUTCOME, end the workers."""

    phase: Literal["Succeeded", "Failed"]
    reason: str
    cause: Cause | None = None
    problem: Problem | None = None
    message: str = ""
    lasting: bool = True
    """False: it failed for what is around the job, and another supervisor may go on."""


@dataclass(frozen=True)
class Stopped:
    """Nothing runs and nothing will, until another supervisor goes on."""

    reason: Cause


Order = TakeEpoch | StartRanks | StopRanks | DumpStacks | EndEpoch | Regroup | Finish | Stopped
