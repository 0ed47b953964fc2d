"""spec.data: what the model reads."""

from ultrathink_api.base import Section, setting
from ultrathink_api.sections.training import MAX_STEPS

MOST_SOURCES = 32
MOST_WEIGHT = 1_000
MOST_STAGES = 16


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


class CurriculumStage(Section):
    """Other weights of the mixture from a step on."""

    from_step: int = setting(
        "The first optimizer step that reads by these weights, another one for each stage. No default.",
        effect="immutable",
        default=...,
        ge=2,
        le=MAX_STEPS,
    )
    weights: tuple[int, ...] = setting(
        "A weight for each data set of the mixture, in its order; 0 leaves one out, not all. No default.",
        effect="immutable",
        default=...,
        min_length=1,
        max_length=MOST_SOURCES,
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
    curriculum: tuple[CurriculumStage, ...] = setting(
        "Other weights of the mixture from given steps on. Rows of each data set go on where they were. Default: none.",
        effect="immutable",
        default=(),
        max_length=MOST_STAGES,
    )
    fingerprint: str | None = setting(
        "What the data must be, as a checkpoint names them and `utk reproduce` writes it: tokens, weights, row length "
        "and seed. Other data are refused. Default: whatever is there.",
        effect="immutable",
        pattern="^[0-9a-f]{16}$",
        max_length=16,
    )
    sequence_length: int | None = setting(
        "Tokens in a row. Default: the preset's. Memory of activations grows with it.",
        effect="immutable",
        ge=2,
        le=16_777_216,
    )
