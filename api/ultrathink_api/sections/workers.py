"""spec.workers: how many ranks the job gets and what each worker may use."""

from typing import Annotated

from pydantic import Field

from ultrathink_api.base import Section, setting

QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"

SOME = r"^(0*[1-9][0-9]*(\.[0-9]+)?|0+\.0*[1-9][0-9]*)(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"
"""A quantity above zero."""

MOST_CORES = 1_000_000
"""No machine has as many; a number too large for 64 bits the API server would not even take for one."""

CpuQuantity = Annotated[str, Field(pattern=SOME, max_length=32)] | Annotated[int, Field(ge=1, le=MOST_CORES)]
"""Cores, as people write them: 2, "2" or 500m; without any, nothing runs."""


class WorkersSpec(Section):
    """How many ranks the job gets. World size is count x max(gpus, 1)."""

    count: int = setting(
        "Number of workers; each is one pod. No default.", effect="newCluster", default=..., ge=1, le=4_096
    )
    gpus: int = setting(
        "GPUs of one worker, one rank each; 0 means one rank on CPU. Default: 0.",
        effect="newCluster",
        default=0,
        ge=0,
        le=16,
    )
    cpus: CpuQuantity | None = setting(
        "CPU of one worker, as a Kubernetes quantity. Default: the runtime's.", effect="newCluster"
    )
    memory: str | None = setting(
        "Memory of one worker, as a Kubernetes quantity. Default: the runtime's.",
        effect="newCluster",
        pattern=QUANTITY,
        max_length=32,
    )
