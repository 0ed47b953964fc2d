"""What a renderer gets: one job, its plan and its runtime, resolved; and what all renderers share."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ultrathink_api import GROUP_VERSION, names
from ultrathink_api.job import KIND, JobSpec
from ultrathink_api.runtime import RuntimeSpec
from ultrathink_operator.observe import WORKERS_ANNOTATION, House
from ultrathink_planner import Plan

RENDERER = "1"
"""Version of this folder: a cluster bears it, and is never touched by another version's idea of it."""

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Order:
    """One cluster to be rendered."""

    job: str
    namespace: str
    uid: str
    generation: int
    number: int
    spec: JobSpec
    plan: Plan
    runtime: RuntimeSpec
    house: House
    submitter: str = ""
    """Who made the job, where the cluster vouches for it; nothing that a cluster is rendered from."""

    @property
    def cluster(self) -> str:
        return names.cluster(self.job, self.number)

    @property
    def workers(self) -> int:
        """Worker pods. A job of one worker has none: its head trains, and no second pod is paid for."""
        return self.spec.workers.count if self.spec.workers.count > 1 else 0

    @property
    def pods(self) -> int:
        return self.workers + 1

    def labels(self, role: str | None = None) -> dict[str, str]:
        return names.labels(self.job, self.uid, self.number, role)

    def selector(self, role: str | None = None) -> dict[str, str]:
        """The labels that tell this cluster's pods from every other's."""
        chosen = {names.JOB_UID_LABEL, names.CLUSTER_LABEL} | ({names.ROLE_LABEL} if role else set())
        return {key: value for key, value in self.labels(role).items() if key in chosen}

    def metadata(self, name: str, role: str | None = None) -> Manifest:
        """Name, labels and owner. A garbage collection of the job takes everything with it and waits for nothing."""
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": self.labels(role),
            "annotations": {
                names.RENDERER_ANNOTATION: RENDERER,
                names.DIGEST_ANNOTATION: self.digest,
                WORKERS_ANNOTATION: str(self.workers),
            },
            "ownerReferences": [owner_reference(self.job, self.uid)],
        }

    @property
    def digest(self) -> str:
        """Fingerprint of all that this cluster is rendered from."""
        return fingerprint({"spec": self.spec.dump(), "runtime": self.runtime.dump(), "plan": self.plan.digest})


def owner_reference(job: str, uid: str) -> Manifest:
    return {
        "apiVersion": GROUP_VERSION,
        "kind": KIND,
        "name": job,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def fingerprint(value: Mapping[str, Any]) -> str:
    """Short and stable: equal values have equal fingerprints in every process."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]
