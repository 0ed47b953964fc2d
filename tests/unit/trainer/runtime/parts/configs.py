"""What supervisor and agents know when they start."""

from ultrathink_api.protocol import RunConfig, Storage

SPEC = {
    "model": {"preset": "moe-tiny"},
    "data": {"uri": "builtin://stories"},
    "training": {"steps": 20},
    "workers": {"count": 2},
}


def config(uri: str = "file:///nowhere") -> RunConfig:
    """One node of two ranks."""
    return RunConfig(
        job="tiny",
        uid="u",
        nodes=1,
        ranks_per_node=2,
        head="127.0.0.1",
        storage=Storage(uri=uri),
        spec=SPEC,
        plan={"steps": 20},
    )
