"""`make chaos`: runs under random schedules of faults, each compared with a run that nothing happens to.

Every run is remembered under its commit, so runs of one commit add up and what was right is not run again,
unless the tree was changed.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, Self

from distributed.jobs import attempt
from faults.plugin import CHAOS, ROOT, commit, passed
from faults.schedule import LAYOUTS, RANKS, STEPS, Schedule, StoreTrouble, schedule, step_of
from integration.runtime.conftest import Event, LocalRun, tiny_job
from testbed.s3 import S3Server
from testbed.s3proxy import S3Proxy
from ultrathink_api.job import UltraThinkJob
from ultrathink_planner import plan
from ultrathink_store import JobStore, open_job
from ultrathink_trainer.run import Run

REPORT = ROOT / CHAOS
HANG_SECONDS = 5
TOLERANCE = 1e-10
"""In fp64, where half the micro-batch only adds up in another order."""

Skips = tuple[tuple[int, int], ...]


class Wrong(AssertionError):
    """A run did not end as it must."""


def job_of(wanted: Schedule) -> dict[str, Any]:
    return tiny_job(
        workers=RANKS,
        parallelism=LAYOUTS[wanted.layout],
        health={"hang": HANG_SECONDS},
        training={
            "steps": STEPS,
            "globalBatchTokens": 512,
            "microBatchSequences": 2,
            "precision": precision_of(wanted),
        },
    )


def precision_of(wanted: Schedule) -> str:
    return "fp64" if wanted.twist == "oom" else "fp32"


@cache
def undisturbed(layout: str, precision: str, skips: Skips) -> dict[int, float]:
    """Losses of the run that nothing happens to and that never reads these rows."""
    twist = "oom" if precision == "fp64" else "exact"
    spec = UltraThinkJob.parse(job_of(Schedule(0, False, layout, (), twist))).spec

    def leave_out(run: Run) -> None:
        run.skips = skips

    with tempfile.TemporaryDirectory() as folder:
        return attempt(plan(spec), Path(folder), 1, prepare=leave_out).losses


def disturb(wanted: Schedule, folder: Path, server: S3Server) -> None:
    """Run it, and raise Wrong for what is not as it must be."""
    with ExitStack() as stack:
        bucket = stack.enter_context(Bucket(server, wanted.store)) if wanted.store else None
        uri = bucket.uri if bucket else f"file://{folder}/runs"
        faults: Sequence[str] = wanted.faults
        events: list[Event] = []
        uid: str | None = None
        while True:
            run = LocalRun(folder, bare=not wanted.ray, chaos=list(faults), job=job_of(wanted), uri=uri, resume=uid)
            stack.callback(run.close)
            for event in _events(run):
                events.append(event)
                uid = event.get("uid", uid)
                if event["event"] != "step":
                    continue
                if bucket:
                    bucket.reached(event["step"])
                if wanted.stop == event["step"] and not _stopped(events):
                    run.process.terminate()
            summary, log = events[-1], run.log
            run.close()
            if summary.get("phase") != "Suspended":
                break
            faults = [fault for fault in faults if step_of(fault) > summary["step"]]
        if uid is None or (summary.get("phase"), summary.get("step")) != ("Succeeded", STEPS):
            raise Wrong(f"ended as {summary}: {log}")
        if bucket:
            bucket.heal()
        store = open_job(uri, None, "tiny", uid)
        _check_losses(wanted, events, store)
        _check_store(store)


def _stopped(events: Sequence[Event]) -> bool:
    return any(event["event"] == "summary" for event in events)


def _events(run: LocalRun) -> Iterator[Event]:
    """Until the last word."""
    while True:
        event = run.until(lambda _: True)
        yield event
        if event["event"] == "summary":
            return


class Bucket:
    """A fresh one behind a proxy that errs for some seconds once a step is reached."""

    def __init__(self, server: S3Server, trouble: StoreTrouble) -> None:
        self.uri = f"s3://{server.bucket()}/runs"
        self._trouble = trouble
        self._proxy = S3Proxy(server.endpoint)
        self._env = server.env()
        self._timer = threading.Timer(trouble.seconds, self._proxy.heal)

    def __enter__(self) -> Self:
        self._proxy.__enter__()
        os.environ.update(self._env | {"AWS_ENDPOINT_URL": self._proxy.endpoint})
        return self

    def __exit__(self, *failed: Any) -> None:
        self.heal()
        self._proxy.__exit__(*failed)

    def reached(self, step: int) -> None:
        """Break it, the first time."""
        if step >= self._trouble.step and not self._timer.ident:
            self._proxy.fail(self._trouble.kind, seconds=self._trouble.seconds)
            self._timer.start()

    def heal(self) -> None:
        """At once, if it has not healed by itself."""
        self._timer.cancel()
        if self._timer.ident:
            self._timer.join()
        self._proxy.heal()


def _check_losses(wanted: Schedule, events: Sequence[Event], store: JobStore) -> None:
    """Every loss that was ever told, by what its attempt left out."""
    skips = {
        epoch.number: tuple((first, last) for first, last in epoch.start.detail.get("skips", []))  # type: ignore[union-attr]
        for epoch in store.epochs()
    }
    if wanted.burst is not None and not any(skips.values()):
        raise Wrong("non-finite steps were not rolled back")
    seen: set[int] = set()
    for event in events:
        if event["event"] != "step" or event["loss"] is None:
            continue
        seen.add(event["step"])
        truth = undisturbed(wanted.layout, precision_of(wanted), skips[event["attempt"]])[event["step"]]
        near = TOLERANCE * max(1.0, abs(truth)) if wanted.twist == "oom" else 0.0
        if abs(event["loss"] - truth) > near:
            raise Wrong(f"attempt {event['attempt']}, step {event['step']}: loss {event['loss']!r}, not {truth!r}")
    if seen != set(range(1, STEPS + 1)):
        raise Wrong(f"steps without a loss: {sorted(set(range(1, STEPS + 1)) - seen)}")


def _check_store(store: JobStore) -> None:
    """The ledger goes up by one and every attempt has an end; what the chain names is whole, and the last step is."""
    epochs = store.epochs()
    if [epoch.number for epoch in epochs] != list(range(1, len(epochs) + 1)):
        raise Wrong(f"epochs {[epoch.number for epoch in epochs]}")
    open_ended = [epoch.number for epoch in epochs if epoch.end is None]
    if open_ended:
        raise Wrong(f"attempts without an end: {open_ended}")
    refs = store.chain().checkpoints()
    if not refs or refs[0].step != STEPS:
        raise Wrong(f"the newest checkpoint is {refs[0] if refs else None}")
    broken = [ref.step for ref in refs if not store.verify(ref).ok]
    if broken:
        raise Wrong(f"checkpoints of steps {broken} are not whole")


def plan_runs(runs: int, ray: int, seed: int) -> list[Schedule]:
    """Those with Ray spread among the others."""
    every = runs // ray if ray else runs + 1
    return [schedule(seed + i, ray=(i + 1) % every == 0 and (i + 1) // every <= ray) for i in range(runs)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--ray", type=int, default=15, help="how many of them have Ray around them")
    parser.add_argument("--seed", type=int, default=0, help="of the first run")
    wanted = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the run under way is ended, too
    here = commit()
    done = {(record["seed"], record["ray"]) for record in passed(REPORT, here)}
    schedules = plan_runs(wanted.runs, wanted.ray, wanted.seed)
    wrong = 0
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    with S3Server() as server:
        for number, each in enumerate(schedules, 1):
            if (each.seed, each.ray) in done:
                continue
            start = time.monotonic()
            result, why = "pass", ""
            with tempfile.TemporaryDirectory() as folder:
                try:
                    disturb(each, Path(folder), server)
                except AssertionError as error:
                    result, why = "fail", str(error)
                    wrong += 1
            seconds = round(time.monotonic() - start, 1)
            record = {"commit": here, "seed": each.seed, "ray": each.ray, "what": str(each), "result": result}
            with REPORT.open("a") as file:
                file.write(json.dumps(record | {"seconds": seconds} | ({"why": why[:2000]} if why else {})) + "\n")
            print(f"{number}/{len(schedules)} seed {each.seed} {each} · {seconds} s · {result} {why}", flush=True)
    print(f"{len(schedules) - wrong} of {len(schedules)} runs ended right at {here}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
