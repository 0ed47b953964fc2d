"""Programs of an admin, run against a control plane."""

import os
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testbed.apiserver import ControlPlane

Run = Callable[..., str]


def admin_of(plane: "ControlPlane") -> Run:
    """run("helm" or "kubectl", ...) -> what it printed, as the admin."""
    from testbed.binaries import binary
    from testbed.needs import require

    def command(program: str, *arguments: str, stdin: str | None = None) -> str:
        path = require(lambda: binary(program))
        environment = {**os.environ, "KUBECONFIG": str(plane.kubeconfig)}
        done = subprocess.run(
            [path, *arguments], input=stdin, capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return command
