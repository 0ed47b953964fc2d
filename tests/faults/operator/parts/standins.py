"""Who lives in a cluster beside the operator: a kubelet that runs every pod at once, and supervisors that answer."""

import asyncio
import random
from contextlib import suppress
from typing import Any, Self

from aiohttp import web

from faults.operator.parts.direct import Direct, Json, Refused, path
from faults.operator.parts.observer import Observer
from ultrathink_api import protocol
from ultrathink_api.protocol import OutcomeView, Progress, SpecChange, SpecReply, StopRequest, StopView
from ultrathink_api.status import AttemptStatus, CheckpointStatus, GoodputStatus, ProgressStatus, RestartsStatus

TIME = "2026-01-01T00:00:00Z"
STEPS = 200
TRIES = 20


class Supervisor:
    """The first process of one head pod: serves `/v1` for its job, and does what the test tells it to."""

    def __init__(self, uid: str, cluster: int, key: bytes, before: Progress | None) -> None:
        self._token = protocol.token(key, uid, protocol.CONTROL_TOKEN)
        kept = {"attempt": before.attempt, "checkpoint": before.checkpoint} if before else {}
        self.said = Progress(uid=uid, cluster=cluster, generation=1, incarnation="", state="starting", **kept)
        self.uid, self.cluster, self.ip = uid, cluster, ""
        self.stops = self.specs = 0
        self.confirms, self.effect, self.answers = True, "inPlace", True

    async def serve(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0.1)
        await self._runner.setup()
        for _ in range(TRIES):  # any loopback address will do that nobody else has taken
            self.ip = f"127.{random.randint(80, 250)}.{random.randint(0, 250)}.{random.randint(1, 250)}"
            try:
                await web.TCPSite(self._runner, self.ip, protocol.CONTROL_PORT).start()
            except OSError:
                continue
            self.say(incarnation=self.ip)
            return self
        raise AssertionError("no free loopback address")

    async def close(self) -> None:
        await self._runner.cleanup()

    def say(self, **fields: Any) -> None:
        self.said = self.said.model_copy(update=fields)

    def train(self, step: int, attempt: int = 1) -> None:
        progress = ProgressStatus(step=step, of=STEPS, percent=f"{100 * step // STEPS}%", loss="2.1", seen_at=TIME)
        now = AttemptStatus(number=attempt, cluster=self.cluster)
        self.say(state="running", attempt=now, progress=progress, restarts=RestartsStatus(counted=attempt - 1))

    def commit(self, step: int) -> None:
        made = CheckpointStatus(step=step, uri=f"s3://runs/x/step-{step}", verified=True, committed_at=TIME)
        self.say(checkpoint=made)

    def recover(self, attempt: int, cause: Any) -> None:
        """An attempt has failed; the next one is being made."""
        now = AttemptStatus(number=attempt, cluster=self.cluster, cause=cause)
        self.say(state="recovering", attempt=now, message="the ranks are forked again")

    def end(self, attempts: int) -> None:
        # An end long ago needs no patience for people who read its log.
        outcome = OutcomeView(phase="Succeeded", reason="Completed", step=STEPS, attempts=attempts, ended_at=TIME)
        goodput = GoodputStatus(ratio="0.9", seconds={"productive": 90.0, "other": 10.0})
        self.say(state="ended", outcome=outcome, goodput=goodput)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if not self.answers and request.transport:
            request.transport.abort()
        if request.headers.get("Authorization") != protocol.bearer(self._token):
            return web.Response(status=401)
        if request.path == protocol.PROGRESS_PATH:
            return web.json_response(self.said.dump())
        if request.path == protocol.STOP_PATH:
            self.stops += 1
            asked = StopRequest.model_validate(await request.json())
            step = self.said.progress.step if self.said.progress else None
            if self.confirms and step is not None:
                self.commit(step)
            state = "stopped" if self.confirms else "stopping"
            stop = {"reason": asked.reason, "confirmed": self.confirms, "delete_checkpoints": asked.delete_checkpoints}
            self.say(state=state, stop=StopView(step=step, **stop))
            return web.json_response(self.said.dump())
        if request.path == protocol.SPEC_PATH:
            self.specs += 1
            change = SpecChange.model_validate(await request.json())
            if self.effect != "newCluster":
                self.say(generation=change.generation)
            return web.json_response(SpecReply(generation=change.generation, effect=self.effect).dump())
        return web.Response(status=404)


class Kubelet:
    """Runs the pods of a cluster as soon as all of them are there, and starts a supervisor in each new head."""

    def __init__(self, api: Direct, world: Observer, key: bytes) -> None:
        self._api, self._world, self._key = api, world, key
        self.supervisors: list[Supervisor] = []
        self.idle = False
        self._started: set[str] = set()
        self._woken = asyncio.Event()
        world.listeners.append(self._heard)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        for one in self.supervisors:
            await one.close()

    def supervisor(self, cluster: int = 1) -> Supervisor | None:
        return next((s for s in reversed(self.supervisors) if s.cluster == cluster), None)

    def _heard(self, plural: str, kind: str, one: Json) -> None:
        if plural in ("pods", "statefulsets"):
            self._woken.set()

    async def _run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            sets = self._world.all("statefulsets")
            pods = self._world.all("pods")
            if self.idle or len(pods) < sum(s["spec"]["replicas"] for s in sets):
                continue
            for number, pod in enumerate(pods, start=1):
                if pod["metadata"]["uid"] not in self._started and not pod["metadata"].get("deletionTimestamp"):
                    self._started.add(pod["metadata"]["uid"])
                    await self._start(pod, number)

    async def _start(self, pod: Json, number: int) -> None:
        labels = pod["metadata"]["labels"]
        ip = f"10.0.0.{number}"
        if labels["ultrathink.io/role"] == "head":
            uid, cluster = labels["ultrathink.io/job-uid"], int(labels["ultrathink.io/cluster"])
            before = next((s.said for s in reversed(self.supervisors) if s.uid == uid), None)
            one = await Supervisor(uid, cluster, self._key, before).serve()
            self.supervisors.append(one)
            ip = one.ip
        with suppress(Refused):  # gone meanwhile
            await self.report(pod["metadata"]["name"], ip)

    async def report(self, name: str, ip: str, ready: bool = True) -> None:
        """The pod's status, as kubelet writes it."""
        state = "True" if ready else "False"
        conditions = [{"type": kind, "status": state} for kind in ("Ready", "ContainersReady")]
        conditions.append({"type": "PodScheduled", "status": "True"})
        status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": conditions}
        await self._api.patch(path(self._world.namespace, "pods", name, "status"), {"status": status})
