"""What the head of a cluster says and hears: ports, tokens, the configuration of its pods and the bodies of `/v1`."""

import hashlib
import hmac
from typing import Any, Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from ultrathink_api.base import Section
from ultrathink_api.causes import Cause
from ultrathink_api.job import JobSpec
from ultrathink_api.status import (
    AttemptStatus,
    AvoidedStatus,
    CheckpointStatus,
    GoodputStatus,
    ProgressStatus,
    RestartsStatus,
)

PROTOCOL = 1
"""Version of `/v1`'s bodies; an operator speaks to supervisors of its own version and the one before."""

CONTROL_PORT = 9401
METRICS_PORT = 9400
AGENT_PORT = 9402
STORE_PORT = 29500
RAY_PORT = 6379
DASHBOARD_PORT = 8265

CONFIG_FILE = "/etc/ultrathink/job.json"
TOKENS_DIRECTORY = "/run/ultrathink/tokens"
STORAGE_DIRECTORY = "/run/ultrathink/storage"
CONTROL_TOKEN = "control"
RAY_TOKEN = "ray"
"""Uses of a token, and the names of the files that hold them."""

INFO_PATH = "/v1/info"
PROGRESS_PATH = "/v1/progress"
OUTCOME_PATH = "/v1/outcome"
SPEC_PATH = "/v1/spec"
STOP_PATH = "/v1/stop"
RESTART_PATH = "/v1/restart"
ATTEMPT_PATH = "/v1/attempt"
METRICS_PATH = "/metrics"
HEALTH_PATH = "/healthz"
"""Kubelet's question, without a token: an agent answers 200 when its ranks could be forked at once, 503 before; a
supervisor 200 as soon as it serves `/v1`."""

NODE_ENV = "ULTRATHINK_NODE"
"""Name of the pod, as this pod's own environment says it."""
HOST_ENV = "ULTRATHINK_HOST"
"""Name of the Kubernetes node that the pod runs on; not there on a laptop."""
POD_IP_ENV = "POD_IP"
"""Address that this pod tells Ray and its peers."""

SUPERVISOR_COMMAND = ("python", "-m", "ultrathink_trainer.supervisor", "--config", CONFIG_FILE)
AGENT_COMMAND = ("python", "-m", "ultrathink_trainer.agent", "--config", CONFIG_FILE)

StopReason = Literal[Cause.SUSPENDED, Cause.DRAINED, Cause.PREEMPTED]
State = Literal["starting", "running", "recovering", "stopping", "stopped", "ended"]


def token(key: bytes, uid: str, use: str) -> str:
    """The token of one job for one use: whoever holds the key derives it again and stores nothing."""
    return hmac.new(key, f"{uid}:{use}".encode(), hashlib.sha256).hexdigest()


def bearer(value: str) -> str:
    """The value of the Authorization header."""
    return f"Bearer {value}"


class Body(Section):
    """A message between two of our processes: the other side may be one version ahead."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="ignore", frozen=True, populate_by_name=True, allow_inf_nan=False
    )


class Ports(Body):
    """Where the first processes listen; 0 lets the machine choose."""

    control: int = Field(default=CONTROL_PORT, description="/v1 of the supervisor.")
    metrics: int = Field(default=METRICS_PORT, description="/metrics of the supervisor.")
    agent: int = Field(default=AGENT_PORT, description="/healthz of an agent.")
    store: int = Field(default=STORE_PORT, description="TCPStore of the ranks.")
    ray: int = Field(default=RAY_PORT, description="Ray's head.")
    dashboard: int = Field(default=DASHBOARD_PORT, description="Ray's dashboard, never leaving its pod.")


class Storage(Body):
    """Where checkpoints are kept; the store adds namespace and name of the job."""

    uri: str = Field(description="checkpoint.uri of the job, else storage.uri of its runtime.")
    endpoint: str | None = Field(default=None, description="URL of an S3 server that is not AWS.")
    region: str | None = Field(default=None, description="Region of the bucket.")
    addressing: Literal["path", "virtual", "auto"] = Field(default="auto", description="How requests name the bucket.")
    credentials: str | None = Field(
        default=None,
        description="Folder with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; without it the environment's own.",
    )


class RayNode(Body):
    """What a node tells Ray about itself."""

    object_store_bytes: int = Field(default=128 * 1024 * 1024, description="Ray's share of /dev/shm, said explicitly.")
    directory: str = Field(default="/tmp/ray", description="Ray's own temporary files; short, they hold sockets.")


class RunConfig(Body):
    """job.json: all that supervisor and agents of one cluster know when they start."""

    version: Literal[1] = Field(default=1, description="Version of this file.")
    job: str = Field(description="Name of the job.")
    namespace: str = Field(default="", description="Its namespace; empty on a laptop.")
    uid: str = Field(description="Identity of the job, from the API server; made new for a local run.")
    generation: int = Field(default=0, description="Generation of the spec below.")
    cluster: int = Field(default=1, description="Number of the cluster.")
    local: bool = Field(default=False, description="A laptop: the supervisor ends when the job has ended.")
    agent_in_head: bool = Field(
        default=False, description="The head runs the only agent as its child: a laptop, or a job of one worker."
    )
    bare: bool = Field(
        default=False,
        description="No Ray: the supervisor of a laptop starts the worker of its node itself. For long proofs.",
    )
    nodes: int = Field(ge=1, description="Agents, worker pods, Ray Train workers: one each a node.")
    ranks_per_node: int = Field(ge=1, description="Ranks that an agent forks.")
    gpus_per_node: int = Field(default=0, ge=0, description="GPUs of a node; 0 trains on CPUs.")
    head: str = Field(description="DNS name or address at which agents and ranks find the head.")
    ports: Ports = Field(default=Ports(), description="Where the first processes listen.")
    directory: str = Field(default="/tmp/ultrathink", description="Scratch of a pod: sockets, Ray Train's notes.")
    tokens: str = Field(default=TOKENS_DIRECTORY, description="Folder with the files `control` and `ray`.")
    storage: Storage = Field(description="Where checkpoints are kept.")
    resume: str | None = Field(default=None, description="resume.from of the spec: latest, none, or which.")
    chaos: tuple[str, ...] = Field(default=(), description="Faults to inject, as `utk run --chaos` writes them.")
    ray: RayNode = Field(default=RayNode(), description="What a node tells Ray about itself.")
    spec: JobSpec = Field(description="Spec of the job.")
    plan: dict[str, Any] = Field(description="The plan that was made of it, as the planner dumps it.")
    image: str = Field(default="", description="Image of the pods, as their template names it; empty on a laptop.")
    submitter: str = Field(default="", description="Who made the job, where the cluster vouches for it.")


class Info(Body):
    """GET /v1/info."""

    protocol: int = Field(default=PROTOCOL, description="Version of these bodies.")
    job: str = Field(description="Name of the job.")
    namespace: str = Field(description="Its namespace.")
    uid: str = Field(description="Identity of the job.")
    cluster: int = Field(description="Number of the cluster.")
    generation: int = Field(description="Generation of the spec in use.")
    incarnation: str = Field(description="This process of the supervisor; another one means that Ray began anew.")
    attempt: int = Field(description="Attempt under way or last; 0 before the first.")
    state: State = Field(description="What the supervisor is doing.")


class StopView(Body):
    """A stop that was asked for."""

    reason: StopReason = Field(description="Why.")
    confirmed: bool = Field(description="No rank runs any more; what could be saved is committed.")
    step: int | None = Field(default=None, description="The step that the last checkpoint holds.")
    delete_checkpoints: bool = Field(default=False, description="The checkpoints go, or are gone where confirmed.")


class OutcomeView(Body):
    """How the job ended."""

    phase: Literal["Succeeded", "Failed"] = Field(description="Which end.")
    reason: str = Field(description="One CamelCase word: Completed, or the cause of the failure.")
    message: str = Field(default="", description="In words.")
    code: str | None = Field(default=None, description="UTKnnnn, where the failure has one.")
    field: str | None = Field(default=None, description="The field that it is about.")
    fix: str | None = Field(default=None, description="What to do about it.")
    step: int = Field(description="Last step done.")
    attempts: int = Field(description="Attempts over the whole life of the job.")
    ended_at: str | None = Field(default=None, description="When.")


class Outcome(Body):
    """GET /v1/outcome."""

    outcome: OutcomeView | None = Field(default=None, description="Absent while the job has not ended.")


class CheckpointTrouble(Body):
    """Why no fresh checkpoint can be relied on just now; training goes on."""

    reason: str = Field(description="One CamelCase word: StoreUnreachable, StoreFull, StoreSlow and the like.")
    message: str = Field(default="", description="In words.")


class Progress(Body):
    """GET /v1/progress: everything that the operator copies into the job's status. Scoped to one attempt."""

    protocol: int = Field(default=PROTOCOL, description="Version of these bodies.")
    uid: str = Field(description="Identity of the job.")
    cluster: int = Field(description="Number of the cluster.")
    generation: int = Field(description="Generation of the spec in use.")
    incarnation: str = Field(description="This process of the supervisor.")
    state: State = Field(description="What the supervisor is doing.")
    message: str = Field(default="", description="The same in words: what it waits for.")
    nodes_joined: int = Field(default=0, description="Nodes whose ranks could start.")
    attempt: AttemptStatus | None = Field(default=None, description="Attempt under way or last.")
    progress: ProgressStatus | None = Field(default=None, description="How far training is.")
    checkpoint: CheckpointStatus | None = Field(default=None, description="The newest checkpoint.")
    trouble: CheckpointTrouble | None = Field(default=None, description="What keeps checkpoints from being made.")
    goodput: GoodputStatus | None = Field(default=None, description="Where the time went.")
    restarts: RestartsStatus = Field(default=RestartsStatus(), description="Restarts so far.")
    avoid: tuple[AvoidedStatus, ...] = Field(default=(), description="Nodes to keep the job's pods off.")
    stop: StopView | None = Field(default=None, description="A stop that was asked for.")
    outcome: OutcomeView | None = Field(default=None, description="How the job ended.")


class SpecChange(Body):
    """POST /v1/spec: a newer generation of the spec."""

    generation: int = Field(description="Its generation.")
    spec: JobSpec = Field(description="The whole spec.")


class SpecReply(Body):
    """How the change takes effect."""

    generation: int = Field(description="Generation of the spec in use from now on.")
    effect: Literal["none", "inPlace", "newCluster"] = Field(description="newCluster: not here; only by a new one.")


class StopRequest(Body):
    """POST /v1/stop: save and stop. With a node, only that node goes and training goes on when it is back."""

    reason: StopReason = Field(default=Cause.SUSPENDED, description="Why.")
    node: str | None = Field(default=None, description="The node that goes away; absent: the whole job stops.")
    grace_seconds: float | None = Field(default=None, ge=0, description="How long the save may take.")
    delete_checkpoints: bool = Field(default=False, description="Delete them too, before the stop is confirmed.")


class RestartRequest(Body):
    """POST /v1/restart: end the attempt after a save and start the next one, not counted against the budget."""

    restarted_at: str = Field(description="Which restart: the same one again changes nothing.")


class Member(Body):
    """POST /v1/attempt: a Ray Train worker speaks for its node, and waits for an order that it does not know yet."""

    node: str = Field(description="Name of the node.")
    worker: str = Field(description="This Ray Train worker.")
    host: str = Field(default="", description="The Kubernetes node below it; empty on a laptop.")
    agent: str = Field(default="", description="This process of the node's agent; empty when there is none.")
    ready: bool = Field(default=False, description="The agent can fork ranks at once.")
    events: tuple[dict[str, Any], ...] = Field(default=(), description="Events of the agent, each with its `seq`.")
    order: int = Field(default=-1, description="Number of the last order that was carried out.")
    wait_seconds: float = Field(
        default=0.0, ge=0, le=60, description="How long to wait; then it tells nothing of the agent."
    )


class Command(Body):
    """The answer: what the node is to do, and up to which event the supervisor has taken all in."""

    order: int = Field(description="Number of this order; the same one again means: nothing new.")
    do: Literal["wait", "start", "stop", "dump", "regroup", "end"] = Field(
        description="stop ends the ranks; dump tells where they stand; regroup lets Ray Train make new workers; "
        "end ends them for good."
    )
    acked: int = Field(default=0, description="Events up to this number need not be sent again.")
    epoch: int = Field(default=0, description="The attempt that start and stop speak of.")
    first_rank: int = Field(default=0, description="start: global rank of the node's first rank.")
    save: bool = Field(default=False, description="stop: save first; else kill.")
    chaos: tuple[str, ...] = Field(default=(), description="start: faults that have not fired yet.")
    start: dict[str, Any] | None = Field(default=None, description="start: START of the epoch.")
