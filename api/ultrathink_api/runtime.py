"""UltraThinkRuntime: what a platform admin writes, so that a job need not speak of pods."""

import re
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from ultrathink_api import GROUP_VERSION
from ultrathink_api.base import Section, setting
from ultrathink_api.job import Metadata
from ultrathink_api.sections.workers import QUANTITY, CpuQuantity

KIND: Final = "UltraThinkRuntime"
PLURAL = "ultrathinkruntimes"
MOUNT_PATH = "^/mnt(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+$"
"""One folder for what is not the image's own: no volume can hide a part of it."""
NCCL_NAME = re.compile("(?!NCCL_)[A-Z][A-Z0-9_]{0,63}")


class ClusterSpec(Section):
    """Who keeps a cluster's pods."""

    provider: Literal["native"] = setting(
        "Who keeps the pods: native is Kubernetes' own StatefulSets. Default: native.",
        effect="newCluster",
        default="native",
    )


class StorageSpec(Section):
    """Where jobs of this runtime keep checkpoints when they do not say so themselves."""

    uri: str | None = setting(
        "Bucket and prefix, such as s3://runs; namespace and name of the job are added. Default: none.",
        effect="newCluster",
        max_length=1_024,
    )
    endpoint: str | None = setting(
        "URL of an S3 server that is not AWS. Default: AWS.", effect="newCluster", max_length=1_024
    )
    region: str | None = setting("Region of the bucket. Default: us-east-1.", effect="newCluster", max_length=63)
    addressing: Literal["path", "virtual", "auto"] = setting(
        "How the bucket is named in requests: path, virtual or auto. Default: auto.",
        effect="newCluster",
        default="auto",
    )
    secret_name: str | None = setting(
        "Secret of this namespace with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Default: the pod's identity.",
        effect="newCluster",
        max_length=253,
    )


class TolerationSpec(Section):
    """A taint that the pods may live with."""

    key: str | None = setting("Key of the taint. Default: any.", effect="newCluster", max_length=317)
    operator: Literal["Exists", "Equal"] | None = setting("How value is compared. Default: Equal.", effect="newCluster")
    value: str | None = setting("Value of the taint. Default: empty.", effect="newCluster", max_length=63)
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = setting(
        "Effect of the taint. Default: any.", effect="newCluster"
    )
    toleration_seconds: int | None = setting(
        "Seconds a NoExecute taint is lived with. Default: for ever.", effect="newCluster", ge=0
    )


class VolumeSpec(Section):
    """A volume that the pods of a job share, such as one of NFS, Lustre or a cloud's file service."""

    claim_name: str = setting(
        "PersistentVolumeClaim of this namespace. No default.",
        effect="newCluster",
        default=...,
        min_length=1,
        max_length=253,
    )
    mount_path: str = setting(
        "Where head and workers see it: a folder below /mnt, such as /mnt/corpora. No default.",
        effect="newCluster",
        default=...,
        pattern=MOUNT_PATH,
        max_length=255,
    )
    read_only: bool = setting("Whether jobs may only read it. Default: false.", effect="newCluster", default=False)


class PodsSpec(Section):
    """What one pod may use, and where it may run."""

    cpus: CpuQuantity = setting(
        "CPU of a worker, as a Kubernetes quantity. Default: 1.",
        effect="newCluster",
        default="1",
    )
    memory: str = setting(
        "Memory of a worker, as a Kubernetes quantity. Default: 4Gi.",
        effect="newCluster",
        default="4Gi",
        pattern=QUANTITY,
        max_length=32,
    )
    head_cpus: CpuQuantity = setting(
        "CPU of the head, as a Kubernetes quantity. Default: 500m.",
        effect="newCluster",
        default="500m",
    )
    head_memory: str = setting(
        "Memory of the head, as a Kubernetes quantity. Default: 4Gi.",
        effect="newCluster",
        default="4Gi",
        pattern=QUANTITY,
        max_length=32,
    )
    gpu_resource: str = setting(
        "Name of the GPU resource. Default: nvidia.com/gpu.",
        effect="newCluster",
        default="nvidia.com/gpu",
        max_length=317,
    )
    shm: str = setting(
        "Size of /dev/shm, where Ray keeps objects and NCCL its buffers. Default: 512Mi.",
        effect="newCluster",
        default="512Mi",
        pattern=QUANTITY,
        max_length=32,
    )
    node_selector: dict[str, str] = setting(
        "Labels that a node must bear. Default: none.", effect="newCluster", default=dict, max_length=32
    )
    tolerations: tuple[TolerationSpec, ...] = setting(
        "Taints that the pods live with, beside the operator's own. Default: none.",
        effect="newCluster",
        default=(),
        max_length=32,
    )
    volumes: tuple[VolumeSpec, ...] = setting(
        "Volumes that all pods of a job share: file:// data and checkpoints may lie there. Default: none.",
        effect="newCluster",
        default=(),
        max_length=16,
    )
    devices: dict[str, Annotated[int, Field(ge=1, le=1_024)]] = setting(
        "Other devices that a worker gets, by the name of their resource, such as rdma/hca: 8. Default: none.",
        effect="newCluster",
        default=dict,
        max_length=8,
    )
    nccl: dict[str, str] = setting(
        "Settings of NCCL, without NCCL_ before the name, such as IB_HCA: mlx5. Default: NCCL's own.",
        effect="newCluster",
        default=dict,
        max_length=32,
    )

    @model_validator(mode="after")
    def _no_pod_is_refused_for_them(self) -> Self:
        paths = [volume.mount_path for volume in self.volumes]
        if len(set(paths)) < len(paths):
            raise ValueError("two of volumes have the same mountPath")
        unfit = [name for name in self.nccl if not NCCL_NAME.fullmatch(name)]
        if unfit:
            raise ValueError(f"nccl.{unfit[0]}: write the name as NCCL does, without NCCL_, such as SOCKET_IFNAME")
        return self


class RuntimeSpec(Section):
    """Image, account, storage and place of the pods that jobs get."""

    image: str | None = setting(
        "Image of the trainer. Default: the operator's.", effect="newCluster", min_length=1, max_length=1_024
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = setting(
        "When the image is pulled. Default: IfNotPresent.", effect="newCluster", default="IfNotPresent"
    )
    service_account_name: str | None = setting(
        "Account of the pods; no token of it is mounted. Default: the namespace's default.",
        effect="newCluster",
        max_length=253,
    )
    cluster: ClusterSpec = setting(
        "Who keeps a cluster's pods. Default: native.", effect="newCluster", default=ClusterSpec
    )
    identity: Literal["gke", "eks", "none"] = setting(
        "Whose workload identity pods use: gke, eks or none. Decides which link-local addresses they reach. "
        "Default: none.",
        effect="newCluster",
        default="none",
    )
    storage: StorageSpec = setting(
        "Where jobs keep checkpoints. Default: what the job says.", effect="newCluster", default=StorageSpec
    )
    pods: PodsSpec = setting("What one pod may use. Default: see its fields.", effect="newCluster", default=PodsSpec)


class UltraThinkRuntime(Section):
    """What a platform admin gives to jobs."""

    api_version: Literal["ultrathink.io/v1alpha1"] = Field(default=GROUP_VERSION, description="Version of the API.")
    kind: Literal["UltraThinkRuntime"] = Field(default=KIND, description="Kind of the object.")
    metadata: Metadata = Field(description="Name and identity.")
    spec: RuntimeSpec = Field(description="What jobs get.")
