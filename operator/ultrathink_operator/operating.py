"""The operator as a whole: its parts put together, started, watched over and stopped."""

import asyncio
import contextlib
import itertools
import logging
import time

from aiohttp import web
from kubernetes.aio.client import Configuration

from ultrathink_operator import memory
from ultrathink_operator import web as serving
from ultrathink_operator.apply import Applier
from ultrathink_operator.client import Api
from ultrathink_operator.clock import ServerClock
from ultrathink_operator.explain import Explainer
from ultrathink_operator.lease import RENEWALS, Lease
from ultrathink_operator.limits import Limiter
from ultrathink_operator.loop import Passes
from ultrathink_operator.metrics import Metrics, StateCollector
from ultrathink_operator.observe import JobView
from ultrathink_operator.progress import Supervisors
from ultrathink_operator.reflect import Reflector
from ultrathink_operator.settings import Settings
from ultrathink_operator.world import World

SILENT_S = 180.0
"""A watch that has heard nothing for so long, not even a bookmark, is a zombie."""
STUCK_S = 60.0
"""An event loop that has not turned for so long hangs."""
TURN_S = 1.0
TRIM_EVERY = 30
"""Turns between two looks at what memory is no longer needed; a look takes milliseconds."""

log = logging.getLogger(__name__)


class Operator:
    """start(), then all happens by itself until stop()."""

    def __init__(self, configuration: Configuration, settings: Settings) -> None:
        self.settings = settings
        self.clock, self.metrics = ServerClock(), Metrics()
        limiter = Limiter(settings.api_rate, settings.api_burst)
        self.api = Api(configuration, limiter, self.clock, self.metrics.count_request)
        self.lease = Lease(
            self.api.beside(RENEWALS), settings.namespace, settings.lease, settings.identity, self._leads
        )
        self.supervisors = Supervisors(settings.keys, self.clock, self._wake)
        self.explainer = Explainer(self.api, self._wake)
        self.world = World(self.api, settings.watched, settings.house, self._wake, self._job_changed)
        applier = Applier(
            self.api,
            self.world,
            self.supervisors,
            self.explainer,
            settings.keys[0],
            self.lease.check,
            self.clock.now,
        )
        self.passes = Passes(
            self.world, self.supervisors, self.explainer, applier, self.lease, self.clock, self.metrics
        )
        self.metrics.registry.register(StateCollector(self.world.jobs, self.world.reflectors, self._heard_at))
        self._tasks: list[asyncio.Task[None]] = []
        self._server: web.AppRunner | None = None
        self.turned_at = time.monotonic()

    async def start(self) -> None:
        self._server = await serving.serve(
            self.settings.metrics_port, self.metrics.registry, self.passes.measure, self.not_ready
        )
        running = [reflector.run() for reflector in self.world.reflectors]
        self._tasks = [asyncio.create_task(one) for one in (*running, self.lease.run(), self._turn())]
        log.info("operator %s watches %s", self.settings.identity, ", ".join(map(str, self.settings.watched)))

    async def stop(self) -> None:
        """Passes end first, then the Lease is given back: nobody writes who does not lead."""
        await self.passes.close()
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
        await self.lease.release()
        await self.supervisors.close()
        await self.api.close()
        if self._server:
            await self._server.cleanup()
        log.info("operator %s has stopped", self.settings.identity)

    def not_ready(self) -> str | None:
        """Why a replica is of no use yet. A standby is of use: its stores are warm."""
        missing = [r.name for r in self.world.reflectors if not r.store.synced]
        return f"not listed yet: {', '.join(missing)}" if missing else None

    async def check_alive(self) -> None:
        """Raises when only a restart helps: never because the API server is away."""
        if time.monotonic() - self.turned_at > STUCK_S:
            raise RuntimeError("the event loop has not turned for a minute")
        dead = [task for task in self._tasks if task.done()]
        if dead:
            raise RuntimeError(f"{dead[0].get_name()} has ended")
        silent = [r for r in self.world.reflectors if self._is_zombie(r)]
        if silent and await self.api.ready():
            raise RuntimeError(f"{silent[0].name}: the watch is silent while the API server answers")

    def _is_zombie(self, reflector: Reflector) -> bool:
        """A kind that may not be watched, or is not served, is told in the jobs' status and cured without a restart."""
        return reflector.store.trouble is None and time.monotonic() - reflector.heard_at > SILENT_S

    def _heard_at(self, reflector: Reflector) -> float:
        return self.clock.now() - (time.monotonic() - reflector.heard_at)

    def _wake(self, uid: str) -> None:
        self.passes.wake(uid)

    def _job_changed(self, job: JobView) -> None:
        self.passes.job_changed(job)

    def _leads(self, leading: bool) -> None:
        self.metrics.leader.set(leading)
        self.passes.wake_all()

    async def _turn(self) -> None:
        for turn in itertools.count(1):
            self.turned_at = time.monotonic()
            if turn % TRIM_EVERY == 0:
                memory.give_back()
            await asyncio.sleep(TURN_S)
