"""Asks supervisors how far they are and tells them what changed; one poller for each job that has a head."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
from pydantic import ValidationError

from ultrathink_api.causes import Cause
from ultrathink_api.job import JobSpec
from ultrathink_api.protocol import (
    CONTROL_PORT,
    CONTROL_TOKEN,
    PROGRESS_PATH,
    SPEC_PATH,
    STOP_PATH,
    Body,
    Progress,
    SpecChange,
    SpecReply,
    StopRequest,
    bearer,
    token,
)
from ultrathink_operator.clock import ServerClock
from ultrathink_operator.limits import heard_within, jittered
from ultrathink_operator.observe import PodView, Supervisor

POLL_S = 10.0
HURRY_S = 1.5
"""While a job starts, recovers or stops, people watch."""
TIMEOUT_S = 5.0
LARGEST_ANSWER = 1 << 20
CONNECTIONS = 100

log = logging.getLogger(__name__)

Address = Callable[[PodView], str]


def control_address(pod: PodView) -> str:
    """Where the head's supervisor listens."""
    host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
    return f"http://{host}:{CONTROL_PORT}"


class Unanswered(Exception):
    """The supervisor did not answer, or not in a way that we understand."""


@dataclass
class _Talk:
    """One job's supervisor and what it said last."""

    address: str
    view: Supervisor
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Supervisors:
    """All supervisors that are asked. Tokens are made again from the key; the old key is tried second."""

    def __init__(
        self,
        keys: Sequence[bytes],
        clock: ServerClock,
        wake: Callable[[str], None],
        address: Address = control_address,
    ) -> None:
        self._keys, self._clock, self._wake, self._address = keys, clock, wake, address
        self._talks: dict[str, _Talk] = {}
        self._session: aiohttp.ClientSession | None = None

    def view(self, job: str) -> Supervisor | None:
        talk = self._talks.get(job)
        return talk.view if talk else None

    def follow(self, job: str, head: PodView) -> None:
        """Ask this head from now on; what another one said is forgotten."""
        address, talk = self._address(head), self._talks.get(job)
        if talk and talk.address == address and talk.view.pod_uid == head.meta.uid:
            return
        self.forget(job)
        talk = _Talk(address, Supervisor(pod_uid=head.meta.uid, asked_since=self._clock.now()))
        talk.task = asyncio.create_task(self._poll(job, talk), name=f"progress of {head.meta.name}")
        self._talks[job] = talk

    def forget(self, job: str) -> None:
        talk = self._talks.pop(job, None)
        if talk and talk.task:
            talk.task.cancel()

    async def close(self) -> None:
        tasks = [talk.task for talk in self._talks.values() if talk.task]
        for job in list(self._talks):
            self.forget(job)
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._session:
            await self._session.close()

    async def stop(self, job: str, grace_seconds: float, *, delete_checkpoints: bool = False) -> None:
        """Ask for a save and a stop, or for an end without traces. Repeating it changes nothing."""
        request = StopRequest(
            reason=Cause.SUSPENDED, grace_seconds=grace_seconds, delete_checkpoints=delete_checkpoints
        )
        await self._tell(job, STOP_PATH, request)

    async def send_spec(self, job: str, generation: int, spec: str) -> None:
        """Tell a newer generation of the spec; remember if it cannot be taken over in place."""
        change = SpecChange(generation=generation, spec=JobSpec.model_validate_json(spec))
        answer = await self._tell(job, SPEC_PATH, change)
        talk = self._talks.get(job)
        if answer and talk and SpecReply.model_validate(answer).effect == "newCluster":
            talk.view = replace(talk.view, needs_cluster=generation)
            self._wake(job)

    async def _tell(self, job: str, path: str, body: Body) -> Any:
        talk = self._talks.get(job)
        if talk is None:
            return None
        try:
            return await self._ask(job, talk, "POST", path, body.dump())
        except Unanswered as error:
            log.info("%s of job %s: %s", path, job, error)
            return None
        finally:
            talk.hurry.set()

    async def _poll(self, job: str, talk: _Talk) -> None:
        while True:
            talk.hurry.clear()
            try:
                said = Progress.model_validate(await self._ask(job, talk, "GET", PROGRESS_PATH))
                talk.view = replace(talk.view, progress=said, answered_at=self._clock.now(), error="")
            except (Unanswered, ValidationError) as error:
                talk.view = replace(talk.view, error=str(error)[:500])
            self._wake(job)
            await heard_within(talk.hurry, jittered(_pause(talk.view)))

    async def _ask(self, job: str, talk: _Talk, method: str, path: str, body: Any = None) -> Any:
        for key in self._keys:
            headers = {"Authorization": bearer(token(key, job, CONTROL_TOKEN))}
            status, answer = await self._once(method, talk.address + path, headers, body)
            if status != 401:
                break
        if status >= 400:
            raise Unanswered(f"{method} {path} answered {status}")
        return answer

    async def _once(self, method: str, url: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        if self._session is None:
            # Heads are asked by their own address: no proxy, no redirect, no cookies between jobs.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        try:
            async with self._session.request(method, url, headers=headers, json=body, allow_redirects=False) as reply:
                raw = await reply.content.read(LARGEST_ANSWER)
                if not raw or reply.status >= 400:
                    return reply.status, None
                return reply.status, json.loads(raw)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unanswered(f"{type(error).__name__}: {error}") from error


def _pause(view: Supervisor) -> float:
    said = view.progress
    calm = said is not None and said.state == "running" and said.stop is None and not view.error
    return POLL_S if calm else HURRY_S
