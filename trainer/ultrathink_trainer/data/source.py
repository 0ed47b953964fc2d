"""From a URI to rows, or to a refusal: never to something else than was asked for."""

from typing import Protocol

from ultrathink_api.errors import Refused

from . import stories


class Source(Protocol):
    """An endless, indexed supply of rows; each is length + 1 tokens, so that every position has a label."""

    vocabulary: int
    fingerprint: str

    @property
    def entropy(self) -> float | None:
        """Nats per label that no model can do without, where that is known."""
        ...

    def row(self, index: int) -> list[int]: ...

    def held_out_row(self, index: int) -> list[int]: ...


def open_source(uri: str, *, seed: int, length: int, vocabulary: int) -> Source:
    """The rows that a job reads."""
    if uri != stories.URI:
        raise Refused.of(
            "UTK0201",
            field="spec.data.uri",
            message=f"{uri!r} cannot be read",
            why=f"the only data so far is {stories.URI}",
            fix=f"set data.uri: {stories.URI}",
        )
    source = stories.Stories(seed=seed, length=length)
    if vocabulary < source.vocabulary:
        raise Refused.of(
            "UTK0202",
            field="spec.model.vocabulary",
            message=f"{uri} has {source.vocabulary} token ids, but the model knows {vocabulary}",
            fix=f"set model.vocabulary to at least {source.vocabulary}",
        )
    return source
