"""What a failed test leaves to read: objects, events, and the logs of the job's and the operator's pods."""

from e2e.kubernetes import Kubernetes
from e2e.waiting import say

TAIL = "80"
KINDS = "utj,statefulsets,pods,services,configmaps,networkpolicies,poddisruptionbudgets"


def everything(kubernetes: Kubernetes, system: str, jobs: str) -> str:
    """Never raises: it runs when something is wrong already."""
    parts = [
        _section(kubernetes, "objects", "get", KINDS, "-n", jobs, "-o", "wide"),
        _section(kubernetes, "jobs", "get", "utj", "-n", jobs, "-o", "yaml"),
        _section(kubernetes, "pods", "describe", "pods", "-n", jobs),
        _section(kubernetes, "events", "get", "events", "-n", jobs, "--sort-by=.lastTimestamp"),
        _section(kubernetes, "operator", "get", "pods,events", "-n", system, "-o", "wide"),
    ]
    for namespace in (system, jobs):
        names = kubernetes.try_kubectl("get", "pods", "-n", namespace, "-o", "name").out.split()
        for name in names:
            for previous in ((), ("--previous",)):
                label = " ".join(("log of", name, *previous))
                parts.append(_section(kubernetes, label, "logs", "-n", namespace, name, f"--tail={TAIL}", *previous))
    return "\n".join(part for part in parts if part)


def _section(kubernetes: Kubernetes, label: str, *arguments: str) -> str:
    try:
        answer = kubernetes.try_kubectl(*arguments)
    except (OSError, TimeoutError) as error:
        say(f"no {label}: {error}")
        return ""
    if answer.code != 0 and "--previous" in arguments:
        return ""  # most containers have no life before this one
    return f"===== {label}\n{answer.out}{answer.err}"
