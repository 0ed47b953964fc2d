"""One job of a test: applied, followed by its head's log, asked for its status, verified in the bucket."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from e2e.house import JOBS, ROOT, House
from e2e.kubernetes import Refused
from e2e.waiting import say, wait_for

QUICKSTART = ROOT / "manifests" / "examples" / "quickstart.yaml"
UTK = Path(sys.executable).with_name("utk")
UTK_S = 120
START_S = 300.0
"""From apply to the first steps: images, Ray, imports; some 30 s on an idle machine with two cores."""
END_S = 600.0
RETRY_S = 0.5
ENDED = ("Succeeded", "Failed")
Event = Mapping[str, Any]


def utk(house: House, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The command line as a user runs it, against this cluster and this object store."""
    environment = house.kubernetes.environment(**house.storage_environment(), **more)
    return subprocess.run(
        [str(UTK), *arguments], capture_output=True, text=True, check=False, env=environment, timeout=UTK_S
    )


def quickstart(name: str, change: Callable[[dict[str, Any]], None] = lambda spec: None) -> str:
    """The example under another name, as YAML; `change` may change its spec."""
    document = yaml.safe_load(QUICKSTART.read_text())
    document["metadata"]["name"] = name
    change(document["spec"])
    return yaml.safe_dump(document)


def lives(house: House, namespace: str, selector: str) -> dict[str, tuple[str, int]]:
    """Of each pod its UID and how often its containers have begun again."""
    found = house.kubernetes.items("pods", namespace, selector)
    return {
        pod["metadata"]["name"]: (
            pod["metadata"]["uid"],
            sum(one["restartCount"] for one in pod["status"].get("containerStatuses") or []),
        )
        for pod in found
    }


class Job:
    """`with Job.applied(...) as job:` follows the log of its heads until the block ends; the job is deleted then."""

    def __init__(self, house: House, name: str, namespace: str = JOBS) -> None:
        self.house, self.name, self.namespace = house, name, namespace
        self._lives: dict[str, list[str]] = {}  # what each container of a head has said, in the order of their birth
        self._done = threading.Event()
        self._complaint = ""
        self._follower = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "Job":
        self._follower.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        asked = ("--ignore-not-found", "--wait=false")
        self.house.kubernetes.kubectl("delete", "utj", self.name, "-n", self.namespace, *asked)

    def apply(self, text: str) -> "Job":
        self.house.kubernetes.kubectl("apply", "-n", self.namespace, "-f", "-", stdin=text)
        say(f"{self.name} is applied")
        return self

    @property
    def selector(self) -> str:
        return f"ultrathink.io/job={self.name}"

    @property
    def uri(self) -> str:
        """Where its checkpoints are: the runtime's storage, the namespace, its name."""
        return f"s3://{self.house.bucket}/{self.namespace}/{self.name}"

    def status(self) -> dict[str, Any]:
        found = self.house.kubernetes.get("utj", self.name, "-n", self.namespace)
        return dict(found.get("status") or {}) if found else {}

    def row(self) -> dict[str, str]:
        """What `kubectl get utj NAME` shows, by column."""
        head, line, *_ = self.house.kubernetes.kubectl("get", "utj", self.name, "-n", self.namespace).splitlines()
        starts = [found.start() for found in re.finditer(r"\S+", head)]
        ends = [*starts[1:], None]
        return {head[a:b].strip(): line[a:b].strip() for a, b in zip(starts, ends, strict=True)}

    def pods(self) -> dict[str, tuple[str, int]]:
        """Which pods these are, and how often their containers have begun again."""
        return lives(self.house, self.namespace, self.selector)

    def pod(self, role: str, index: int = 0) -> str:
        return f"{self.name}-{self.status()['cluster']['number']}-{role}-{index}"

    def events(self, kind: str | None = None) -> list[Event]:
        """What the heads have printed, one JSON object a line: all that a user of `utk logs` sees."""
        found: list[Event] = []
        for life in list(self._lives.values()):
            for line in list(life):
                try:
                    event = json.loads(line)
                except ValueError:
                    continue  # somebody's plain words
                if isinstance(event, dict) and kind in (None, event.get("event")):
                    found.append(event)
        return found

    def losses(self) -> dict[int, float]:
        """The loss of each step; of one that was done again, the last."""
        return {event["step"]: event["loss"] for event in self.events("step")}

    def last_step(self) -> int:
        return max((event["step"] for event in self.events("step")), default=0)

    def last_checkpoint(self) -> int:
        return max((event["step"] for event in self.events("checkpoint")), default=0)

    def wait_for_step(self, step: int, within_s: float) -> None:
        wait_for(f"step {step} of {self.name}", lambda: self.last_step() >= step, within_s, self.brief)

    def wait_for_checkpoint(self, step: int, within_s: float) -> None:
        wait_for(f"a checkpoint of step >= {step}", lambda: self.last_checkpoint() >= step, within_s, self.brief)

    def wait_for_end(self, within_s: float) -> dict[str, Any]:
        """Its status once it has ended, whichever way."""

        def ended() -> dict[str, Any] | None:
            status = self.status()
            return status if status.get("phase") in ENDED else None

        return wait_for(f"the end of {self.name}", ended, within_s, self.brief)

    def brief(self) -> str:
        status = self.status()
        shown = {key: status.get(key) for key in ("phase", "reason", "progress", "checkpoint", "attempt")}
        return f"{json.dumps(shown)}, step {self.last_step()} in the log"

    def verify_checkpoints(self, uri: str | None = None) -> dict[str, Any]:
        """What `utk checkpoints verify` says when it has read every byte again, of all or of one."""
        done = utk(self.house, "checkpoints", "verify", "--uri", uri or self.uri, "-o", "json")
        assert done.returncode == 0, f"utk checkpoints verify ended with {done.returncode}: {done.stdout}{done.stderr}"
        return dict(json.loads(done.stdout))

    def _follow(self) -> None:
        """Heads come and go; each one's log is read from its first line on until it ends."""
        while not self._done.is_set():
            for head in self._heads():
                states = head["status"].get("containerStatuses") or [{}]
                container = states[0].get("containerID")
                if container and ("running" in states[0]["state"] or "terminated" in states[0]["state"]):
                    self._read(head["metadata"]["name"], container)
            self._done.wait(RETRY_S)

    def _heads(self) -> list[Any]:
        try:
            return self.house.kubernetes.items("pods", self.namespace, f"{self.selector},ultrathink.io/role=head")
        except Refused as error:  # asked again at once; a test that needs the answer has its own deadline
            if str(error) != self._complaint:
                say(f"no heads to follow: {error}")
            self._complaint = str(error)
            return []

    def _read(self, pod: str, container: str) -> None:
        command = [self.house.kubernetes.kubectl_path, "logs", "--follow", "-n", self.namespace, pod]
        environment = self.house.kubernetes.environment()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        ) as process:
            assert process.stdout
            lines: list[str] = []
            known = self._lives.get(container, [])
            for line in process.stdout:
                lines.append(line)
                if len(lines) >= len(known):  # a stream that broke begins anew; what was read stays until it is ahead
                    self._lives[container] = lines
                if self._done.is_set():
                    process.terminate()
