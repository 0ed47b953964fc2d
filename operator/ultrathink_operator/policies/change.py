"""A changed spec: told to the supervisor; what it cannot take over in place goes by a save and a new cluster."""

from ultrathink_operator.actions import Finding, Said, SendSpec, Stop
from ultrathink_operator.observe import Observed
from ultrathink_operator.policies import cluster
from ultrathink_operator.policies.admission import Admitted, grace_seconds
from ultrathink_operator.policies.progress import answer

REASON = "SpecChanged"
LOOK_AGAIN_S = 1.0


def follow(seen: Observed, admitted: Admitted | None, now: float) -> Finding:
    """Bring the supervisor to the generation of the spec, once per generation."""
    said, supervisor, generation = answer(seen), seen.supervisor, seen.job.generation
    if admitted is None or said is None or supervisor is None or said.generation >= generation:
        return Finding()
    if supervisor.needs_cluster < generation:
        return Finding(actions=(SendSpec(generation, seen.job.spec),), wake_after=LOOK_AGAIN_S)
    if said.stop is not None and said.stop.confirmed:
        return cluster.intend(seen, now, REASON, "the changed spec needs another cluster")
    message = "saving a checkpoint; the changed spec needs another cluster"
    stop = () if said.stop is not None else (Stop(float(grace_seconds(seen))),)
    return Finding(actions=stop, conditions=(Said("Running", "False", REASON, message),), wake_after=LOOK_AGAIN_S)
