"""List and watch into stores that forget nothing and die of nothing."""

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ultrathink_operator.client import UNREACHABLE, Api, ApiError, Json
from ultrathink_operator.kinds import View, Watched
from ultrathink_operator.limits import Backoff, jittered
from ultrathink_operator.observe import Meta, Trouble

PAGE = 500
WATCH_S = 240
AUDIT_S = 48.0
"""How often the versions of all objects are compared, in case a watch lost an event without telling: with the jitter
and the patience below, within a minute."""
AUDIT_PATIENCE_S = 5.0
"""An event may still be under way when a list already shows what it brings."""
FIRST_RETRY_S, LAST_RETRY_S = 0.5, 30.0
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

log = logging.getLogger(__name__)

T = TypeVar("T")
Key = tuple[str, str]
Changed = Callable[[View], None]


class Expired(Exception):
    """The version to go on from is no longer served."""


class Store:
    """The projections of one kind in one namespace; older versions never replace newer ones.

    `changed` hears of each object, `judged` of what holds for all of them: whether they can be known at all.
    """

    def __init__(
        self, watched: Watched, namespace: str | None, changed: Changed, judged: Callable[[], None] = lambda: None
    ) -> None:
        self.watched, self.namespace = watched, namespace
        self.synced = False
        self.trouble: Trouble | None = None
        self._changed, self._judged = changed, judged
        self._job = watched.job
        self._views: dict[Key, View] = {}
        self._by_job: defaultdict[str, set[Key]] = defaultdict(set)
        self._gone: dict[Key, int] = {}

    def all(self) -> Iterable[View]:
        return tuple(self._views.values())

    def of_job(self, uid: str) -> tuple[View, ...]:
        """Sorted by name, so that equal worlds are equal values."""
        return tuple(self._views[key] for key in sorted(self._by_job.get(uid, ())))

    def take(self, raw: Json) -> None:
        """An object as the server answered it: from the watch, or to a write of ours."""
        self._take(self.watched.project(raw))

    def _take(self, view: View) -> None:
        key, version = _key(view.meta), int(view.meta.version)
        known = self._views.get(key)
        if (known is not None and int(known.meta.version) >= version) or self._gone.get(key, -1) >= version:
            return
        if known is not None:
            self._by_job[self._job(known)].discard(key)
        self._views[key] = view
        self._by_job[self._job(view)].add(key)
        self._changed(view)

    def drop(self, key: Key, version: int) -> None:
        """An object that is gone since `version`."""
        known = self._views.get(key)
        self._gone[key] = max(version, self._gone.get(key, -1))
        if known is None or int(known.meta.version) > version:
            return
        del self._views[key]
        job = self._job(known)
        self._by_job[job].discard(key)
        if not self._by_job[job]:
            del self._by_job[job]
        self._changed(known)

    def replace(self, views: Iterable[View], version: int) -> None:
        """A whole list: what is not in it is gone, unless a write of ours is newer than it."""
        present = set()
        for view in views:
            present.add(_key(view.meta))
            self._take(view)
        self._gone = {key: at for key, at in self._gone.items() if at > version}
        for key in [k for k in self._views if k not in present]:
            self.drop(key, version)
        news = not self.synced or self.trouble is not None
        self.synced, self.trouble = True, None
        if news:
            self._judged()

    def refuse(self, trouble: Trouble) -> None:
        """The server does not let it be known, and why."""
        news = self.trouble != trouble
        self.trouble = trouble
        if news:
            self._judged()

    def differs(self, listed: dict[Key, int], version: int) -> bool:
        """Whether the store has not seen what a list at `version` shows."""
        behind = any(self._version(key) < at for key, at in listed.items())
        left = any(key not in listed and int(v.meta.version) <= version for key, v in self._views.items())
        return behind or left

    def _version(self, key: Key) -> int:
        known = self._views.get(key)
        return int(known.meta.version) if known else self._gone.get(key, -1)


class Reflector:
    """Keeps one store up to date for ever."""

    def __init__(self, api: Api, store: Store) -> None:
        self._api, self.store = api, store
        resource = store.watched.resource
        self.name = f"{resource.plural}/{store.namespace or '*'}"
        self._path = resource.path(store.namespace)
        self._backoff = Backoff(FIRST_RETRY_S, LAST_RETRY_S)
        self.heard_at = time.monotonic()
        self.restarts = self.stalls = 0
        self._version = ""

    async def run(self) -> None:
        """Never ends by itself: every error is waited out."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch_and_audit()
                self._backoff.reset()
            except Expired:
                log.info("%s: the version expired, listing again", self.name)
                self.go_on_from("")
            except ApiError as error:
                self._refused(error)
                await asyncio.sleep(self._backoff.next())
            except UNREACHABLE as error:
                self.stalls += isinstance(error, asyncio.TimeoutError)
                log.warning("%s: %s: %s", self.name, type(error).__name__, error)
                await asyncio.sleep(self._backoff.next())
            except Exception:
                log.exception("%s: an object could not be taken in, listing again", self.name)
                self.go_on_from("")
                await asyncio.sleep(self._backoff.next())
            self.restarts += 1

    def go_on_from(self, version: str) -> None:
        """Where the next watch begins; an empty version means a list first."""
        self._version = version

    async def _list(self) -> None:
        views, version = await self._pages("application/json", self.store.watched.project)
        self.store.replace(views, int(version))
        self._version = version
        self.heard_at = time.monotonic()

    async def _pages(self, accept: str, keep: Callable[[Json], T]) -> tuple[list[T], str]:
        """What is kept of each object of a whole list: the objects themselves are twenty times as large."""
        query: dict[str, str | int] = {"limit": PAGE}
        if self.store.watched.selector:
            query["labelSelector"] = self.store.watched.selector
        kept: list[T] = []
        while True:
            page = await self._api.get(self._path, accept=accept, **query)
            kept += [keep(raw) for raw in page.get("items") or ()]
            following = page["metadata"].get("continue")
            if not following:
                return kept, page["metadata"]["resourceVersion"]
            query["continue"] = following

    async def _watch_and_audit(self) -> None:
        """Watch until the server ends it; end it ourselves when an audit finds that it tells not all."""
        tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._audit())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task

    async def _watch(self) -> None:
        seconds = int(jittered(WATCH_S))
        async for event in self._api.watch(self._path, self._version, seconds, self.store.watched.selector):
            self.heard_at = time.monotonic()
            self._backoff.reset()
            self._take(event)

    def _take(self, event: Json) -> None:
        kind, raw = event["type"], event["object"]
        if kind == "ERROR":
            if raw.get("code") == 410:
                raise Expired
            raise ApiError(raw.get("code", 0), raw.get("reason", ""), raw.get("message", ""))
        version = raw["metadata"]["resourceVersion"]
        if kind == "DELETED":
            meta = raw["metadata"]
            self.store.drop((meta.get("namespace", ""), meta["name"]), int(version))
        elif kind != "BOOKMARK":
            self.store.take(raw)
        self._version = version

    async def _audit(self) -> None:
        while True:
            await asyncio.sleep(jittered(AUDIT_S))
            await self.audit()

    async def audit(self) -> None:
        """Compare versions with the server's; raise Expired when the watch has lost something."""
        versions, version = await self._pages(METADATA_ONLY, _version_of)
        listed = dict(versions)
        deadline = time.monotonic() + AUDIT_PATIENCE_S
        while self.store.differs(listed, int(version)):
            if time.monotonic() > deadline:
                log.warning("%s: the watch lost an event", self.name)
                raise Expired
            await asyncio.sleep(AUDIT_PATIENCE_S / 10)

    def _refused(self, error: ApiError) -> None:
        log.warning("%s: %s", self.name, error)
        resource = self.store.watched.resource
        if error.status == 410:
            self.go_on_from("")
        elif error.status in (401, 403):
            self.store.refuse(misconfigured("list and watch", resource.plural, resource.group, error.message))
            self.go_on_from("")
        elif error.status == 404:
            fix = "install the CRDs: helm upgrade --install ultrathink-crds charts/ultrathink-crds"
            self.store.refuse(Trouble("DependencyMissing", f"{resource.plural} are not served (fix: {fix})"))
            self.go_on_from("")


def misconfigured(verb: str, plural: str, group: str, message: str) -> Trouble:
    """What a person must give the operator's account."""
    verbs = ", ".join(f'"{one}"' for one in verb.split(" and "))
    rule = f'{{apiGroups: ["{group}"], resources: ["{plural}"], verbs: [{verbs}]}}'
    fix = f"helm upgrade brings the chart's Role back; or add to the rules of the operator's Role: {rule}"
    return Trouble("OperatorMisconfigured", f"may not {verb} {plural}: {message} (fix: {fix})"[:2048])


def _key(meta: Meta) -> Key:
    return meta.namespace, meta.name


def _version_of(raw: Any) -> tuple[Key, int]:
    meta = raw["metadata"]
    return (meta.get("namespace", ""), meta["name"]), int(meta["resourceVersion"])
