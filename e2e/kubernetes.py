"""kubectl and helm as a user has them: a kubeconfig, and what the commands answer."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND_S = 120


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


class Refused(AssertionError):
    """A command that should have worked did not."""


class Kubernetes:
    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.kubectl_path, self.helm_path = _program("kubectl"), _program("helm")

    def environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), **more}

    def try_kubectl(self, *arguments: str, stdin: str | None = None) -> Answer:
        return self._run([self.kubectl_path, *arguments], stdin)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return _or_refused(self.try_kubectl(*arguments, stdin=stdin), "kubectl", arguments)

    def helm(self, *arguments: str) -> str:
        return _or_refused(self._run([self.helm_path, *arguments]), "helm", arguments)

    def get(self, *arguments: str) -> Any:
        """What `kubectl get` answers; None where there is nothing of that name."""
        text = self.kubectl("get", *arguments, "--ignore-not-found", "-o", "json")
        return json.loads(text) if text.strip() else None

    def items(self, kind: str, namespace: str, selector: str = "") -> list[Any]:
        chosen = ["--selector", selector] if selector else []
        found = self.get(kind, "-n", namespace, *chosen)
        return list(found["items"]) if found else []

    def _run(self, command: Sequence[str], stdin: str | None = None) -> Answer:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env=self.environment(),
            timeout=COMMAND_S,
        )
        return Answer(done.returncode, done.stdout, done.stderr)


def _or_refused(answer: Answer, program: str, arguments: Sequence[str]) -> str:
    if answer.code != 0:
        raise Refused(f"{program} {' '.join(arguments)}: {answer.err.strip()}")
    return answer.out


def _program(name: str) -> str:
    from testbed.binaries import binary
    from testbed.needs import require

    return shutil.which(name) or str(require(lambda: binary(name)))
