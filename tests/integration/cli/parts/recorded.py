"""A job's folder as a supervisor leaves it that begins attempts and writes down what they are made from."""

from typing import Any

from integration.store import saving
from ultrathink import Job
from ultrathink_api.protocol import RunConfig, Storage
from ultrathink_store import JobStore, Start
from ultrathink_store.lineage import LINEAGE
from ultrathink_trainer.supervisor.lineage import lineage_of

SPEC: dict[str, Any] = {
    "model": {"preset": "moe-tiny", "layers": 2},
    "data": {"uri": "builtin://stories", "sequenceLength": 32},
    "training": {"steps": 24, "globalBatchTokens": 256},
    "workers": {"count": 2},
}


def recorded(spec: dict[str, Any], *, image: str = "", **changed: str) -> dict[str, Any]:
    """What a supervisor writes of a job with that spec."""
    raw = {"apiVersion": "ultrathink.io/v1alpha1", "kind": "UltraThinkJob", "metadata": {"name": "t"}, "spec": spec}
    job = Job.from_dict(raw)
    config = RunConfig(
        job="tiny",
        uid="u",
        nodes=1,
        ranks_per_node=1,
        head="here",
        storage=Storage(uri="file:///x"),
        spec=job.spec,
        plan=job.plan().dump(),
        image=image,
    )
    return {LINEAGE: {**lineage_of(config).dump(), **changed}}


def begin(job: JobStore, detail: dict[str, Any], resume: str | None = None) -> int:
    claim = job.claim(resume)
    job.take_epoch(claim.epoch, Start(epoch=claim.epoch, parent=claim.parent, created_at=saving.CREATED, detail=detail))
    return claim.epoch
