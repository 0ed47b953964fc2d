"""spec.data: what the model reads."""

from ultrathink_api.base import Section, setting


class DataSpec(Section):
    """What the model reads."""

    uri: str = setting(
        "Where tokens come from: builtin://stories, a small generated corpus. No default.",
        effect="immutable",
        default=...,
        min_length=1,
        max_length=1_024,
    )
    sequence_length: int | None = setting(
        "Tokens in a row. Default: the preset's. Memory of activations grows with it.",
        effect="immutable",
        ge=2,
        le=16_777_216,
    )
