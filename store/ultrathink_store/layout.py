"""Where everything lies below a job's prefix: the only place that makes or reads names of objects."""

import re
from dataclasses import dataclass

OWNER = "OWNER"
START = "START.json"
END = "END.json"
MANIFEST = "MANIFEST.json"
QUARANTINED = "QUARANTINED.json"
PINNED = "PINNED.json"
LATEST = "LATEST"
OUTCOME = "OUTCOME.json"
STACKS = "STACKS.json"
"""Where the ranks of an attempt stood when it hung."""

_UID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_NUMBER = r"(0|[1-9][0-9]{0,11})"
_EPOCH = re.compile(rf"epoch-{_NUMBER}")
_STEP = re.compile(rf"step-{_NUMBER}")
_CHECKPOINT_URI = re.compile(rf"(.+)/({_UID.pattern})/epoch-{_NUMBER}/step-{_NUMBER}/?")
SHARD = re.compile(r"shard-(?:0|[1-9][0-9]{0,6})\.safetensors")
SHARD_PATTERN = f"^{SHARD.pattern}$"
UID_PATTERN = f"^{_UID.pattern}$"


@dataclass(frozen=True, slots=True)
class Address:
    """A checkpoint's URI, taken apart."""

    prefix: str
    uid: str
    epoch: int
    step: int


def job_uri(base: str, namespace: str | None, name: str) -> str:
    """A job's prefix: `checkpoint.uri`, then namespace (none locally) and name. Names that could climb are refused."""
    parts = [name] if namespace is None else [namespace, name]
    for part in parts:
        if not _NAME.fullmatch(part) or ".." in part:
            raise ValueError(f"{part!r} is not a name of Kubernetes, so no folder can be named after it")
    return "/".join([base.rstrip("/"), *parts])


def is_uid(text: str) -> bool:
    return _UID.fullmatch(text) is not None


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None and ".." not in text


def epoch_folder(uid: str, epoch: int) -> str:
    assert is_uid(uid) and epoch >= 0
    return f"{uid}/epoch-{epoch}"


def step_folder(uid: str, epoch: int, step: int) -> str:
    assert step >= 0
    return f"{epoch_folder(uid, epoch)}/step-{step}"


def shard_name(rank: int) -> str:
    assert rank >= 0
    return f"shard-{rank}.safetensors"


def epoch_number(folder: str) -> int | None:
    """The number in a folder's name; None for a folder that is not ours."""
    found = _EPOCH.fullmatch(folder)
    return int(found[1]) if found else None


def step_number(folder: str) -> int | None:
    found = _STEP.fullmatch(folder)
    return int(found[1]) if found else None


def address(uri: str) -> Address | None:
    """What a checkpoint's URI says; None for any other URI."""
    found = _CHECKPOINT_URI.fullmatch(uri)
    return Address(found[1], found[2], int(found[3]), int(found[4])) if found else None
