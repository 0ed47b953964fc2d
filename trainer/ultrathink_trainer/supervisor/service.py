"""What `/v1` answers, from a view that the supervisor's loop leaves: HTTP threads never touch the ladder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ultrathink_api.protocol import (
    CheckpointTrouble,
    Command,
    Info,
    Member,
    Outcome,
    OutcomeView,
    Progress,
    RestartRequest,
    RunConfig,
    SpecChange,
    SpecReply,
    State,
    StopRequest,
    StopView,
)
from ultrathink_api.sections.checkpoint import KeepSpec
from ultrathink_api.sections.health import HealthSpec
from ultrathink_trainer.supervisor import events as ev
from ultrathink_trainer.supervisor import rulings, status
from ultrathink_trainer.supervisor.attempt import Limits
from ultrathink_trainer.supervisor.attempt import State as LadderState
from ultrathink_trainer.supervisor.gate import Gate
from ultrathink_trainer.supervisor.ladder import Ladder

IN_PLACE = ("restart", "resume", "suspend", "cancel", "restarted_at", "deadlines", "cleanup")
"""Sections of the spec whose change needs no new rank."""
CONFIRMED = frozenset({LadderState.STOPPED, LadderState.ENDED})


@dataclass(frozen=True)
class View:
    """One moment of the supervisor, complete and unchanging."""

    state: State = "starting"
    attempt: int = 0
    joined: int = 0
    quiet: bool = False
    """No rank runs, none will, and what was to be deleted is."""
    deleting: bool = False
    """The checkpoints are to be deleted, or are."""
    fields: Mapping[str, Any] | None = None

    @classmethod
    def of(
        cls,
        rungs: Ladder,
        training: status.Training,
        seconds: Mapping[str, float],
        *,
        stepping: bool,
        verified: bool,
        trouble: CheckpointTrouble | None = None,
        deleting: bool = False,
        deleted: bool = False,
    ) -> "View":
        began = training.seen_at is not None
        fields = {
            "attempt": status.attempt(rungs.epochs, 0),
            "progress": training.progress() if began else None,
            "checkpoint": training.newest(verified),
            "trouble": trouble,
            "goodput": status.goodput(seconds),
            "restarts": status.restarts(rungs.epochs, training.recoveries),
            "avoid": rulings.avoided(rungs.epochs, rungs.wall_clock),
        }
        return cls(
            state=status.state(rungs, stepping=stepping),
            attempt=rungs.epochs[-1].number if rungs.epochs else 0,
            joined=len(rungs.ready()),
            quiet=(deleted or not deleting) and rungs.state in CONFIRMED,
            deleting=deleting,
            fields=fields,
        )


@dataclass(frozen=True)
class Limited:
    """The spec changed in place."""

    limits: Limits
    keep: KeepSpec
    health: HealthSpec


class ControlService:
    """One supervisor's side of `/v1`."""

    def __init__(self, config: RunConfig, incarnation: str, gate: Gate, post: Callable[[object], None]) -> None:
        self._config, self._incarnation, self._gate, self._post = config, incarnation, gate, post
        self._spec, self._generation = config.spec, config.generation
        self._stop: StopRequest | None = None
        self.view = View()
        self.outcome_now: OutcomeView | None = None

    def info(self) -> Info:
        config, view = self._config, self.view
        return Info(
            job=config.job,
            namespace=config.namespace,
            uid=config.uid,
            cluster=config.cluster,
            generation=self._generation,
            incarnation=self._incarnation,
            attempt=view.attempt,
            state=view.state,
        )

    def progress(self) -> Progress:
        view = self.view
        waiting = f"{view.joined} of {self._config.nodes} nodes are ready"
        fields = dict(view.fields or {})
        if fields.get("attempt") is not None:
            fields["attempt"] = fields["attempt"].model_copy(update={"cluster": self._config.cluster})
        return Progress(
            uid=self._config.uid,
            cluster=self._config.cluster,
            generation=self._generation,
            incarnation=self._incarnation,
            state=view.state,
            message=waiting if view.state in ("starting", "recovering") else "",
            nodes_joined=view.joined,
            stop=self._stop_view(),
            outcome=self.outcome_now,
            **fields,
        )

    def outcome(self) -> Outcome:
        return Outcome(outcome=self.outcome_now)

    def change(self, body: SpecChange) -> SpecReply:
        """What the operator or the ladder keeps changes in place; all else needs a new cluster, which the operator
        makes."""
        if body.generation <= self._generation:
            return SpecReply(generation=self._generation, effect="none")
        kept = {"keep": body.spec.checkpoint.keep, "on_delete": body.spec.checkpoint.on_delete}
        checkpoint = self._spec.checkpoint.model_copy(update=kept)
        # Ranks read how many steps they may skip as they begin, from what the cluster was made with.
        health = body.spec.health.model_copy(update={"non_finite_skips": self._spec.health.non_finite_skips})
        same = {**{name: getattr(body.spec, name) for name in IN_PLACE}, "checkpoint": checkpoint, "health": health}
        if self._spec.model_copy(update=same) != body.spec:
            return SpecReply(generation=self._generation, effect="newCluster")
        effect = "none" if body.spec == self._spec else "inPlace"
        self._spec, self._generation = body.spec, body.generation
        self._post(Limited(Limits.of(body.spec), body.spec.checkpoint.keep, body.spec.health))
        if body.spec.restarted_at is not None:
            self._post(ev.RestartAsked(body.spec.restarted_at))
        return SpecReply(generation=self._generation, effect=effect)

    def stop(self, body: StopRequest) -> StopView:
        if body.node is None:
            # A stop that also deletes may follow one that does not, never the other way round.
            first = self._stop or body
            deletes = first.delete_checkpoints or body.delete_checkpoints
            self._stop = first.model_copy(update={"delete_checkpoints": deletes})
        self._post(ev.StopAsked(body.reason, body.node, body.grace_seconds, body.delete_checkpoints))
        return self._stop_view() or StopView(reason=body.reason, confirmed=False)

    def restart(self, body: RestartRequest) -> Info:
        self._post(ev.RestartAsked(body.restarted_at))
        return self.info()

    def attempt(self, body: Member, connected: Callable[[], bool]) -> Command:
        return self._gate.exchange(body, connected)

    def _stop_view(self) -> StopView | None:
        if self._stop is None:
            return None
        view, deletes = self.view, self._stop.delete_checkpoints
        saved = (view.fields or {}).get("checkpoint")
        return StopView(
            reason=self._stop.reason,
            confirmed=view.quiet and (view.deleting or not deletes),
            step=saved.step if saved else None,
            delete_checkpoints=deletes,
        )
