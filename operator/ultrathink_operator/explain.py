"""Events are not watched: those of an unhappy object are listed when somebody asks, and not often."""

import time
from collections.abc import Callable

from ultrathink_operator import kinds
from ultrathink_operator.client import Api
from ultrathink_operator.limits import Limiter
from ultrathink_operator.observe import Explanation, explanation

ASK_AGAIN_S = 10.0
LISTS = 10.0
"""Lists of Events a second, over all jobs: a fifth of the requests that are allowed by default, so that a thousand jobs
that wait for GPUs keep no other from being made."""


class Explainer:
    """The warnings attached to objects of jobs, by job."""

    def __init__(self, api: Api, wake: Callable[[str], None]) -> None:
        self._api, self._wake = api, wake
        self._found: dict[str, dict[str, tuple[Explanation, ...]]] = {}
        self._asked: dict[str, dict[str, float]] = {}
        self._lists = Limiter(LISTS, LISTS)

    def of_job(self, job: str) -> tuple[Explanation, ...]:
        return tuple(one for uid in sorted(self._found.get(job, ())) for one in self._found[job][uid])

    def forget(self, job: str) -> None:
        self._found.pop(job, None)
        self._asked.pop(job, None)

    async def ask(self, namespace: str, job: str, uid: str) -> None:
        """Look at the Events of one object, unless that was done just now, or others have taken all turns."""
        asked = self._asked.setdefault(job, {})
        now = time.monotonic()
        if now - asked.get(uid, -ASK_AGAIN_S) < ASK_AGAIN_S or not self._lists.try_now():
            return
        asked[uid] = now
        selector = f"involvedObject.uid={uid},type=Warning"
        answer = await self._api.get(kinds.EVENT.path(namespace), fieldSelector=selector, limit=50)
        found = tuple(sorted((explanation(raw) for raw in answer["items"]), key=lambda e: (e.last_at, e.words.reason)))
        if found != self._found.get(job, {}).get(uid, ()):
            self._found.setdefault(job, {})[uid] = found
            self._wake(job)
