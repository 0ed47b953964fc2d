"""A changed spec: told to the supervisor; what it cannot take over in place goes by a save and a new cluster."""

from ultrathink_operator.actions import Finding, Said, SendSpec, Stop
from ultrathink_operator.observe import Observed
from ultrathink_operator.policies import cluster
from ultrathink_operator.policies.admission import Admitted, grace_seconds
from ultrathink_operator.policies.progress import answer

REASON = "SpecChanged"
LOOK_AGAIN_S = 1.0


def follow(seen: Observed, admitted: Admitted | None, now: float) -> Finding:
    """Bring the supervisor to the generation of the spec, once per generation.

    A supervisor that was told to stop trains no more, so a job that is to live goes on elsewhere: also when the change
    was taken back meanwhile, the suspension was, or nobody remembers what the stop was for.
    """
    said, supervisor, generation = answer(seen), seen.supervisor, seen.job.generation
    if said is None or supervisor is None:
        return Finding()
    if said.stop is not None:
        return (
            cluster.intend(seen, now, REASON, f"the job goes on on cluster {seen.number + 1}")
            if said.stop.confirmed
            else _saving()
        )
    if admitted is None or said.generation >= generation:
        return Finding()
    if supervisor.needs_cluster < generation:
        return Finding(actions=(SendSpec(generation, seen.job.spec),), wake_after=LOOK_AGAIN_S)
    return _saving(Stop(float(grace_seconds(seen))))


def _saving(*stop: Stop) -> Finding:
    message = "saving a checkpoint; the job goes on on another cluster"
    return Finding(actions=stop, conditions=(Said("Running", "False", REASON, message),), wake_after=LOOK_AGAIN_S)
