"""One task a job: observe, decide, apply, and sleep until something changes. Never two at once for one job."""

import asyncio
import logging
import time

from ultrathink_operator import kinds
from ultrathink_operator.apply import Applier, Refusal, Stale
from ultrathink_operator.client import UNREACHABLE, ApiError
from ultrathink_operator.clock import ServerClock
from ultrathink_operator.decide import Decision, decide
from ultrathink_operator.explain import Explainer
from ultrathink_operator.lease import Lease, NotLeader
from ultrathink_operator.limits import Backoff, Limiter, heard_within
from ultrathink_operator.metrics import Metrics
from ultrathink_operator.observe import JobView, Observed, Trouble
from ultrathink_operator.policies import completion, writing
from ultrathink_operator.progress import Supervisors
from ultrathink_operator.world import World

FIRST_RETRY_S, LAST_RETRY_S = 0.2, 60.0
LONGEST_HOLD_S = 10.0
"""After an error even news must wait for the next try, but not longer: supervisors have news all the time, and an API
server that is back should soon show them."""
PROGRESS_WRITES = 20.0
"""Writes of mere progress a second, over all jobs."""
PROGRESS_RETRY_S = 1.0
AT_ONCE = 32
"""Passes at once. Each may hold a connection and the objects of a cluster: of a thousand that would be two hundred
megabytes. A supervisor that hangs holds its place for 5 s: even 32 of them let six jobs a second by."""
LAST_PASS_S = 10.0
"""How long the operator's end waits for passes under way: half of what a stop may take in all."""

log = logging.getLogger(__name__)


class Passes:
    """The tasks of all jobs."""

    def __init__(
        self,
        world: World,
        supervisors: Supervisors,
        explainer: Explainer,
        applier: Applier,
        lease: Lease,
        clock: ServerClock,
        metrics: Metrics,
    ) -> None:
        self.world, self.supervisors, self.explainer, self.applier = world, supervisors, explainer, applier
        self.lease, self.clock, self.metrics = lease, clock, metrics
        self.progress_writes = Limiter(PROGRESS_WRITES, PROGRESS_WRITES)
        self.turns = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[str, JobTask] = {}
        self.stopping = False

    def wake(self, uid: str) -> None:
        """Something changed for this job."""
        task = self._tasks.get(uid)
        if task is not None:
            self.metrics.adds.inc()
            task.wake()

    def job_changed(self, job: JobView) -> None:
        """A job came, changed or went."""
        uid = job.meta.uid
        if uid not in self._tasks and not self.stopping:
            self._tasks[uid] = JobTask(self, job.meta.namespace, uid)
        self.wake(uid)

    def wake_all(self) -> None:
        for uid in tuple(self._tasks):
            self.wake(uid)

    def ended(self, uid: str) -> None:
        self._tasks.pop(uid, None)
        self.supervisors.forget(uid)
        self.explainer.forget(uid)

    def measure(self) -> None:
        """For a scrape."""
        now = time.monotonic()
        self.metrics.depth.set(sum(1 for t in self._tasks.values() if t.waiting))
        running = [now - t.started for t in self._tasks.values() if t.started is not None]
        self.metrics.longest.set(max(running, default=0.0))

    async def close(self) -> None:
        """Let passes under way end; what they did not do, the next operator does."""
        self.stopping = True
        tasks = [t.task for t in self._tasks.values()]
        self.wake_all()
        if not tasks:
            return
        _, torn = await asyncio.wait(tasks, timeout=LAST_PASS_S)
        for task in torn:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class JobTask:
    """The task of one job."""

    def __init__(self, passes: Passes, namespace: str, uid: str) -> None:
        self._passes, self._namespace, self._uid = passes, namespace, uid
        self._woken = asyncio.Event()
        self._woken_at = time.monotonic()
        self._backoff = Backoff(FIRST_RETRY_S, LAST_RETRY_S)
        self._held_until = 0.0
        self._written: tuple[str, object] | None = None
        self._written_at: float | None = None
        self._troubles: tuple[Trouble, ...] = ()
        self.started: float | None = None
        self.task = asyncio.create_task(self._run(), name=f"job {uid}")

    @property
    def waiting(self) -> bool:
        return self._woken.is_set() and self.started is None

    def wake(self) -> None:
        if not self._woken.is_set():
            self._woken_at = time.monotonic()
            self._woken.set()

    async def _run(self) -> None:
        try:
            await self._loop()
        finally:
            self._passes.ended(self._uid)

    async def _loop(self) -> None:
        wake_after: float | None = None
        while True:
            await heard_within(self._woken, wake_after)
            while not self._passes.stopping and (rest := self._held_until - time.monotonic()) > 0:
                self._woken.clear()
                await heard_within(self._woken, rest)
            self.wake()  # a timer as well as news: from now on it waits for its turn
            async with self._passes.turns:
                self._woken.clear()
                job = self._passes.world.job(self._namespace, self._uid)
                if job is None or self._passes.stopping:
                    return
                wake_after = await self._timed(job)
            del job  # who sleeps keeps no version that is old by then

    async def _timed(self, job: JobView) -> float | None:
        metrics, self.started = self._passes.metrics, time.monotonic()
        metrics.queued.observe(self.started - self._woken_at)
        result = "error"
        try:
            after, result = await self._pass(job)
        finally:
            metrics.count_pass(result, time.monotonic() - self.started)
            self.started = None
        return after

    async def _pass(self, job: JobView) -> tuple[float | None, str]:
        passes = self._passes
        name = f"{job.meta.namespace}/{job.meta.name}"
        try:
            passes.lease.check()
            seen = self._observe(job, self._troubles)
            self._follow(seen)
            decision = decide(seen, passes.clock.now())
            self._troubles, status_of = (), seen
            refused = await self._act(job, decision)
            if refused:
                self._troubles = (refused,)
                status_of = self._observe(passes.world.job(self._namespace, self._uid) or job, self._troubles)
                decision = decide(status_of, passes.clock.now())
            after = await self._write(status_of, decision)
        except Stale:
            return self._backoff.next(), "requeue"
        except NotLeader:
            return None, "requeue"  # woken again when we lead
        except (ApiError, *UNREACHABLE) as error:
            log.warning("%s: %s: %s", name, type(error).__name__, error)
            return self._hold(), "error"
        except Exception:
            log.exception("%s: the pass failed", name)
            return self._hold(), "error"
        if refused:
            log.warning("%s: %s", name, refused.message)
            return self._failed(), "error"
        self._backoff.reset()
        return after, "success" if after is None else "requeue_after"

    def _observe(self, job: JobView, troubles: tuple[Trouble, ...]) -> Observed:
        passes = self._passes
        known = passes.supervisors, passes.explainer, troubles, self._written_at
        return passes.world.observe(job, *known, now=passes.clock.now())

    def _hold(self) -> float:
        delay = self._failed()
        self._held_until = time.monotonic() + min(delay, LONGEST_HOLD_S)
        return delay

    def _failed(self) -> float:
        self._passes.metrics.errors.inc()
        self._passes.metrics.retries.inc()
        return self._backoff.next()

    def _follow(self, seen: Observed) -> None:
        """Ask the head as long as there is one and its job is not over."""
        head = seen.head_of(seen.number)
        if head is None or not head.ip or head.phase != "Running" or completion.is_over(seen):
            self._passes.supervisors.forget(self._uid)
        else:
            self._passes.supervisors.follow(self._uid, head)

    async def _act(self, job: JobView, decision: Decision) -> Trouble | None:
        """Actions in their order; after a refusal the rest waits."""
        for action in decision.actions:
            try:
                # Each write takes the job's version forward: the next one must name the newest.
                newest = self._passes.world.job(self._namespace, self._uid) or job
                await self._passes.applier.act(newest, action)
            except Refusal as refusal:
                return refusal.trouble
        return None

    async def _write(self, seen: Observed, decision: Decision) -> float | None:
        passes, status = self._passes, decision.status
        newest = passes.world.store(kinds.JOB, self._namespace).of_job(self._uid)
        if status is None or not newest:
            return decision.wake_after
        job = passes.world.job(self._namespace, self._uid)
        if job is None or job.stored_status != seen.job.stored_status or job.generation != seen.job.generation:
            return 0.0  # decided on what is no longer so
        if not writing.is_urgent(seen, status) and not passes.progress_writes.try_now():
            return PROGRESS_RETRY_S
        written = (job.meta.version, status)
        if written == self._written:
            log.warning("%s/%s: the stored status is not what was written", job.meta.namespace, job.meta.name)
            return decision.wake_after
        await passes.applier.write_status(job, status)
        passes.metrics.status_writes.inc()
        self._written_at = passes.clock.now()
        stored = passes.world.job(self._namespace, self._uid)
        # One value where they are equal: a status is the largest part of what is known of a job.
        kept = stored.status if stored and stored.status == status else status
        self._written = (stored.meta.version, kept) if stored else None
        return decision.wake_after
