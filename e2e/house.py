"""The operator in a cluster, as a user installs it: images handed over, a bucket, `helm install`, its own account."""

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e import dump
from e2e.kubernetes import Kubernetes, Refused
from e2e.waiting import say, wait_for

from testbed.makers import Cluster, ObjectStore

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "images"))

import build as images  # noqa: E402 (a script, not a package: the path above is what makes it importable)

RELEASE = "ultrathink"
SYSTEM, JOBS, ELSEWHERE = "utk-e2e-system", "utk-e2e-jobs", "utk-e2e-elsewhere"
NAMESPACES = (SYSTEM, JOBS, ELSEWHERE)
DEPLOYMENT = f"deployment/{RELEASE}-operator"
SECRET = "storage"
PODS = {"cpus": "300m", "headCpus": "200m", "memory": "3Gi", "headMemory": "3Gi"}
"""What fits twice into a node of two cores; they may use more than they ask for."""
GONE_S = 180.0
ROLLOUT_S = 180


@dataclass(frozen=True)
class House:
    """A cluster in which the operator runs."""

    maker: str
    kubernetes: Kubernetes
    s3: ObjectStore
    bucket: str

    def storage_environment(self) -> dict[str, str]:
        """What a person exports who reads checkpoints from a shell."""
        return {
            "AWS_ENDPOINT_URL": self.s3.endpoint,
            "AWS_REGION": self.s3.region,
            "AWS_ACCESS_KEY_ID": self.s3.access_key,
            "AWS_SECRET_ACCESS_KEY": self.s3.secret_key,
        }


@contextmanager
def in_cluster(cluster: Cluster) -> Iterator[House]:
    kubernetes = Kubernetes(cluster.kubeconfig)
    pushed = {name: _hand_over(cluster, name) for name in images.IMAGES}
    _leave(kubernetes)  # what a session that was killed has left
    with _bucket(cluster.s3) as bucket:
        try:
            _furnish(kubernetes, cluster.s3)
            _install(kubernetes, cluster.s3, bucket, pushed)
            yield House(cluster.maker, kubernetes, cluster.s3, bucket)
        finally:
            _leave(kubernetes)


def _furnish(kubernetes: Kubernetes, s3: ObjectStore) -> None:
    for namespace in NAMESPACES:
        kubernetes.kubectl("create", "namespace", namespace)
    for namespace in (SYSTEM, JOBS):  # neither the operator nor jobs may need more than this standard allows
        kubernetes.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    keys = (f"AWS_ACCESS_KEY_ID={s3.access_key}", f"AWS_SECRET_ACCESS_KEY={s3.secret_key}")
    literals = [f"--from-literal={key}" for key in keys]
    kubernetes.kubectl("create", "secret", "generic", SECRET, "-n", JOBS, *literals)


def _hand_over(cluster: Cluster, name: str) -> str:
    ref = images.build(cluster.build, name, images.tag(name))
    say(f"handing {ref} to the cluster")
    return cluster.hand_over(ref)


@contextmanager
def _bucket(s3: ObjectStore) -> Iterator[str]:
    """A fresh one, for a job is refused over checkpoints that another job of its name has left."""
    import boto3
    from botocore.config import Config

    client = boto3.resource(
        "s3",
        endpoint_url=s3.endpoint,
        region_name=s3.region,
        aws_access_key_id=s3.access_key,
        aws_secret_access_key=s3.secret_key,
        config=Config(s3={"addressing_style": "path"}),
    )
    bucket = client.create_bucket(Bucket=f"utk-e2e-{uuid.uuid4().hex[:12]}")
    try:
        yield bucket.name
    finally:
        bucket.objects.all().delete()
        bucket.delete()


def _install(kubernetes: Kubernetes, s3: ObjectStore, bucket: str, pushed: dict[str, str]) -> None:
    storage = {
        "uri": f"s3://{bucket}",
        "endpoint": s3.endpoint,
        "region": s3.region,
        "addressing": "path",
        "secretName": SECRET,
    }
    operator, _, tag = pushed["operator"].rpartition(":")
    settings = [
        f"watchNamespaces={{{JOBS}}}",
        f"images.operator.repository={operator}",
        f"images.operator.tag={tag}",
        f"runtime.image={pushed['trainer']}",
        *(f"runtime.storage.{name}={value}" for name, value in storage.items()),
        *(f"runtime.pods.{name}={value}" for name, value in PODS.items()),
    ]
    chosen = [part for setting in settings for part in ("--set", setting)]
    kubernetes.helm("install", RELEASE, str(ROOT / "charts" / "ultrathink"), "--namespace", SYSTEM, *chosen)
    say("the chart is installed")
    try:
        kubernetes.kubectl("-n", SYSTEM, "rollout", "status", DEPLOYMENT, f"--timeout={ROLLOUT_S}s")
    except Refused:
        say(dump.everything(kubernetes, SYSTEM, JOBS))
        raise


def _leave(kubernetes: Kubernetes) -> None:
    """Jobs first, while the operator can still let them go; the CRDs stay, for they may hold somebody else's jobs."""
    if kubernetes.get("crd", "ultrathinkjobs.ultrathink.io"):
        for namespace in NAMESPACES:
            kubernetes.kubectl("delete", "ultrathinkjobs", "--all", "-n", namespace, "--wait=false")
        operator_is_there = kubernetes.get(DEPLOYMENT, "-n", SYSTEM) is not None
        if operator_is_there and kubernetes.items("ultrathinkjobs", JOBS):
            wait_for("all jobs to be gone", lambda: not kubernetes.items("ultrathinkjobs", JOBS), GONE_S)
        for job in kubernetes.items("ultrathinkjobs", JOBS):  # nobody is left to do it
            patch = '{"metadata":{"finalizers":null}}'
            kubernetes.kubectl("patch", "utj", job["metadata"]["name"], "-n", JOBS, "--type=merge", f"--patch={patch}")
    if kubernetes.get("namespace", SYSTEM):
        kubernetes.helm("uninstall", RELEASE, "--namespace", SYSTEM, "--ignore-not-found", "--wait")
    kubernetes.kubectl("delete", "namespace", *NAMESPACES, "--ignore-not-found")
