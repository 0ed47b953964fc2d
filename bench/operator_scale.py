"""What many jobs cost the operator, on a real kube-apiserver: python -m bench.operator_scale [--idle N] [--known N]."""

import argparse
import contextlib
import os
import statistics
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3
import yaml
from bench.report import report
from kubernetes import client, watch
from prometheus_client.parser import text_string_to_metric_families

from integration.operator.parts.place import Place, eventually, new_namespace, operator_account
from integration.operator.parts.process import OperatorProcess
from testbed.apiserver import ControlPlane

NAME = "operator_scale"
CRDS = Path(__file__).parents[1] / "manifests" / "crds.yaml"
IDLE, KNOWN = 1_000, 5_000
"""Jobs of the first goal, and of the last, of which those have a cluster that were made at a pace."""
RATE, BURST_S = 5.0, 30.0
"""Jobs a second are made for so long."""
LIMITS = {"ULTRATHINK_API_RATE": "100", "ULTRATHINK_API_BURST": "200"}
"""A new job costs twelve writes: five a second are more than the 50 requests a second that are allowed by default."""
QUIET_S = 60.0
"""How long the operator is watched doing nothing: the audit of its stores falls into it once."""
SETTLED_S, DEADLINE_S = 5.0, 600.0
SENDERS = 8
GOALS = {"rssMiB": 150.0, "requestsPerSecond": 10.0, "p99Seconds": 2.0, "cpuMsPerJob": 40.0, "decisionSeconds": 30.0}
WRITES = ("POST", "PATCH", "PUT", "DELETE")
NONE = {
    "progress of 1,000 running jobs each 10 s": "none: needs 1,000 supervisors that answer, too many for two cores",
    "20 jobs a second on 8 cores": "none: this machine has fewer",
}


class Watched(OperatorProcess):
    """An operator whose cost is read from outside."""

    def rss_mib(self) -> float:
        line = next(x for x in Path(f"/proc/{self.pid}/status").read_text().splitlines() if x.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def requests(self, *methods: str) -> float:
        """Answered so far; watches count once, as they begin."""
        families = text_string_to_metric_families(self.get(self.metrics_port, "/metrics")[1])
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == "rest_client_requests_total" and (not methods or sample.labels["method"] in methods)
        )

    def status_writes(self) -> float:
        families = text_string_to_metric_families(self.get(self.metrics_port, "/metrics")[1])
        named = "ultrathink_operator_status_writes_total"
        return sum(sample.value for family in families for sample in family.samples if sample.name == named)


class Arrivals(threading.Thread):
    """When the last object of each job's cluster was seen: its worker StatefulSet."""

    def __init__(self, place: Place) -> None:
        super().__init__(daemon=True)
        self.seen: dict[str, float] = {}
        self._place = place

    def run(self) -> None:
        listed = client.AppsV1Api(self._place.plane.api_client()).list_namespaced_stateful_set
        with contextlib.suppress(urllib3.exceptions.HTTPError):  # the API server goes before this thread does
            self._look(listed)

    def _look(self, listed: Callable[..., Any]) -> None:
        while True:
            for event in watch.Watch().stream(listed, self._place.namespace, timeout_seconds=60):
                name = event["object"].metadata.name
                if name.endswith("-1-worker"):
                    self.seen.setdefault(name.removesuffix("-1-worker"), time.monotonic())


@contextmanager
def planes() -> Iterator[ControlPlane]:
    with ControlPlane() as plane:
        with plane.api_client() as admin:
            extensions = client.ApiextensionsV1Api(admin)
            for crd in yaml.safe_load_all(CRDS.read_text()):
                extensions.create_custom_resource_definition(crd)
            custom = client.CustomObjectsApi(admin)
            eventually(lambda: _served(custom))
        yield plane


def _served(custom: Any) -> bool:
    try:
        for plural in ("ultrathinkjobs", "ultrathinkruntimes"):
            custom.list_cluster_custom_object("ultrathink.io", "v1alpha1", plural)
    except client.ApiException:
        return False
    return True


def submit(place: Place, names: list[str], **spec: Any) -> None:
    with ThreadPoolExecutor(SENDERS) as senders:
        list(senders.map(lambda name: place.submit(name, training=own_training(name), **spec), names))


def own_training(name: str) -> dict[str, Any]:
    """Each job has a plan of its own: of a thousand equal ones the operator would keep one."""
    return {"steps": 200, "seed": zlib.crc32(name.encode()) >> 1}


def quiet(operator: Watched) -> None:
    """Until nothing was written for some seconds."""
    last, since = -1.0, time.monotonic()
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() - since < SETTLED_S:
        assert time.monotonic() < end, operator.said()
        if (now := operator.requests(*WRITES) - _renewals(operator)) != last:
            last, since = now, time.monotonic()
        time.sleep(0.5)


def _renewals(operator: Watched) -> float:
    """The Lease is renewed for ever, by PUT alone."""
    return operator.requests("PUT")


def idle(operator: Watched, jobs: int) -> dict[str, Any]:
    before, cpu, writes = operator.requests(), operator.cpu_seconds(), operator.status_writes()
    time.sleep(QUIET_S)  # the length of the look is what is asked for
    return {
        "jobs": jobs,
        "load": os.getloadavg()[0],
        "rssMiB": round(operator.rss_mib(), 1),
        "requestsPerSecond": round((operator.requests() - before) / QUIET_S, 2),
        "statusWrites": operator.status_writes() - writes,
        "cpuShare": round((operator.cpu_seconds() - cpu) / QUIET_S, 4),
    }


def creation(place: Place, operator: Watched) -> dict[str, Any]:
    """Jobs come at an even pace; each is timed from its POST to the last object of its cluster."""
    arrivals = Arrivals(place)
    arrivals.start()
    names = [f"made-{n}" for n in range(int(RATE * BURST_S))]
    sent: dict[str, float] = {}
    cpu, writes, requests = operator.cpu_seconds(), operator.status_writes(), operator.requests(*WRITES)
    began = time.monotonic()
    for place_in_line, name in enumerate(names):
        time.sleep(max(0.0, began + place_in_line / RATE - time.monotonic()))
        sent[name] = time.monotonic()
        place.submit(name, training=own_training(name))
    eventually(lambda: arrivals.seen.keys() >= sent.keys(), DEADLINE_S, lambda: len(arrivals.seen))
    quiet(operator)
    took = sorted(arrivals.seen[name] - sent[name] for name in names)
    spent = operator.cpu_seconds() - cpu
    return {
        "jobs": len(names),
        "load": os.getloadavg()[0],
        "perSecond": RATE,
        "p50Seconds": round(statistics.median(took), 3),
        "p99Seconds": round(took[int(0.99 * (len(took) - 1))], 3),
        "cpuMsPerJob": round(1000 * spent / len(names), 1),
        "statusWritesPerJob": round((operator.status_writes() - writes) / len(names), 2),
        "writesPerJob": round((operator.requests(*WRITES) - requests) / len(names), 2),
        "seconds": [round(one, 3) for one in took],
    }


def restart(place: Place, operator: Watched, known: int) -> dict[str, Any]:
    """Killed, a job is submitted meanwhile: how long until that one has its cluster, and who else is touched."""
    operator.kill()
    versions = _versions(place)
    began = time.monotonic()
    operator.start()
    place.submit("after-all")
    eventually(lambda: "after-all-1-worker" in place.sets(), DEADLINE_S, operator.said)
    decided = time.monotonic() - began
    quiet(operator)
    after = _versions(place)
    touched = [name for name, version in versions.items() if after.get(name) != version]
    return {
        "jobs": known,
        "load": os.getloadavg()[0],
        "decisionSeconds": round(decided, 2),
        "jobsTouched": len(touched),
        "rssMiB": round(operator.rss_mib(), 1),
    }


def _versions(place: Place) -> dict[str, str]:
    """Of every job: it changes with every write that changes anything."""
    found, more = {}, None
    while True:
        listed = place.custom.list_namespaced_custom_object(
            "ultrathink.io",
            "v1alpha1",
            place.namespace,
            "ultrathinkjobs",
            limit=500,
            **({"_continue": more} if more else {}),
        )
        found |= {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in listed["items"]}
        more = listed["metadata"].get("continue")
        if not more:
            return found


def measure(jobs: int, known: int) -> dict[str, Any]:
    say: Callable[[str], None] = lambda text: print(text, flush=True)  # noqa: E731
    with planes() as plane, tempfile.TemporaryDirectory() as folder:
        own, watched = new_namespace(plane), new_namespace(plane)
        account = operator_account(plane, own, [watched])
        place = Place(plane, watched)
        submit(place, [f"idle-{n}" for n in range(jobs)], suspend=True)
        say(f"{jobs} jobs were submitted")
        with Watched(Path(folder), own, account, ULTRATHINK_WATCH_NAMESPACES=watched, **LIMITS) as operator:
            operator.wait_ready()
            quiet(operator)
            rows: dict[str, Any] = {"idle": idle(operator, jobs)}
            say(str(rows["idle"]))
            rows["creation"] = creation(place, operator)
            say(str({k: v for k, v in rows["creation"].items() if k != "seconds"}))
            made = jobs + rows["creation"]["jobs"]
            submit(place, [f"more-{n}" for n in range(max(0, known - made))], suspend=True)
            quiet(operator)
            rows["restart"] = restart(place, operator, max(known, made))
            say(str(rows["restart"]))
    return rows


def judged(rows: dict[str, Any]) -> dict[str, Any]:
    """Beside the goals, and the worst of them as the ratio."""
    found = {
        "rssMiB": rows["idle"]["rssMiB"],
        "requestsPerSecond": rows["idle"]["requestsPerSecond"],
        "p99Seconds": rows["creation"]["p99Seconds"],
        "cpuMsPerJob": rows["creation"]["cpuMsPerJob"],
        "decisionSeconds": rows["restart"]["decisionSeconds"],
    }
    missed = [name for name, value in found.items() if value > GOALS[name]]
    missed += ["jobsTouched"] if rows["restart"]["jobsTouched"] else []
    ratios = {name: round(value / GOALS[name], 3) for name, value in found.items()}
    told = {"rows": rows, "none": NONE, "goals": GOALS, "limits": LIMITS, "missed": missed, "ratios": ratios}
    return {**told, "ratio": max(ratios.values()), "ok": not missed}


def main() -> int:
    """0 if every goal was met."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--idle", type=int, default=IDLE)
    parser.add_argument("--known", type=int, default=KNOWN)
    options = parser.parse_args()
    result = judged(measure(options.idle, options.known))
    rows = result["rows"]
    lines = [
        f"| {rows['idle']['jobs']} jobs, idle | {rows['idle']['rssMiB']} MiB, "
        f"{rows['idle']['requestsPerSecond']} requests/s |",
        f"| job -> its cluster's objects, {RATE:g} jobs/s | p99 {rows['creation']['p99Seconds']} s, "
        f"CPU {rows['creation']['cpuMsPerJob']} ms a job |",
        f"| restart with {rows['restart']['jobs']} jobs | first decision after {rows['restart']['decisionSeconds']} s, "
        f"{rows['restart']['jobsTouched']} jobs touched |",
        *(f"| {what} | {why} |" for what, why in NONE.items()),
    ]
    return report(NAME, "\n".join(lines), result)


if __name__ == "__main__":
    raise SystemExit(main())
