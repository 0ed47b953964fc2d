"""Job: one training run, from its text to its end, on this machine or on a cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

from ultrathink import source as sources
from ultrathink.models import given
from ultrathink_api.errors import Problem, Refused
from ultrathink_api.job import JobSpec, UltraThinkJob
from ultrathink_api.loading import dump
from ultrathink_api.status import TERMINAL, JobStatus, Phase
from ultrathink_api.validate import check
from ultrathink_planner import Accelerator, Plan, Remedy
from ultrathink_planner import plan as make_plan
from ultrathink_planner import remedies as find_remedies

if TYPE_CHECKING:
    from ultrathink.cluster.connect import Cluster
    from ultrathink.cluster.jobs import Submitted
    from ultrathink.local import OnEvent


class Job:
    """A job as it was written (from_file, from_text, from_dict), or as a cluster holds it (get, list)."""

    def __init__(self, source: sources.Source, cluster: Cluster | None = None) -> None:
        self.source = source
        self._cluster = cluster

    @classmethod
    def from_file(cls, path: str, sets: Sequence[str] = (), *, nproc: int = 0) -> Job:
        """The job in a YAML file; `-` reads stdin; each of `sets` is a `path=value`; `nproc` workers without GPUs."""
        source = sources.with_sets(sources.read(str(path)), sets)
        if nproc:
            source = source.set("workers.count", nproc, f"--nproc {nproc}").set("workers.gpus", 0, f"--nproc {nproc}")
        return cls(source)

    @classmethod
    def from_text(cls, text: str, name: str = "<text>") -> Job:
        """The job in a YAML text."""
        return cls(sources.parse(text, name))

    @classmethod
    def from_dict(cls, value: dict[str, Any], cluster: Cluster | None = None) -> Job:
        """The job in an object."""
        return cls(sources.parse(dump(value), "<object>"), cluster)

    @classmethod
    def get(cls, name: str, cluster: Cluster | None = None) -> Job:
        """The job of that name on a cluster (the one that kubectl would speak to). Raises Refused UTK0507."""
        from ultrathink.cluster import connect, jobs

        cluster = cluster or connect.connect()
        return cls.from_dict(jobs.get(cluster, name), cluster)

    @classmethod
    def list(cls, cluster: Cluster | None = None, *, selector: str = "", everywhere: bool = False) -> tuple[Job, ...]:
        """The jobs of the cluster's namespace, or of all."""
        from ultrathink.cluster import connect, jobs

        cluster = cluster or connect.connect()
        found = jobs.all_of(cluster, selector=selector, everywhere=everywhere)
        return tuple(cls.from_dict(item, cluster) for item in found)

    def set(self, path: str, value: Any) -> Job:
        """The same job with one field changed; paths start below `spec`."""
        return Job(self.source.set(path, value), self._cluster)

    def with_steps(self, steps: int, said: str) -> Job:
        """The same job with so many steps, whether it said steps or tokens."""
        source = self.source.set("training.steps", steps, said)
        training = (self.raw.get("spec") or {}).get("training")
        if isinstance(training, dict) and "tokens" in training:
            source = source.set("training.tokens", None, said)
        return Job(source, self._cluster)

    @property
    def raw(self) -> dict[str, Any]:
        """The object as it is written."""
        return self.source.document.value

    @property
    def name(self) -> str:
        """Its name; empty if it has none."""
        metadata = self.raw.get("metadata")
        return str(metadata.get("name") or "") if isinstance(metadata, dict) else ""

    @property
    def object(self) -> UltraThinkJob:
        """The checked object. Raises Refused with all that is wrong with it."""
        job, problems = check(self.raw)
        if job is None:
            raise sources.Located(self.source, *problems)
        return job

    @property
    def spec(self) -> JobSpec:
        """What is asked for, checked."""
        return self.object.spec

    @property
    def status(self) -> JobStatus:
        """What the operator saw and did, as of the last get()."""
        return JobStatus.model_validate(self.raw.get("status") or {})

    @property
    def phase(self) -> Phase | None:
        """Where the job is."""
        return self.status.phase

    @property
    def ended(self) -> bool:
        """Whether it succeeded or failed."""
        return self.phase in TERMINAL

    def validate(self) -> tuple[Problem, ...]:
        """Everything that is wrong with the job, without a cluster; empty if nothing is."""
        job, problems = check(self.raw)
        if job is None:
            return tuple(problems)
        try:
            make_plan(job.spec, given(job.spec.model))
        except Refused as refused:
            return refused.problems
        return ()

    def located(self, problems: Sequence[Problem]) -> Refused:
        """A refusal that knows this job's text."""
        return sources.Located(self.source, *problems)

    def plan(self, *, on_cluster: bool = False) -> Plan:
        """What the planner makes of it, here or on a cluster, which sees no folder of this machine. Raises Refused
        with all that is wrong."""
        spec = self.spec
        try:
            return make_plan(spec, None if on_cluster else given(spec.model))
        except Refused as refused:
            raise sources.Located(self.source, *refused.problems) from None

    def remedies(self, accelerator: Accelerator) -> Sequence[Remedy]:
        """What would make it fit a device that it does not fit, the mildest change of each field; or several
        together."""
        return find_remedies(self.spec, accelerator, given(self.spec.model))

    def run_local(
        self,
        on_event: OnEvent = lambda event: None,
        *,
        chaos: Sequence[str] = (),
        resume: str | None = None,
        on_stop: Callable[[], None] = lambda: None,
        log: IO[bytes] | None = None,
    ) -> dict[str, Any]:
        """Trains on this machine, hands on each event, and returns the last one, the summary."""
        from ultrathink import local

        return local.run(
            self.object, self.plan(), chaos=chaos, resume=resume, on_event=on_event, on_stop=on_stop, log=log
        )

    def submit(self, cluster: Cluster | None = None, *, dry_run: bool = False) -> Submitted:
        """Writes the job to a cluster; again and again if need be, only differences change anything."""
        from ultrathink.cluster import connect, jobs

        return jobs.submit(cluster or connect.connect(), self.raw, dry_run=dry_run)

    def refresh(self) -> Job:
        """The job as the cluster holds it now."""
        return Job.get(self.name, self._home())

    def wait(self, goal: str = "Succeeded", timeout: float | None = None) -> Job:
        """The job once it has come so far (Running, Succeeded, step=N, checkpoint), or has failed before."""
        from ultrathink.cluster import jobs, waiting

        wanted, home = waiting.goal(goal), self._home()
        for raw in jobs.watch(home, self.name, timeout):
            if wanted.verdict(raw) is not waiting.Verdict.NOT_YET:
                break
        return Job.from_dict(raw, home)

    def delete(self) -> None:
        """Ends the job and removes it from the cluster; its checkpoints stay."""
        from ultrathink.cluster import jobs

        jobs.delete(self._home(), self.name, uid=self.raw["metadata"].get("uid"))

    def logs(self, *, follow: bool = False) -> Iterator[str]:
        """Lines of the head's log; with follow until the job has ended."""
        from ultrathink.cluster import logs

        for piece in logs.stream(self._home(), self.name, follow=follow):
            if isinstance(piece, logs.Line):
                yield piece.text

    def _home(self) -> Cluster:
        """The cluster, aimed at the job's own namespace."""
        from ultrathink.cluster import connect, jobs

        cluster = self._cluster or connect.connect()
        return dataclasses.replace(cluster, namespace=jobs.namespace_of(cluster, self.raw))
