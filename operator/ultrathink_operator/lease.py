"""One leader at a time: a Lease of ours, kept by the monotonic clock and given back at the end."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ultrathink_api import names
from ultrathink_operator import kinds
from ultrathink_operator.client import UNREACHABLE, Api, ApiError, Json

DURATION_S = 15
RENEW_S = 2.0
RENEWALS = 5.0
"""Requests a second that a Lease may need at most: behind a thousand jobs that came together it would run out."""
REQUEST_S = 5.0
SAFE_SHARE = 2 / 3
"""No request starts later than this share of the Lease after its last renewal began: the rest is for it to arrive."""

log = logging.getLogger(__name__)


class NotLeader(Exception):
    """We may not write now; another may."""


@dataclass
class _Seen:
    """What another holder's Lease looked like, and since when it looks like that, by our own clock."""

    mark: tuple[Any, ...]
    since: float


class Lease:
    """Takes and renews the Lease for ever; `check()` is the fence before every write."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        identity: str,
        changed: Callable[[bool], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api, self._namespace, self._name, self._identity = api, namespace, name, identity
        self._changed, self._clock = changed, clock
        self._renewed_at: float | None = None
        self._told = False
        self._mine: Json | None = None
        self._seen: _Seen | None = None

    @property
    def leading(self) -> bool:
        return self._renewed_at is not None and self._clock() - self._renewed_at < DURATION_S * SAFE_SHARE

    def check(self) -> None:
        """The fence. Whoever is turned away here sleeps until a later renewal is told."""
        if not self.leading:
            self._tell()
            raise NotLeader

    async def run(self) -> None:
        """Never ends by itself."""
        while True:
            try:
                async with asyncio.timeout(REQUEST_S):
                    await self.round()
            except ApiError as error:
                log.log(logging.INFO if error.status == 409 else logging.WARNING, "lease: %s", error)
            except UNREACHABLE as error:
                log.warning("lease: %s: %s", type(error).__name__, error)
            self._tell()
            await asyncio.sleep(RENEW_S)

    async def round(self) -> None:
        """One try to take or to renew. Who holds it renews what it wrote last: one request, refused if it is old."""
        started, mine = self._clock(), self._mine
        self._mine = None
        try:
            raw = mine or await self._api.get(kinds.LEASE.path(self._namespace, self._name))
        except ApiError as error:
            if error.status != 404:
                raise
            made = self._manifest(None)
            self._mine = await self._api.create(kinds.LEASE.path(self._namespace), made, names.FIELD_MANAGER)
            self._renewed_at = started
            return
        if not self._may_take(raw["spec"], started):
            self._renewed_at = None
            return
        try:
            path = kinds.LEASE.path(self._namespace, self._name)
            self._mine = await self._api.replace(path, self._manifest(raw))
        except ApiError as error:
            if error.status != 409 or mine is None:
                raise
            await self.round()  # what we wrote last is not what is there: look
            return
        self._renewed_at = started

    async def release(self) -> None:
        """Give the Lease back, so that a successor need not wait for its end."""
        if self._renewed_at is None:
            return
        self._renewed_at = self._mine = None
        try:
            async with asyncio.timeout(REQUEST_S):
                raw = await self._api.get(kinds.LEASE.path(self._namespace, self._name))
                if raw["spec"].get("holderIdentity") == self._identity:
                    raw["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                    await self._api.replace(kinds.LEASE.path(self._namespace, self._name), raw)
        except (ApiError, *UNREACHABLE) as error:
            log.warning("lease: not given back: %s", error)

    def _may_take(self, spec: Json, now: float) -> bool:
        holder = spec.get("holderIdentity") or ""
        if holder in ("", self._identity):
            return True
        # The holder's own timestamps are of its clock; only that they change counts.
        mark = (holder, spec.get("renewTime"), spec.get("leaseTransitions"))
        if self._seen is None or self._seen.mark != mark:
            self._seen = _Seen(mark, now)
        return now - self._seen.since > float(spec.get("leaseDurationSeconds", DURATION_S))

    def _manifest(self, old: Json | None) -> Json:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before = (old or {}).get("spec", {})
        same = before.get("holderIdentity") == self._identity
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": DURATION_S,
            "renewTime": now,
            "acquireTime": before.get("acquireTime", now) if same else now,
            "leaseTransitions": before.get("leaseTransitions", 0) + (0 if same or old is None else 1),
        }
        metadata = old["metadata"] if old else {"name": self._name, "namespace": self._namespace}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}

    def _tell(self) -> None:
        if self.leading != self._told:
            self._told = self.leading
            log.info("lease: %s", "leading" if self._told else "standing by")
            self._changed(self._told)
