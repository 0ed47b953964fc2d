"""What a job writes down beside its shards: owner, start and end of attempts, outcome, marks. Strict both ways."""

import json
from typing import Any, Literal, TypeVar

from pydantic import Field, JsonValue, ValidationError

from ultrathink_api.base import Section
from ultrathink_api.causes import Cause
from ultrathink_store.layout import UID_PATTERN

MOST_BYTES = 256 << 20
"""A manifest of 10^6 pieces fits; what is larger was not written by us."""
NUMBER_MAX = 10**12 - 1


class Unreadable(ValueError):
    """Bytes that are not the record they should be."""


class CheckpointRef(Section):
    """Names one checkpoint. `uri` is empty in records that lie in the same job's folder, so that it may be moved."""

    uid: str = Field(pattern=UID_PATTERN)
    epoch: int = Field(ge=0, le=NUMBER_MAX)
    step: int = Field(ge=0, le=NUMBER_MAX)
    uri: str = Field(default="", max_length=4096)

    def __str__(self) -> str:
        return self.uri or f"{self.uid}/epoch-{self.epoch}/step-{self.step}"


class Owner(Section):
    """Whose the job's folder is, and whose it was before."""

    uid: str = Field(pattern=UID_PATTERN)
    previous: str | None = Field(default=None, pattern=UID_PATTERN)


class Start(Section):
    """How an attempt began. Taking an epoch is writing this."""

    epoch: int = Field(ge=0, le=NUMBER_MAX)
    parent: CheckpointRef | None = None
    """The checkpoint that it starts from; None: from scratch."""
    cause: Cause | None = None
    """What ended the attempt before."""
    created_at: str = Field(max_length=64)
    token: str = Field(default="", max_length=64)
    """Tells the claimant's own START from an equal one of somebody else; set when the epoch is taken."""
    chaos: dict[str, JsonValue] | None = None
    """Faults already injected on purpose, so that a restart does not inject them again."""
    detail: dict[str, JsonValue] = Field(default_factory=dict)


class End(Section):
    """How an attempt ended."""

    cause: Cause | None = None
    """None: the attempt finished the job."""
    rank: int | None = None
    node: str | None = None
    exit_code: int | None = None
    rung: Literal["ranks", "workers", "cluster"] | None = None
    last_step: int | None = None
    lost_steps: int | None = None
    message: str = ""
    timings: dict[str, float] = Field(default_factory=dict)
    detail: dict[str, JsonValue] = Field(default_factory=dict)
    ended_at: str = Field(max_length=64)


class Outcome(Section):
    """How the job ended: written once."""

    phase: Literal["Succeeded", "Failed"]
    cause: Cause | None = None
    message: str = ""
    step: int = Field(ge=0)
    attempts: int = Field(ge=0)
    checkpoint: CheckpointRef | None = None
    ended_at: str = Field(max_length=64)
    detail: dict[str, JsonValue] = Field(default_factory=dict)


class Quarantined(Section):
    """Why a checkpoint is not to be read again. Lies beside its manifest; nothing is deleted."""

    reason: str
    found_at: str = Field(max_length=64)


class Pinned(Section):
    """Holds on to the checkpoint that it lies beside."""

    pinned_at: str = Field(max_length=64)


class Epoch(Section):
    """One line of the ledger."""

    number: int
    start: Start
    end: End | None = None


Record = TypeVar("Record", bound=Section)


def encode(record: Section) -> bytes:
    """JSON. A number that JSON cannot say is refused here, not written as null."""
    plain = record.model_dump(mode="python", by_alias=True, exclude_none=True)
    try:
        return json.dumps(plain, allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise Unreadable(f"not plain JSON: {error}") from error


def decode(kind: type[Record], data: bytes) -> Record:
    """Reads what `encode` wrote and nothing else: no unknown or doubled name, no wrong type, no NaN."""
    if len(data) > MOST_BYTES:
        raise Unreadable(f"{len(data)} bytes are more than a record can have")
    try:
        json.loads(data, object_pairs_hook=once, parse_constant=no_constant)
        return kind.model_validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Unreadable(f"{where or 'record'}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not JSON: {str(error).splitlines()[0][:200]}") from error


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name is said twice")
    return names


def no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")
