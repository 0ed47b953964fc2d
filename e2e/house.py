"""The operator in a cluster, as a user installs it: images handed over, a bucket, `helm install`, its own account."""

import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
CHART = ROOT / "charts" / "ultrathink"
PREVIOUS = ROOT / "tests" / "testbed" / "previous" / "ultrathink-0.1.0.tgz"
SYSTEM, JOBS, BOUNDED, ELSEWHERE = "utk-e2e-system", "utk-e2e-jobs", "utk-e2e-bounded", "utk-e2e-elsewhere"
WATCHED = (JOBS, BOUNDED)
NAMESPACES = (SYSTEM, *WATCHED, ELSEWHERE)
DEPLOYMENT = f"deployment/{RELEASE}-operator"
SECRET, ABSENT_SECRET = "storage", "absent"
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
    trainer: str
    settings: tuple[str, ...]
    without_api_server: Callable[[], AbstractContextManager[None]] | None

    def install(self, *settings: str) -> None:
        self._change("install", CHART, *self.settings, *settings)

    def install_previous(self) -> None:
        """The chart and the CRDs of the release before, which knows nothing of admission; images are today's."""
        self._change("install", PREVIOUS, *(one for one in self.settings if not one.startswith("admission.")))

    def upgrade(self, *settings: str) -> None:
        self._change("upgrade", CHART, "--reset-then-reuse-values", *settings)

    def rollback(self) -> None:
        self.kubernetes.helm("rollback", RELEASE, "--namespace", SYSTEM)
        self._wait_for_operator()

    def uninstall(self) -> None:
        self.kubernetes.helm("uninstall", RELEASE, "--namespace", SYSTEM, "--ignore-not-found", "--wait")

    def _change(self, verb: str, chart: Path, *settings: str) -> None:
        chosen = [part for one in settings for part in ((one,) if one.startswith("--") else ("--set", one))]
        self.kubernetes.helm(verb, RELEASE, str(chart), "--namespace", SYSTEM, *chosen)
        self._wait_for_operator()

    def _wait_for_operator(self) -> None:
        try:
            self.kubernetes.kubectl("-n", SYSTEM, "rollout", "status", DEPLOYMENT, f"--timeout={ROLLOUT_S}s")
        except Refused:
            say(dump.everything(self.kubernetes, SYSTEM, JOBS))
            raise

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
            settings = tuple(_settings(cluster.s3, bucket, pushed))
            house = House(
                cluster.maker, kubernetes, cluster.s3, bucket, pushed["trainer"], settings, cluster.without_api_server
            )
            house.install()
            say("the chart is installed")
            yield house
        finally:
            _leave(kubernetes)


def _furnish(kubernetes: Kubernetes, s3: ObjectStore) -> None:
    for namespace in NAMESPACES:
        kubernetes.kubectl("create", "namespace", namespace)
        # Neither the operator nor jobs may need more than this standard allows.
        kubernetes.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    keys = (f"AWS_ACCESS_KEY_ID={s3.access_key}", f"AWS_SECRET_ACCESS_KEY={s3.secret_key}")
    literals = [f"--from-literal={key}" for key in keys]
    for namespace in (JOBS, ELSEWHERE):
        kubernetes.kubectl("create", "secret", "generic", SECRET, "-n", namespace, *literals)


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


def _settings(s3: ObjectStore, bucket: str, pushed: dict[str, str]) -> Iterator[str]:
    storage = {
        "uri": f"s3://{bucket}",
        "endpoint": s3.endpoint,
        "region": s3.region,
        "addressing": "path",
        "secretName": SECRET,
    }
    operator, _, tag = pushed["operator"].rpartition(":")
    yield f"watchNamespaces={{{','.join(WATCHED)}}}"
    yield f"images.operator.repository={operator}"
    yield f"images.operator.tag={tag}"
    yield f"runtime.image={pushed['trainer']}"
    yield f"admission.secrets={{{ABSENT_SECRET}}}"
    yield from (f"runtime.storage.{name}={value}" for name, value in storage.items())
    yield from (f"runtime.pods.{name}={value}" for name, value in PODS.items())


def _leave(kubernetes: Kubernetes) -> None:
    """Jobs first, while the operator can still let them go; the CRDs stay, for they may hold somebody else's jobs."""
    if kubernetes.get("crd", "ultrathinkjobs.ultrathink.io"):
        for namespace in NAMESPACES:
            kubernetes.kubectl("delete", "ultrathinkjobs", "--all", "-n", namespace, "--wait=false")

        def left() -> list[tuple[str, str]]:
            return [(ns, job["metadata"]["name"]) for ns in NAMESPACES for job in kubernetes.items("utj", ns)]

        operator_is_there = kubernetes.get(DEPLOYMENT, "-n", SYSTEM) is not None
        if operator_is_there and left():
            wait_for("all jobs to be gone", lambda: not left(), GONE_S, left)
        for namespace, job in left():  # nobody is left to do it
            patch = '{"metadata":{"finalizers":null}}'
            kubernetes.kubectl("patch", "utj", job, "-n", namespace, "--type=merge", f"--patch={patch}")
    if kubernetes.get("namespace", SYSTEM):
        kubernetes.helm("uninstall", RELEASE, "--namespace", SYSTEM, "--ignore-not-found", "--wait")
    kubernetes.kubectl("delete", "namespace", *NAMESPACES, "--ignore-not-found")
