"""What a file would change on a cluster, found by the API server itself in a dry run of the submission."""

import copy
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ultrathink.cluster import jobs
from ultrathink.cluster.connect import Cluster
from ultrathink.cluster.jobs import Raw
from ultrathink_api.effects import effect_of
from ultrathink_api.errors import Problem, Refused

IMMUTABLE = "UTK0125"
COMPARED = (("spec",), ("metadata", "labels"), ("metadata", "annotations"))

_NOTHING: Any = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One field that would be another; None stands for a field that is not there."""

    field: str
    live: Any
    new: Any
    effect: str | None
    """How it takes effect on a job that runs."""

    def dump(self) -> dict[str, Any]:
        """JSON for programs."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Difference:
    """All that would change, and what the cluster would refuse of it."""

    exists: bool
    started: bool
    changes: tuple[Change, ...]
    refused: tuple[Problem, ...] = ()


def difference(cluster: Cluster, raw: Raw) -> Difference:
    """The difference between what is there and what would be. Raises Refused as a submission would."""
    live = jobs.find(cluster, jobs.namespace_of(cluster, raw), raw["metadata"]["name"])
    refused: tuple[Problem, ...] = ()
    try:
        new = jobs.submit(cluster, raw, dry_run=True).raw
    except Refused as error:
        if live is None or any(problem.code != IMMUTABLE for problem in error.problems):
            raise
        new, refused = _over(live, jobs.signed(raw, jobs.submitter(live))), error.problems
    started = bool(((live or {}).get("status") or {}).get("startedAt"))
    return Difference(live is not None, started, tuple(changes(live or {}, new)), refused)


def changes(live: Raw, new: Raw) -> Iterator[Change]:
    """The fields that differ, in the order in which the new object has them; lists change as one."""
    for part in COMPARED:
        yield from _changes(part, _at(live, part), _at(new, part))


def _changes(path: tuple[str, ...], live: Any, new: Any) -> Iterator[Change]:
    if isinstance(live, dict) or isinstance(new, dict):
        before, after = (value if isinstance(value, dict) else {} for value in (live, new))
        for key in dict.fromkeys((*after, *before)):
            yield from _changes((*path, key), before.get(key, _NOTHING), after.get(key, _NOTHING))
    elif live != new:
        yield Change(".".join(path), *(None if v is _NOTHING else v for v in (live, new)), effect_of(path))


def _at(raw: Raw, path: tuple[str, ...]) -> Any:
    for step in path:
        raw = raw.get(step) or {}
    return raw


def _over(live: Raw, raw: Raw) -> Raw:
    """The live object with the file's fields over it: as near as one comes to what an API server refused to show."""
    merged = copy.deepcopy(live)
    for part in COMPARED:
        here = merged
        for step in part[:-1]:
            here = here.setdefault(step, {})
        here[part[-1]] = _merged(_at(live, part), _at(raw, part))
    return merged


def _merged(live: Any, new: Any) -> Any:
    if not isinstance(live, dict) or not isinstance(new, dict):
        return new
    return {**live, **{key: _merged(live.get(key), value) for key, value in new.items()}}
