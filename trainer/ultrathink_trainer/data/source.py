"""From URIs to rows, or to a refusal: never to something else than was asked for."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ultrathink_api.errors import Refused
from ultrathink_planner.plan import DataSource, DataStage

from . import stories
from .rows import Source
from .tokens import Access, Part, TokenRows, refuse_small_vocabulary

SCHEMES = ("file://", "s3://")


def default_access() -> Access:
    """By the environment's own credentials, with a cache of this user."""
    return Access(Path(tempfile.gettempdir()) / f"ultrathink-{os.getuid()}" / "data")


def open_source(
    sources: Sequence[DataSource],
    *,
    seed: int,
    length: int,
    vocabulary: int,
    access: Access | None = None,
    curriculum: Sequence[DataStage] | None = None,
    fingerprint: str | None = None,
) -> Source:
    """The rows that a job reads, and no others than `fingerprint` is of."""
    parts = [Part(source.uri, source.weight, _field(sources, number)) for number, source in enumerate(sources)]
    source: Source
    if [part.uri for part in parts] == [stories.URI]:
        source = stories.Stories(seed=seed, length=length)
    else:
        for part in parts:
            _refuse_unknown(part)
        changes = [(stage.first_row, stage.weights) for stage in curriculum or ()]
        source = TokenRows(parts, seed=seed, length=length, access=access or default_access(), changes=changes)
    refuse_small_vocabulary(parts, source.vocabulary, vocabulary)
    if fingerprint not in (None, source.fingerprint):
        raise Refused.of(
            "UTK0230",
            field="spec.data.fingerprint",
            message=f"the job is for data {fingerprint}, and these are {source.fingerprint}",
            fix="bring the data back as they were, or leave data.fingerprint out and train on what is there",
            why="other tokens, weights, sequenceLength or training.seed give other rows",
        )
    return source


def _field(sources: Sequence[DataSource], number: int) -> str:
    return "spec.data.uri" if len(sources) == 1 else f"spec.data.mixture[{number}].uri"


def _refuse_unknown(part: Part) -> None:
    if not part.uri.startswith(SCHEMES):
        raise Refused.of(
            "UTK0201",
            field=part.field,
            message=f"{part.uri!r} cannot be read",
            why=f"data are {stories.URI}, alone, or token shards below file:// and s3://",
            fix="prepare token shards with `utk data prepare`, and name their folder or prefix",
        )
