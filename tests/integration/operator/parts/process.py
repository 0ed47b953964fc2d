"""The operator as the process that it is on a cluster: its own interpreter, its own account, killed for real."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

from integration.operator.parts.place import eventually
from testbed.child import free_port, tail

KEY = b"k" * 32
RUNTIME = "image: registry.example/trainer:1\nstorage: {uri: s3://runs}\n"
END_S = 20.0


class OperatorProcess:
    """`with OperatorProcess(...) as operator:` runs one replica."""

    def __init__(
        self, folder: Path, namespace: str, kubeconfig: Path, identity: str = "operator-0", **more: str
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "key").write_bytes(KEY)
        (folder / "runtime.yaml").write_text(RUNTIME)
        self.metrics_port, self.health_port = free_port(), free_port()
        self.log = folder / f"{identity}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("ULTRATHINK_", "KUBE"))},
            "KUBECONFIG": str(kubeconfig),
            "POD_NAME": identity,
            "ULTRATHINK_NAMESPACE": namespace,
            "ULTRATHINK_CONTROL_KEY_FILE": str(folder / "key"),
            "ULTRATHINK_OLD_CONTROL_KEY_FILE": str(folder / "none"),
            "ULTRATHINK_RUNTIME_FILE": str(folder / "runtime.yaml"),
            "ULTRATHINK_METRICS_PORT": str(self.metrics_port),
            "ULTRATHINK_HEALTH_PORT": str(self.health_port),
            **more,
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        command = [sys.executable, "-m", "ultrathink_operator"]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(command, env=self._environment, stdout=output, stderr=output)

    def kill(self) -> None:
        """As if the machine had gone: no signal handler runs."""
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def terminate(self) -> int:
        """As kubelet does it."""
        assert self._process
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(END_S)

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def sockets(self) -> int:
        """How many are open."""
        return sum(1 for one in Path(f"/proc/{self.pid}/fd").iterdir() if _is_socket(one))

    def wait_ready(self) -> None:
        eventually(lambda: self.get(self.metrics_port, "/readyz")[0] == 200, says=lambda: tail(self.log, 40))

    def get(self, port: int, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def said(self) -> Any:
        return tail(self.log, 60).splitlines()


def _is_socket(descriptor: Path) -> bool:
    try:
        return str(descriptor.readlink()).startswith("socket:")
    except FileNotFoundError:  # closed between the look at the folder and this one
        return False
