"""spec.parallelism: how the model is cut over the ranks."""

from ultrathink_api.base import Section, setting


class ParallelismSpec(Section):
    """How the model is cut over the ranks."""

    data: int | None = setting(
        "Ranks that see different rows; parameters are sharded over them. Default: what the others leave.",
        effect="restart",
        ge=1,
        le=65_536,
    )
    tensor: int = setting(
        "Ranks that share one matrix; divides heads, kvHeads and sequenceLength / context. Default: 1.",
        effect="restart",
        default=1,
        ge=1,
        le=64,
    )
    context: int = setting(
        "Ranks that share a row, each with its part of the positions; twice it divides sequenceLength. Parameters are "
        "sharded over them as over data. For rows too long for one rank; costs an exchange of keys and values a block. "
        "Default: 1.",
        effect="restart",
        default=1,
        ge=1,
        le=1_024,
    )
    expert: int = setting(
        "Ranks that hold different experts, out of those that hold the same layers: divides their number, data x "
        "context x tensor, and the number of experts. Costs two exchanges of tokens a block. Default: 1.",
        effect="restart",
        default=1,
        ge=1,
        le=1_024,
    )
    pipeline: int = setting(
        "Ranks that hold different layers; at most layers. Default: 1.", effect="restart", default=1, ge=1, le=128
    )
