"""Sees all that happens in one namespace, by watches of its own, and judges every event by the invariants."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Self

import aiohttp

from faults.operator.parts import invariants
from faults.operator.parts.direct import KINDS, Direct, Json, Refused, path

Key = tuple[str, str]
"""Plural and name."""
WAIT_S = 90.0
BUSY = 429
"""Said, too, while a CRD that was changed just now is served anew."""
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
PASSING = frozenset({"uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "deletionTimestamp"})


class Observer:
    """`async with Observer(api, namespace, forbidden) as world:`; `world.broken` lists what must never be."""

    def __init__(self, api: Direct, namespace: str, forbidden: Sequence[str] = ()) -> None:
        self._api, self.namespace, self.forbidden = api, namespace, tuple(forbidden)
        self.objects: dict[Key, Json] = {}
        self.broken: list[str] = []
        self.listeners: list[Callable[[str, str, Json], None]] = []
        self._changed = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []
        self.uids: set[str] = set()

    async def __aenter__(self) -> Self:
        listed = asyncio.gather(*(self._api.get(path(self.namespace, plural)) for plural in KINDS))
        for plural, answer in zip(KINDS, await listed, strict=True):
            for one in answer["items"]:
                self.objects[plural, one["metadata"]["name"]] = one
            version = answer["metadata"]["resourceVersion"]
            self._tasks.append(asyncio.create_task(self._watch(plural, version)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task

    def get(self, plural: str, name: str) -> Json | None:
        return self.objects.get((plural, name))

    def all(self, plural: str) -> list[Json]:
        return [one for (kind, _), one in sorted(self.objects.items(), key=lambda i: i[0]) if kind == plural]

    def status(self, job: str) -> Json:
        found: Json = (self.get("ultrathinkjobs", job) or {}).get("status") or {}
        return found

    def condition(self, job: str, kind: str) -> Json:
        return next((c for c in self.status(job).get("conditions", ()) if c["type"] == kind), {})

    def left(self) -> list[str]:
        """Everything that a job made, or is."""
        return sorted(
            f"{plural}/{name}"
            for plural, name in self.objects
            if plural != "events" and (plural, name) != ("configmaps", "kube-root-ca.crt")
        )

    async def until(self, what: Callable[[], Any], wanted: str, deadline_s: float = WAIT_S) -> Any:
        """The first truthy answer, asked again after every event."""
        end = time.monotonic() + deadline_s
        async with self._changed:
            while not (found := what()):
                rest = end - time.monotonic()
                if rest <= 0:
                    told = {job["metadata"]["name"]: job.get("status") for job in self.all("ultrathinkjobs")}
                    raise AssertionError(f"not within {deadline_s:g} s: {wanted}\n{self.left()}\n{json.dumps(told)}")
                with suppress(TimeoutError):
                    # Not all that is asked for comes with an event of ours: look now and then.
                    await asyncio.wait_for(self._changed.wait(), min(rest, 0.5))
        return found

    def snapshot(self) -> dict[str, Any]:
        """The namespace without what differs from run to run: identities, versions, times, addresses."""
        found = {}
        for (plural, name), one in self.objects.items():
            if plural in ("events", "pods") or (plural, name) == ("configmaps", "kube-root-ca.crt"):
                continue
            found[self._plain(f"{plural}/{name}")] = json.loads(self._plain(json.dumps(_lasting(plural, one))))
        return dict(sorted(found.items()))

    def _plain(self, text: str) -> str:
        for uid in self.uids:
            text = text.replace(uid, "UID")
        return TIME.sub("TIME", text.replace(self.namespace, "NAMESPACE"))

    async def _watch(self, plural: str, version: str) -> None:
        while True:
            try:
                async for event in self._api.watch(path(self.namespace, plural), version):
                    assert event["type"] != "ERROR", event
                    version = event["object"]["metadata"]["resourceVersion"]
                    await self._take(plural, event["type"], event["object"])
            except (aiohttp.ClientError, Refused) as error:
                if isinstance(error, Refused) and error.status != BUSY:
                    raise
            await asyncio.sleep(0.2)

    async def _take(self, plural: str, kind: str, new: Json) -> None:
        key = (plural, new["metadata"]["name"])
        old = self.objects.get(key)
        if kind == "DELETED":
            self.objects.pop(key, None)
        else:
            self.objects[key] = new
        if plural == "ultrathinkjobs":
            self.uids.add(new["metadata"]["uid"])
        same = old if old and old["metadata"]["uid"] == new["metadata"]["uid"] else None
        self.broken += invariants.of_event(plural, kind, same, new, self.all("statefulsets"), self.forbidden)
        for listener in self.listeners:
            listener(plural, kind, new)
        async with self._changed:
            self._changed.notify_all()


def _lasting(plural: str, one: Json) -> Json:
    """Of an object, what a run that was disturbed must have in common with one that was not."""
    meta = {k: v for k, v in one["metadata"].items() if k not in PASSING}
    meta["annotations"] = {k: v for k, v in meta.get("annotations", {}).items() if k != "ultrathink.io/digest"}
    kept = {**{k: v for k, v in one.items() if k not in ("status", "metadata")}, "metadata": meta}
    if plural == "secrets":
        kept["data"] = sorted(one.get("data", {}))
    if plural == "ultrathinkjobs":
        kept["status"] = {k: v for k, v in one.get("status", {}).items() if k != "conditions"}
        conditions = one.get("status", {}).get("conditions", ())
        kept["conditions"] = sorted((c["type"], c["status"], c["reason"]) for c in conditions)
    return kept
