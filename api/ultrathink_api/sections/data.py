"""spec.data: what the model reads."""

from ultrathink_api.base import Section, setting

MOST_SOURCES = 32
MOST_WEIGHT = 1_000


class MixtureSource(Section):
    """One data set of a mixture."""

    uri: str = setting(
        "Token shards that `utk data prepare` made: s3://bucket/prefix, or file:///folder on this machine. No default.",
        effect="immutable",
        default=...,
        min_length=1,
        max_length=1_024,
    )
    weight: int = setting(
        "Rows of this data set in as many rows as all weights sum to: 7 and 3 give exactly 7 of 10. Default: 1.",
        effect="immutable",
        default=1,
        ge=1,
        le=MOST_WEIGHT,
    )


class DataSpec(Section):
    """What the model reads."""

    uri: str | None = setting(
        "Where tokens come from: token shards below s3://bucket/prefix, or file:///folder on this machine; or "
        "builtin://stories, a small generated corpus. Default: what mixture says; one of the two must be there.",
        effect="immutable",
        min_length=1,
        max_length=1_024,
    )
    mixture: tuple[MixtureSource, ...] = setting(
        "Several data sets of one tokenizer instead of one uri, by weight. Default: none.",
        effect="immutable",
        default=(),
        max_length=MOST_SOURCES,
    )
    sequence_length: int | None = setting(
        "Tokens in a row. Default: the preset's. Memory of activations grows with it.",
        effect="immutable",
        ge=2,
        le=16_777_216,
    )
