"""The closed list of causes: the one classified reason of a failure."""

from enum import StrEnum


class Cause(StrEnum):
    """Why an attempt ended before the job did."""

    RANK_LOST = "RankLost"
    WORKER_LOST = "WorkerLost"
    DRIVER_LOST = "DriverLost"
    HEAD_LOST = "HeadLost"
    CLUSTER_LOST = "ClusterLost"
    NODE_LOST = "NodeLost"
    OUT_OF_MEMORY = "OutOfMemory"
    HANG = "Hang"
    NAN = "NaN"
    DIVERGED = "Diverged"
    PREEMPTED = "Preempted"
    DRAINED = "Drained"
    SUSPENDED = "Suspended"
    SPEC_CHANGED = "SpecChanged"
    STORE_ERROR = "StoreError"
    DATA_ERROR = "DataError"
    USER_ERROR = "UserError"
    NO_PROGRESS = "NoProgress"
    INTERNAL = "Internal"


FREE_CAUSES = frozenset({Cause.PREEMPTED, Cause.DRAINED, Cause.SUSPENDED, Cause.SPEC_CHANGED})
"""Causes that are nobody's failure: they do not spend the restart budget."""

USER_ERROR_EXIT_CODE = 64
"""A rank that ends with it says that the job itself is wrong: never retried."""
