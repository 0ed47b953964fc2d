"""Whether a job may run, and as what: its spec by the rules and the planner, its runtime, its place for checkpoints."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from ultrathink_api import GROUP_VERSION
from ultrathink_api.base import slim
from ultrathink_api.errors import Problem, Refused
from ultrathink_api.job import KIND, JobSpec
from ultrathink_api.runtime import RuntimeSpec, VolumeSpec
from ultrathink_api.status import MeshStatus, ParametersStatus, PlanStatus, RuntimeStatus
from ultrathink_api.validate import check
from ultrathink_operator.actions import Finding, Said
from ultrathink_operator.observe import Observed
from ultrathink_operator.render.order import Order, fingerprint
from ultrathink_planner import Plan, plan

DEFAULT_RUNTIME = "default"
FILE = "file://"
PLANS_KEPT = 2048
"""A plan takes a millisecond and every pass asks for it; with its spec it takes 11 KB."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A job that may run: everything a cluster is rendered from."""

    spec: JobSpec
    plan: Plan
    runtime: RuntimeSpec
    used: RuntimeStatus

    def order(self, seen: Observed, number: int) -> Order:
        meta = seen.job.meta
        return Order(
            job=meta.name,
            namespace=meta.namespace,
            uid=meta.uid,
            generation=seen.job.generation,
            number=number,
            spec=self.spec,
            plan=self.plan,
            runtime=self.runtime,
            house=seen.house,
            submitter=seen.job.submitter if seen.house.vouches else "",
        )


def admit(seen: Observed) -> tuple[Admitted | None, Finding]:
    """The job as it may run, or why it may not."""
    try:
        spec, made = planned(seen.job.meta.name, seen.job.spec)
    except Refused as refused:
        return None, Finding(conditions=(_invalid(refused.problems),))
    valid = Said("Valid", "True", "Planned")
    shown = {"plan": _shown(made)}
    found = _runtime(seen, spec)
    if isinstance(found, Said):
        return None, Finding(conditions=(valid, found), status=shown)
    runtime, used = found
    refusal = _storage(spec, runtime) or _data(made, runtime)
    if refusal:
        return None, Finding(conditions=(valid, refusal), status=shown)
    admitted = Said("Admitted", "True", "RuntimeFound", f"runtime {used.name}")
    return Admitted(spec, made, runtime, used), Finding(conditions=(valid, admitted), status=shown)


@lru_cache(maxsize=PLANS_KEPT)
def planned(name: str, spec: str) -> tuple[JobSpec, Plan]:
    """Spec and plan of a job, by the very rules of the CLI; raises Refused with all that is wrong."""
    whole = {"apiVersion": GROUP_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": json.loads(spec)}
    job, problems = check(whole)
    if job is None:
        raise Refused(*problems)
    return slim(job.spec), slim(plan(job.spec))


def grace_seconds(seen: Observed) -> int:
    """How long a last checkpoint may take: the job's word, whatever else is wrong with it."""
    said = seen.job.word("checkpoint", "graceSeconds")
    default = JobSpec.model_fields["checkpoint"].get_default(call_default_factory=True).grace_seconds
    return said if isinstance(said, int) else int(default)


def deletes_checkpoints(seen: Observed) -> bool:
    """Whether the job's checkpoints go with it; whatever cannot be read means no."""
    return bool(seen.job.word("checkpoint", "onDelete") == "Delete")


def _invalid(problems: tuple[Problem, ...]) -> Said:
    first, others = problems[0], len(problems) - 1
    more = f" (and {others} more)" if others else ""
    return Said("Valid", "False", "Invalid", f"{first}{more}"[:2048])


def _runtime(seen: Observed, spec: JobSpec) -> tuple[RuntimeSpec, RuntimeStatus] | Said:
    wanted = spec.runtime or DEFAULT_RUNTIME
    found = next((r for r in seen.runtimes if r.meta.name == wanted), None)
    if found is None and spec.runtime is not None:
        fix = f"create it, or choose another: kubectl get utr -n {seen.job.meta.namespace}"
        return Said("Admitted", "False", "RuntimeNotFound", f"no UltraThinkRuntime {wanted} here (fix: {fix})")
    if found is not None and found.spec is None:
        return Said("Admitted", "False", "RuntimeInvalid", f"UltraThinkRuntime {wanted}: {found.problem}")
    base = found.spec if found and found.spec else seen.house.defaults
    runtime = base if base.image else base.model_copy(update={"image": seen.house.defaults.image})
    if runtime.image is None:
        fix = "set runtime.image in the values of the operator's chart"
        return Said("Admitted", "False", "OperatorMisconfigured", f"no image is set for jobs (fix: {fix})")
    name = found.meta.name if found else "the operator's"
    return runtime, RuntimeStatus(
        name=name, generation=found.generation if found else None, digest=fingerprint(runtime.dump())
    )


def _storage(spec: JobSpec, runtime: RuntimeSpec) -> Said | None:
    place = spec.checkpoint.uri or runtime.storage.uri
    if place is None:
        fix = "set spec.checkpoint.uri, or storage.uri in the runtime"
        return Said(
            "Admitted", "False", "NoStorage", f"UTK0520 spec.checkpoint.uri: no place for checkpoints (fix: {fix})"
        )
    if place.startswith(FILE):
        volume = _volume(place, runtime)
        fix = "use a bucket, such as s3://runs, or a folder of a volume in pods.volumes of the runtime"
        if volume is None:
            message = f"UTK0128 spec.checkpoint.uri: {place} would lie in a pod and end with it (fix: {fix})"
            return Said("Admitted", "False", "NoStorage", message)
        if volume.read_only:
            message = (
                f"UTK0128 spec.checkpoint.uri: {place} lies on {volume.mount_path}, which is read-only (fix: {fix})"
            )
            return Said("Admitted", "False", "NoStorage", message)
    return None


def _data(made: Plan, runtime: RuntimeSpec) -> Said | None:
    """Where no volume of the runtime is mounted, a path would be one of the image."""
    for source in made.data:
        if source.uri.startswith(FILE) and _volume(source.uri, runtime) is None:
            fix = "copy the shards to a bucket that the runtime may read, or to a volume in pods.volumes of the runtime"
            message = f"UTK0216 spec.data: {source.uri} is not there in a pod (fix: {fix})"
            return Said("Admitted", "False", "NoData", message)
    return None


def _volume(uri: str, runtime: RuntimeSpec) -> VolumeSpec | None:
    """The volume that a file URI lies on: of nested ones the innermost."""
    folder = PurePosixPath(uri.removeprefix(FILE))
    found = [volume for volume in runtime.pods.volumes if folder.is_relative_to(volume.mount_path)]
    outside = ".." in folder.parts
    return None if outside else max(found, key=lambda volume: len(volume.mount_path), default=None)


def _shown(made: Plan) -> PlanStatus:
    return PlanStatus(
        world_size=made.world_size,
        steps=made.steps,
        mesh=MeshStatus(**made.mesh.model_dump()),
        parameters=ParametersStatus(total=made.parameters.total, active=made.parameters.active),
        digest=made.digest,
    )
