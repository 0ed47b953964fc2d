"""F47 for real: a store that breaks in the middle of a run costs checkpoints and never a step, is told, and heals."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from distributed.jobs import UID, Attempt, attempt, job_store
from distributed.layouts import EXPERTS, LAYOUTS, job_plan
from testbed.s3proxy import S3Proxy
from ultrathink_api.protocol import CheckpointTrouble, RunConfig, Storage
from ultrathink_planner import Plan
from ultrathink_trainer.run import Control, Run
from ultrathink_trainer.supervisor.storekeeper import StoreKeeper

if TYPE_CHECKING:
    from testbed.s3 import S3Server

STEPS = 1_000_000
"""The run ends when the test has seen enough."""
SAVE_EVERY = 5
SEEN_STEPS = 12
"""Whose losses are compared with those of a run that nothing happens to."""
PATIENCE_SECONDS = 150.0
SLOW_SECONDS = 11.0
"""Before each write: more than the least that counts as late, and far more than ten times the usual."""

TROUBLES = {
    "full": "StoreFull",
    "slowDown": "StoreUnreachable",
    "denied": "WrongCredentials",
    "cut": "StoreUnreachable",
    "slow": "StoreSlow",
    "name": "StoreUnreachable",
}
"""What is done to the store -> what CheckpointFresh says."""


def planned(steps: int) -> Plan:
    schedule = {"name": "constant", "warmupSteps": 0}
    plan = job_plan(
        LAYOUTS["data 2"],
        model={"moe": EXPERTS, "layers": 2},
        steps=steps,
        schedule=schedule,
        validation={"everySteps": STEPS},
    )
    return plan.model_copy(update={"checkpoint": plan.checkpoint.model_copy(update={"interval_steps": SAVE_EVERY})})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    return attempt(planned(SEEN_STEPS), tmp_path_factory.mktemp("undisturbed"), 1).losses


@pytest.fixture
def proxy(s3_server: "S3Server", monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Proxy]:
    with S3Proxy(s3_server.endpoint) as running:
        for name, value in s3_server.env().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.endpoint)
        yield running


@pytest.mark.fault("F47")
@pytest.mark.parametrize("kind", TROUBLES)
def test_training_goes_on_the_reason_is_told_and_all_heals(
    kind: str, proxy: S3Proxy, s3_bucket: str, tmp_path: Path, undisturbed: dict[int, float]
) -> None:
    place = f"s3://{s3_bucket}/runs"
    watch = Watch(kind, proxy, place, tmp_path / "told")
    told = attempt(planned(STEPS), place, 1, on_record=watch, prepare=lambda run: watch.begin(run))
    seen = json.loads((tmp_path / "told").read_text())
    assert seen["reason"] == TROUBLES[kind], seen
    assert seen["message"]
    assert seen["during"] > 0, "steps were made while the store was in trouble"
    assert seen["healed"] > seen["broken"], "and a checkpoint after it"
    assert {step: told.losses[step] for step in undisturbed} == undisturbed
    assert_all_is_whole(place, told)


def assert_all_is_whole(place: str, told: Attempt) -> None:
    store = job_store(place)
    refs = store.chain().checkpoints()
    assert refs[0].step == told.finishes[0][1]
    assert all(store.verify(ref).ok for ref in refs)


class Watch:
    """In rank 0: breaks the store after a first checkpoint, looks as the supervisor does, heals it, and stops."""

    def __init__(self, kind: str, proxy: S3Proxy, place: str, notes: Path) -> None:
        self._kind, self._proxy, self._place, self._notes = kind, proxy, place, notes
        self._keeper: StoreKeeper | None = None
        self._broken: int | None = None
        self._trouble: CheckpointTrouble | None = None
        self._healed_at: int | None = None
        self._during = 0
        self._until = time.monotonic() + PATIENCE_SECONDS

    def begin(self, run: Run) -> None:
        """In each rank: names can be lost only here; in the first one, the supervisor's eye is opened."""
        if self._kind == "name":
            lose_names(self._notes.with_name("names are lost"))
        if run.leads:
            spec = {
                "data": {"uri": "builtin://stories"},
                "workers": {"count": 2},
                "training": {"steps": 1},
                "model": {"preset": "moe-tiny"},
            }
            config = RunConfig(
                job="job",
                uid=UID,
                nodes=1,
                ranks_per_node=2,
                head="",
                storage=Storage(uri=self._place),
                spec=spec,
                plan={},
            )
            self._keeper = StoreKeeper(config, look_seconds=1.0)
            self._keeper.open()

    def __call__(self, record: dict[str, Any], control: Control) -> None:
        if self._keeper is None:
            return
        now = time.monotonic()
        assert now < self._until, f"{self._kind}: broken at {self._broken}, told {self._trouble}"
        self._keeper.record(1, record, now)
        trouble = self._keeper.trouble(now)
        step = int(record["step"]) if "step" in record else 0
        match record["event"]:
            case "checkpoint" if self._broken is None and step >= SEEN_STEPS:
                self._break(step)
            case "step" if self._broken is not None and self._trouble is None:
                self._during += 1
                if trouble is not None:
                    self._trouble, self._healed_at = trouble, step
                    self._heal()
            case "checkpoint" if self._healed_at is not None and step > self._healed_at and trouble is None:
                self._note(step)
                control.stop = True

    def _break(self, step: int) -> None:
        self._broken = step
        if self._kind == "name":
            self._notes.with_name("names are lost").touch()
        else:
            self._proxy.fail(self._kind, seconds=SLOW_SECONDS)

    def _heal(self) -> None:
        self._notes.with_name("names are lost").unlink(missing_ok=True)
        self._proxy.heal()

    def _note(self, step: int) -> None:
        assert self._trouble is not None
        facts = {"broken": self._broken, "healed": step, "during": self._during, **self._trouble.dump()}
        self._notes.write_text(json.dumps(facts))


def lose_names(flag: Path) -> None:
    """This process' resolver knows no name as long as the flag is there: a DNS server that does not answer."""
    resolve = socket.getaddrinfo

    def lost(*given: Any, **more: Any) -> Any:
        if flag.exists():
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve(*given, **more)

    socket.getaddrinfo = lost
