"""A volume that pods share instead of a bucket: a job reads and saves there, and another goes on from what it saved."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from e2e.house import JOBS, PODS, House
from e2e.jobs import END_S, START_S, Job, quickstart, utk

RUNTIME = CLAIM = CLASS = "shared"
VOLUME = "utk-e2e-shared"
MOUNT = "/mnt/shared"
STEPS, MORE_STEPS = 20, 30
LAST_WORDS_S = 60.0
STORIES = ["The fox sleeps under the bridge. ", "A river runs to the sea. ", "Snow falls on the roof. "]


@pytest.fixture
def volume(house: House, tmp_path: Path) -> Iterator[Path]:
    """A folder of the node, a volume that is it, a claim for it, and a runtime that mounts it."""
    if house.maker != "processes":
        pytest.skip("the test writes into the folder: its node must be this machine")
    folder = tmp_path / "volume"
    folder.mkdir()
    node = house.kubernetes.kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    house.kubernetes.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects(folder, node)))
    try:
        yield folder
    finally:
        house.kubernetes.kubectl("delete", "utr", RUNTIME, "-n", JOBS)
        house.kubernetes.kubectl("delete", "pvc", CLAIM, "-n", JOBS, "--wait=false")
        house.kubernetes.kubectl("delete", "pv", VOLUME, "--wait=false")


def objects(folder: Path, node: str) -> list[dict[str, Any]]:
    modes: dict[str, Any] = {"accessModes": ["ReadWriteMany"], "storageClassName": CLASS}
    here = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    size = {"storage": "1Gi"}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": VOLUME},
            "spec": {
                **modes,
                "capacity": size,
                "persistentVolumeReclaimPolicy": "Retain",
                "local": {"path": str(folder)},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [here]}},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": CLAIM, "namespace": JOBS},
            "spec": {**modes, "resources": {"requests": size}},
        },
        {
            "apiVersion": "ultrathink.io/v1alpha1",
            "kind": "UltraThinkRuntime",
            "metadata": {"name": RUNTIME, "namespace": JOBS},
            "spec": {
                "storage": {"uri": f"file://{MOUNT}/runs"},
                "pods": {**PODS, "volumes": [{"claimName": CLAIM, "mountPath": MOUNT}]},
            },
        },
    ]


def prepare(house: House, folder: Path, scratch: Path) -> None:
    """A corpus as a user makes one, into the folder that the volume is."""
    text = scratch / "stories.jsonl"
    text.write_text("".join(json.dumps({"text": STORIES[i % 3] * (1 + i % 7) + str(i)}) + "\n" for i in range(400)))
    tokenizer = str(scratch / "tokenizer.json")
    for words in (
        ("tokenizer", "train", str(text), "--to", tokenizer, "--vocabulary", "320"),
        ("data", "prepare", str(text), "--to", str(folder / "corpus"), "--tokenizer", tokenizer, "--held-out", "0.2"),
    ):
        done = utk(house, *words)
        assert done.returncode == 0, done.stderr


def on_the_volume(name: str, steps: int, **more: Any) -> str:
    def change(spec: dict[str, Any]) -> None:
        data = {"uri": f"file://{MOUNT}/corpus", "sequenceLength": 32}
        spec |= {"runtime": RUNTIME, "data": data, "training": {"steps": steps, "globalBatchTokens": 256}, **more}

    return quickstart(name, change)


def test_corpus_and_checkpoints_lie_on_a_volume_and_another_job_goes_on_there(
    house: House, volume: Path, tmp_path: Path
) -> None:
    prepare(house, volume, tmp_path)
    with Job(house, "on-a-volume") as first:
        first.apply(on_the_volume("on-a-volume", STEPS))
        status = first.wait_for_end(START_S + END_S)
        assert status["phase"] == "Succeeded", status
        where = status["checkpoint"]["uri"]
        assert where.startswith(f"file://{MOUNT}/runs/{JOBS}/on-a-volume/"), where
    here = where.replace(MOUNT, str(volume))
    first.verify_checkpoints(here)
    with Job(house, "on-a-volume-too") as second:
        second.apply(on_the_volume("on-a-volume-too", MORE_STEPS, resume={"from": where}))
        status = second.wait_for_end(START_S + END_S)
        assert status["phase"] == "Succeeded", status
        second.wait_for_step(MORE_STEPS, LAST_WORDS_S)
        assert [event["step"] for event in second.events("step")] == list(range(STEPS + 1, MORE_STEPS + 1))
