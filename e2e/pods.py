"""One pod of one container, run to its end in a namespace that admits restricted pods alone."""

import json

from e2e.kubernetes import Kubernetes
from e2e.waiting import wait_for

RUN_S = 180.0
ENDED = ("Succeeded", "Failed")
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def said_by(kubernetes: Kubernetes, namespace: str, name: str, image: str, *command: str) -> str:
    """What the command printed, however it ended."""
    container = {"name": "main", "image": image, "command": command, "securityContext": RESTRICTED}
    spec = {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    kubernetes.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(pod))
    try:

        def ended() -> bool:
            return (kubernetes.get("pod", name, "-n", namespace) or {})["status"].get("phase") in ENDED

        wait_for(
            f"the end of {name}", ended, RUN_S, lambda: kubernetes.kubectl("describe", "pod", name, "-n", namespace)
        )
        return kubernetes.kubectl("logs", "-n", namespace, name)
    finally:
        kubernetes.kubectl("delete", "pod", name, "-n", namespace, "--wait=false")
