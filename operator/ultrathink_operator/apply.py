"""Decision -> API calls: each safe to repeat, each fenced by the Lease, each naming the very object it means."""

import logging
from collections.abc import Callable
from typing import Any

from ultrathink_api import names
from ultrathink_api.status import JobStatus
from ultrathink_operator import kinds
from ultrathink_operator.actions import (
    Action,
    Create,
    CreateTokens,
    Delete,
    DeleteRest,
    Explain,
    ForceDelete,
    Hold,
    Move,
    Nudge,
    Release,
    Scale,
    SendSpec,
    Stop,
)
from ultrathink_operator.client import Api, ApiError, Json
from ultrathink_operator.explain import Explainer
from ultrathink_operator.kinds import Resource
from ultrathink_operator.observe import NUDGED_ANNOTATION, JobView, Trouble, keeping_off, meta_of, pod_view
from ultrathink_operator.policies import nodes
from ultrathink_operator.progress import Supervisors
from ultrathink_operator.reflect import misconfigured
from ultrathink_operator.render import config
from ultrathink_operator.world import World

CONFLICT, NOT_FOUND, FORBIDDEN, UNFIT = 409, 404, 403, 422

log = logging.getLogger(__name__)


class Refusal(Exception):
    """The API server will not do it, and a person must hear why."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.message)
        self.trouble = trouble


class Stale(Exception):
    """The object has changed meanwhile: look again, decide again."""


class Applier:
    """Carries out what was decided for one job at a time."""

    def __init__(
        self,
        api: Api,
        world: World,
        supervisors: Supervisors,
        explainer: Explainer,
        key: bytes,
        fence: Callable[[], None],
        now: Callable[[], float],
    ) -> None:
        self._api, self._world, self._supervisors, self._explainer = api, world, supervisors, explainer
        self._key, self._fence, self._now = key, fence, now

    async def act(self, job: JobView, action: Action) -> None:
        """One action. Raises Refusal, Stale, NotLeader, ApiError, or the client's own errors."""
        level = logging.DEBUG if isinstance(action, Explain) else logging.INFO
        log.log(level, "%s/%s: %s", job.meta.namespace, job.meta.name, _said(action))
        namespace, uid = job.meta.namespace, job.meta.uid
        match action:
            case Hold():
                if names.FINALIZER not in job.finalizers:
                    await self._patch_job(job, {"finalizers": [names.FINALIZER]})
            case Release():
                await self._patch_job(job, {})
            case Create(manifest):
                await self._create(job, kinds.WRITTEN[manifest["kind"]], dict(manifest))
            case CreateTokens(number):
                secret = config.tokens_secret(job.meta.name, namespace, uid, number, self._key)
                await self._create(job, kinds.SECRET, secret)
            case Delete(kind, name, target):
                await self._delete(kinds.WRITTEN[kind], namespace, name, target)
            case DeleteRest(number):
                await self._delete_rest(job, number)
            case Scale():
                await self._scale(namespace, action)
            case Nudge():
                await self._scale(namespace, action, {NUDGED_ANNOTATION: action.at})
            case Move(name, target):
                await self._delete(kinds.POD, namespace, name, target)
            case ForceDelete(name, target):
                await self._force_delete(namespace, name, target)
            case Explain(target):
                await self._explainer.ask(namespace, uid, target)
            case Stop(grace_seconds, delete_checkpoints):
                self._fence()
                await self._supervisors.stop(uid, grace_seconds, delete_checkpoints=delete_checkpoints)
            case SendSpec(generation, spec):
                self._fence()
                await self._supervisors.send_spec(uid, generation, spec)

    async def write_status(self, job: JobView, status: JobStatus) -> None:
        """The one status write at the end of a pass."""
        meta = job.meta
        manifest = {
            "apiVersion": kinds.JOB.version,
            "kind": kinds.JOB.kind,
            "metadata": _identity(job),
            "status": status.dump(),
        }
        path = kinds.JOB.path(meta.namespace, meta.name, "status")
        await self._patched(job, path, manifest)

    async def _patch_job(self, job: JobView, metadata: Json) -> None:
        manifest = {
            "apiVersion": kinds.JOB.version,
            "kind": kinds.JOB.kind,
            "metadata": {**_identity(job), **metadata},
        }
        await self._patched(job, kinds.JOB.path(job.meta.namespace, job.meta.name), manifest)

    async def _patched(self, job: JobView, path: str, manifest: Json) -> None:
        store = self._world.store(kinds.JOB, job.meta.namespace)
        try:
            self._fence()
            store.take(await self._api.apply(path, manifest, names.FIELD_MANAGER))
        except ApiError as error:
            if error.status == NOT_FOUND:
                return
            if error.status == CONFLICT:
                await self._look_again(job)
                raise Stale from error
            raise self._refusal(error, "patch", kinds.JOB) from error

    async def _look_again(self, job: JobView) -> None:
        """Somebody else wrote the job between our look and our write."""
        meta = job.meta
        try:
            self._world.store(kinds.JOB, meta.namespace).take(
                await self._api.get(kinds.JOB.path(meta.namespace, meta.name))
            )
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise

    async def _create(self, job: JobView, resource: Resource, manifest: Json) -> None:
        namespace, name = job.meta.namespace, manifest["metadata"]["name"]
        try:
            self._fence()
            made = await self._api.create(resource.path(namespace), manifest, names.FIELD_MANAGER)
        except ApiError as error:
            if error.status != CONFLICT:
                raise self._refusal(error, "create", resource) from error
            if resource is kinds.SECRET:
                return  # its name ends in the job's UID, and we may not read it
            made = await self._api.get(resource.path(namespace, name))
            owner = meta_of(made).owner
            if owner != job.meta.uid:
                fix = f"rename or delete it, or give the job another name: kubectl get {resource.plural} {name}"
                message = f"{resource.kind} {name} exists and is not this job's (fix: {fix})"
                raise Refusal(Trouble("NameConflict", message)) from error
        self._take(resource, namespace, made)

    async def _delete(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        try:
            self._fence()
            gone = await self._api.delete(
                resource.path(namespace, name), preconditions={"uid": uid}, propagationPolicy="Background"
            )
        except ApiError as error:
            if error.status in (NOT_FOUND, CONFLICT):
                return  # gone, or another has taken its name: either way not the one that was meant
            raise self._refusal(error, "delete", resource) from error
        if gone.get("kind") == resource.kind:
            self._take(resource, namespace, gone)

    async def _delete_rest(self, job: JobView, number: int) -> None:
        namespace, name = job.meta.namespace, names.cluster(job.meta.name, number)
        for resource in (kinds.NETWORK_POLICY, kinds.DISRUPTION_BUDGET, kinds.CONFIG_MAP):
            try:
                found = meta_of(await self._api.get(resource.path(namespace, name)))
            except ApiError as error:
                if error.status == NOT_FOUND:
                    continue
                raise self._refusal(error, "get", resource) from error
            if found.owner == job.meta.uid:
                await self._delete(resource, namespace, name, found.uid)

    async def _scale(self, namespace: str, wanted: Scale | Nudge, annotations: Json | None = None) -> None:
        """All that may change of a set, each time: what an apply leaves out that it said before is taken back."""
        resource, name = kinds.STATEFUL_SET, wanted.name
        metadata = {"name": name, "namespace": namespace, "uid": wanted.uid, "resourceVersion": wanted.version}
        spec: Json = {"replicas": wanted.replicas}
        if wanted.avoided:
            spec["template"] = {"spec": {"affinity": keeping_off(wanted.avoided)}}
        manifest = {
            "apiVersion": resource.version,
            "kind": resource.kind,
            "metadata": {**metadata, **({"annotations": annotations} if annotations else {})},
            "spec": spec,
        }
        try:
            self._fence()
            self._take(
                resource,
                namespace,
                await self._api.apply(resource.path(namespace, name), manifest, names.FIELD_MANAGER),
            )
        except ApiError as error:
            if error.status in (NOT_FOUND, CONFLICT):
                raise Stale from error
            raise self._refusal(error, "patch", resource) from error

    async def _force_delete(self, namespace: str, name: str, uid: str) -> None:
        """A fresh look first: evidence from a watch may be old, and a pod that lives must not be forced."""
        path = kinds.POD.path(namespace, name)
        try:
            pod = pod_view(await self._api.get(path))
            lost_at = nodes.lost_at(pod)
            if pod.meta.uid != uid or lost_at is None or lost_at > self._now():
                return
            self._fence()
            preconditions = {"uid": uid, "resourceVersion": pod.meta.version}
            await self._api.delete(path, preconditions=preconditions, gracePeriodSeconds=0)
        except ApiError as error:
            if error.status == CONFLICT:
                raise Stale from error
            if error.status != NOT_FOUND:
                raise self._refusal(error, "delete", kinds.POD) from error

    def _take(self, resource: Resource, namespace: str, raw: Json) -> None:
        if resource in kinds.WATCHED:
            self._world.store(resource, namespace).take(raw)

    def _refusal(self, error: ApiError, verb: str, resource: Resource) -> Exception:
        """What a person can do something about; all else stays an error, to be tried again."""
        if error.status == FORBIDDEN and "exceeded quota" in error.message:
            return Refusal(Trouble("QuotaExceeded", error.message))
        if error.status == FORBIDDEN and "being terminated" in error.message:
            return error
        if error.status == FORBIDDEN:
            return Refusal(misconfigured(verb, resource.plural, resource.group, error.message))
        if error.status in (400, UNFIT):
            return Refusal(Trouble("Rejected", f"the API server refuses {resource.kind}: {error.message}"))
        return error


def _identity(job: JobView) -> dict[str, Any]:
    meta = job.meta
    return {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid, "resourceVersion": meta.version}


def _said(action: Action) -> str:
    match action:
        case Create(manifest):
            return f"create {manifest['kind']} {manifest['metadata']['name']}"
        case SendSpec(generation):
            return f"send spec of generation {generation}"
    return str(action)
