"""What the attempts of this supervisor are made from, for their STARTs."""

import platform
from importlib import metadata

from ultrathink_api.protocol import RunConfig
from ultrathink_store.lineage import Lineage, digest

SOFTWARE = ("ultrathink", "torch", "ray")


def lineage_of(config: RunConfig) -> Lineage:
    """All that it needs is in job.json and on the disk: nothing is imported, nobody is asked."""
    spec = config.spec.dump()
    return Lineage(
        spec=spec,
        spec_digest=digest(spec),
        plan_digest=str(config.plan.get("digest", "")),
        image=config.image,
        generation=config.generation,
        cluster=0 if config.local else config.cluster,
        submitter=config.submitter,
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in SOFTWARE:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
