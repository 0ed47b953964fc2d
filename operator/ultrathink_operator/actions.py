"""What a decision may ask of the world: a closed list of values, each safe to repeat."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ultrathink_api.status import ConditionType


@dataclass(frozen=True, slots=True)
class Hold:
    """Put our finalizer on the job, so that its deletion can save first."""


@dataclass(frozen=True, slots=True)
class Release:
    """Take our finalizer off the job."""


@dataclass(frozen=True, slots=True)
class Create:
    """Make an object of a cluster by POST; one of ours that is there already is success."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CreateTokens:
    """Make the Secret with a cluster's tokens. The tokens themselves never enter a decision."""

    number: int


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete an object that was observed, this one and no other of its name."""

    kind: Literal["StatefulSet", "Service"]
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class DeleteRest:
    """Delete what is not watched of a cluster: ConfigMap, NetworkPolicy, PodDisruptionBudget."""

    number: int


@dataclass(frozen=True, slots=True)
class Scale:
    """Give a StatefulSet the replicas that it should have, and keep its new pods off these nodes and no others."""

    name: str
    uid: str
    version: str
    replicas: int
    avoided: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Nudge:
    """Touch a StatefulSet that the quota refuses, so that its controller tries again before its back-off ends."""

    name: str
    uid: str
    version: str
    replicas: int
    at: str
    avoided: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Move:
    """Delete a pod in its own time, so that its replacement goes to another node."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class ForceDelete:
    """Delete a pod whose node is lost, after a fresh look at it."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Explain:
    """Look for Events on an object that is unhappy."""

    uid: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask the supervisor to save and stop, or to stop and delete what was saved."""

    grace_seconds: float
    delete_checkpoints: bool = False


@dataclass(frozen=True, slots=True)
class SendSpec:
    """Tell the supervisor a newer generation of the spec."""

    generation: int
    spec: str


Action = (
    Hold
    | Release
    | Create
    | CreateTokens
    | Delete
    | DeleteRest
    | Scale
    | Nudge
    | Move
    | ForceDelete
    | Explain
    | Stop
    | SendSpec
)


@dataclass(frozen=True, slots=True)
class Said:
    """A condition as a policy states it; when it last changed is worked out later."""

    type: ConditionType
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one policy found: actions, conditions, fields of the status, and when to look again."""

    actions: tuple[Action, ...] = ()
    conditions: tuple[Said, ...] = ()
    status: Mapping[str, Any] = field(default_factory=dict)
    wake_after: float | None = None
