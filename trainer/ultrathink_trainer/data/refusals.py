"""Why data are refused, in one place and one tone."""

from collections.abc import Iterator
from contextlib import contextmanager

from ultrathink_api.errors import Refused

FIELD = "spec.data.uri"


def no_index(uri: str, field: str, why: str) -> Refused:
    return Refused.of(
        "UTK0211",
        field=field,
        message=f"{uri} is no data set: {why}",
        fix="name a folder that `utk data prepare` has finished",
    )


def unfit_shard(uri: str, field: str, why: str) -> Refused:
    return Refused.of(
        "UTK0212",
        field=field,
        message=f"{uri} cannot be read: {why}",
        fix="restore that file from a copy, or prepare the data again; `utk data check` names every damaged shard",
        why="a job never goes on with other data than it was given",
    )


def other_tokenizer(message: str, field: str) -> Refused:
    return Refused.of(
        "UTK0213",
        field=field,
        message=message,
        fix="prepare all data with one tokenizer, the one that the model is for",
    )


def too_small(uri: str, field: str, split: str, tokens: int, length: int) -> Refused:
    return Refused.of(
        "UTK0215",
        field=field,
        message=f"{uri} has {tokens} tokens in its {split} part, and one row takes {length + 1}",
        fix="lower data.sequenceLength, or prepare more data or another share with --held-out",
    )


def too_few_ids(message: str, needed: int) -> Refused:
    return Refused.of(
        "UTK0202",
        field="spec.model.vocabulary",
        message=message,
        fix=f"set model.vocabulary to at least {needed}",
    )


@contextmanager
def about_data(field: str) -> Iterator[None]:
    """Refusals of the store speak of checkpoints unless they are told otherwise."""
    try:
        yield
    except Refused as refused:
        problem = refused.problem
        if problem.code[:5] != "UTK03" and problem.code != "UTK0123":
            raise
        raise Refused.of(
            problem.code, field=field, message=problem.message, fix=problem.fix, why=problem.why
        ) from refused
