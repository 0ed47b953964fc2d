"""All stores together, and what one job sees of them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from ultrathink_operator import kinds
from ultrathink_operator.client import Api
from ultrathink_operator.explain import Explainer
from ultrathink_operator.kinds import Resource, View
from ultrathink_operator.observe import House, JobView, Observed, PodView, RuntimeView, ServiceView, SetView, Trouble
from ultrathink_operator.policies.gang import is_tried_again
from ultrathink_operator.progress import Supervisors
from ultrathink_operator.reflect import Reflector, Store

Wake = Callable[[str], None]


class World:
    """The stores of every watched namespace. `wake` hears the UID of a job whenever something of it changed."""

    def __init__(
        self,
        api: Api,
        namespaces: Sequence[str | None],
        house: House,
        wake: Wake,
        job_changed: Callable[[JobView], None],
    ) -> None:
        self.house, self._wake = house, wake
        self.stores: dict[tuple[Resource, str | None], Store] = {}
        special: dict[Resource, Callable[[View], None]] = {
            kinds.JOB: lambda view: job_changed(cast(JobView, view)),
            kinds.RUNTIME: self._runtime_changed,
        }
        for namespace in namespaces:
            for resource, watched in kinds.WATCHED.items():
                changed = special.get(resource) or self._waker(watched.job)
                self.stores[resource, namespace] = Store(
                    watched, namespace, changed, partial(self._wake_all, namespace)
                )
        self.reflectors = [Reflector(api, store) for store in self.stores.values()]

    @property
    def synced(self) -> bool:
        return all(store.synced for store in self.stores.values())

    def store(self, resource: Resource, namespace: str) -> Store:
        return self.stores.get((resource, namespace)) or self.stores[resource, None]

    def jobs(self) -> list[JobView]:
        return [
            cast(JobView, view)
            for (resource, _), store in self.stores.items()
            if resource is kinds.JOB
            for view in store.all()
        ]

    def job(self, namespace: str, uid: str) -> JobView | None:
        return next((cast(JobView, v) for v in self.store(kinds.JOB, namespace).of_job(uid)), None)

    def observe(
        self,
        job: JobView,
        supervisors: Supervisors,
        explainer: Explainer,
        troubles: tuple[Trouble, ...] = (),
        written_at: float | None = None,
        *,
        now: float,
    ) -> Observed:
        """Everything that is known of one job, as a value."""
        namespace, uid = job.meta.namespace, job.meta.uid
        own = [self.store(resource, namespace) for resource in kinds.WATCHED]
        kept = tuple(store.trouble for store in own if store.trouble)

        def of(resource: Resource) -> tuple[View, ...]:
            return self.store(resource, namespace).of_job(uid)

        runtimes = [r for r in self.store(kinds.RUNTIME, namespace).all() if r.meta.namespace == namespace]
        return Observed(
            job=job,
            house=self.house,
            runtimes=cast(tuple[RuntimeView, ...], tuple(sorted(runtimes, key=lambda r: r.meta.name))),
            sets=cast(tuple[SetView, ...], of(kinds.STATEFUL_SET)),
            services=cast(tuple[ServiceView, ...], of(kinds.SERVICE)),
            pods=cast(tuple[PodView, ...], of(kinds.POD)),
            explanations=explainer.of_job(uid),
            supervisor=supervisors.view(uid),
            troubles=(*kept, *troubles),
            written_at=written_at,
            elder=self._elder(job, now) if job.status.cluster and job.status.cluster.releases else "",
            synced=not kept and all(store.synced for store in own),
        )

    def _elder(self, job: JobView, now: float) -> str:
        """Only of a job that itself was given back: it looks at all the others."""
        mine = (job.meta.created_at, job.meta.uid)
        others = [o for o in self.jobs() if (o.meta.created_at, o.meta.uid) < mine and is_tried_again(o, now)]
        return min(others, key=lambda o: (o.meta.created_at, o.meta.uid)).meta.name if others else ""

    def _wake_all(self, namespace: str | None) -> None:
        """No job acts before everything in its namespace is known: what is known last may be that there is nothing."""
        for job in self.jobs():
            if namespace in (None, job.meta.namespace):
                self._wake(job.meta.uid)

    def _waker(self, job: Callable[[View], str]) -> Callable[[View], None]:
        return lambda view: self._wake(job(view))

    def _runtime_changed(self, view: View) -> None:
        self._wake_all(view.meta.namespace)
