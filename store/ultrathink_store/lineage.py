"""What an attempt was made from, as its START says: enough to write the same job again, and to see what differs."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, Field, JsonValue, ValidationError
from pydantic.alias_generators import to_camel

from ultrathink_api.base import Section
from ultrathink_store.records import Start, Unreadable

LINEAGE = "lineage"
"""In START's detail, where readers that do not know it pass it by. A START is never written twice, so neither is it."""


class Lineage(Section):
    """Beside START's own parent checkpoint: spec, plan, image and software. A later version may say more."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True, populate_by_name=True)

    spec: dict[str, JsonValue]
    """With every default said, so that another version's defaults change nothing."""
    spec_digest: str = Field(pattern="^[0-9a-f]{64}$")
    """SHA-256 of the spec as JSON with sorted names."""
    plan_digest: str = Field(max_length=64)
    image: str = Field(default="", max_length=1024)
    """As the operator named it to the pod; empty on a laptop."""
    generation: int = Field(default=0, ge=0)
    cluster: int = Field(default=0, ge=0)
    submitter: str = Field(default="", max_length=1024)
    """Who made the job, where the cluster vouches for it."""
    versions: dict[str, str] = Field(default_factory=dict)


def digest(spec: Mapping[str, Any]) -> str:
    """Equal specs have equal digests, wherever they are written."""
    return hashlib.sha256(json.dumps(spec, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def lineage(start: Start) -> Lineage | None:
    """What a START says; None for one of a version that said nothing. Raises `Unreadable`."""
    said = start.detail.get(LINEAGE)
    if said is None:
        return None
    try:
        found = Lineage.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Unreadable(f"{'.'.join(map(str, first['loc'])) or LINEAGE}: {first['msg']}") from error
    if digest(found.spec) != found.spec_digest:
        raise Unreadable("its spec is not the one that its digest is of")
    return found


def without_lineage(start: Start) -> Start:
    """The same for who trains by it: lineage is for whoever asks later."""
    return start.model_copy(update={"detail": {key: said for key, said in start.detail.items() if key != LINEAGE}})
