"""What utk diagnose makes of what was found: the looks in their order, the verdict, and nothing secret in a bundle."""

import io
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ultrathink.cluster import bundle, diagnosis
from ultrathink.cluster.diagnosis import Evidence
from ultrathink_api.errors import Problem, Refused

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
RUNNING = {"phase": "Running", "progress": {"step": 7, "of": 10, "seenAt": "2026-01-01T11:59:50Z"}}


def evidence(status: dict[str, Any], **more: Any) -> Evidence:
    metadata = {"name": "j", "namespace": "n", "uid": "u", "generation": 1, "creationTimestamp": "2026-01-01T11:00:00Z"}
    return Evidence({"metadata": metadata, "spec": {}, "status": {"observedGeneration": 1, **status}}, **more)


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def pod(**container: Any) -> dict[str, Any]:
    return {"metadata": {"name": "j-1-worker-0"}, "status": {"containerStatuses": [{"name": "worker", **container}]}}


def found(said: Evidence) -> tuple[str, str, str] | None:
    verdict = diagnosis.verdict(diagnosis.examine(said, NOW))
    return (verdict.state, verdict.name, verdict.message) if verdict else None


SCHEDULER = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu"
SITUATIONS: dict[str, tuple[Evidence, tuple[str, str, str]]] = {
    "no operator": (
        Evidence({"metadata": {"name": "j", "namespace": "n", "creationTimestamp": "2026-01-01T11:00:00Z"}}),
        (
            "fail",
            "operator",
            "the job is stored, but no operator has taken notice of it: no operator watches namespace n",
        ),
    ),
    "refused": (
        evidence({"phase": "Pending", "conditions": [condition("Valid", "False", "Invalid", "UTK0107: 16 for 8")]}),
        ("fail", "spec", "Invalid — UTK0107: 16 for 8"),
    ),
    "no room": (
        evidence({"phase": "Scheduling", "conditions": [condition("Scheduled", "False", "Unschedulable", SCHEDULER)]}),
        ("fail", "place", f"Unschedulable — {SCHEDULER}"),
    ),
    "no image": (
        evidence({"phase": "Starting"}, pods=[pod(state={"waiting": {"reason": "ErrImagePull", "message": "a\nb"}})]),
        ("fail", "pods", "j-1-worker-0: ErrImagePull a b"),
    ),
    "killed for want of memory": (
        evidence(
            RUNNING, pods=[pod(restartCount=1, lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}})]
        ),
        ("warn", "pods", "j-1-worker-0: was killed (OOMKilled, exit code 137)"),
    ),
    "silent": (
        evidence({"phase": "Running", "progress": {"step": 7, "of": 10, "seenAt": "2026-01-01T11:50:00Z"}}),
        ("warn", "training", "step 7, seen 600 s ago and not since"),
    ),
    "failed": (
        evidence({"phase": "Failed", "reason": "NoProgress", "message": "3 failures in a row"}),
        ("fail", "training", "NoProgress — 3 failures in a row"),
    ),
    "the same cause again": (
        evidence(
            {
                **RUNNING,
                "restarts": {"history": [{"attempt": n, "cause": "Hang", "rank": 3, "node": "a"} for n in (1, 2)]},
            }
        ),
        ("warn", "attempts", "attempt 2 ended by Hang, rank 3, on a; 2 of the last 2 failures had this cause"),
    ),
    "the store": (
        evidence({**RUNNING, "conditions": [condition("CheckpointFresh", "False", "StoreFull", "the bucket is full")]}),
        ("warn", "store", "StoreFull — the bucket is full"),
    ),
    "words of a log": (
        evidence(
            RUNNING, logs={"j-1-head-0": 'step 1\n{"event": "warning", "code": "UTK0315", "message": "stale"}\nx'}
        ),
        ("warn", "log", "j-1-head-0: UTK0315 stale"),
    ),
    "a traceback": (
        evidence(RUNNING, logs={"j-1-head-0": "Traceback (most recent call last):\ntorch.OutOfMemoryError: CUDA out"}),
        ("warn", "log", "j-1-head-0: torch.OutOfMemoryError: CUDA out"),
    ),
    "no right": (
        evidence(RUNNING, unread=[Problem(code="UTK0505", field="", message="you may not list pods", fix="ask")]),
        ("warn", "rights", "you may not list pods"),
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_verdict_is_the_first_thing_that_is_wrong(name: str) -> None:
    said, expected = SITUATIONS[name]
    assert found(said) == expected


def test_of_a_job_that_trains_nothing_is_wrong() -> None:
    conditions = [condition(kind, "True", "Yes") for kind in ("Valid", "Scheduled", "CheckpointFresh")]
    said = evidence({**RUNNING, "conditions": conditions}, pods=[pod(state={"running": {}})], logs={"p": "fine"})
    checks = diagnosis.examine(said, NOW)
    assert {check.state for check in checks} == {"ok"}
    assert [check.name for check in checks] == ["operator", "spec", "place", "pods", "training", "store"]


def test_a_restart_that_was_survived_is_no_trouble_of_a_job_that_ended_well() -> None:
    past = {"history": [{"attempt": 1, "cause": "RankLost", "rank": 0}]}
    assert found(evidence({"phase": "Succeeded", "progress": {"step": 10}, "restarts": past})) is None


def test_what_fails_outweighs_what_came_before_it_and_only_warns() -> None:
    pods = [pod(restartCount=2, lastState={"terminated": {"exitCode": 1}})]
    verdict = found(evidence({"phase": "Failed", "reason": "Diverged", "message": "NaN"}, pods=pods))
    assert verdict is not None and verdict[:2] == ("fail", "training")


def test_a_store_that_is_full_is_told_with_what_to_do() -> None:
    said = evidence({**RUNNING, "conditions": [condition("CheckpointFresh", "False", "StoreFull", "no space left")]})
    verdict = diagnosis.verdict(diagnosis.examine(said, NOW))
    assert verdict is not None and "make room" in verdict.fix


HASH = "0123456789abcdef" * 4
SECRETS = (
    "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI",
    "password: hunter22",
    '{"token": "s3cr3t-value"}',
    "Authorization: Bearer abc.def.ghi",
    "s3://user:pa55word@host/bucket",
    "AKIAIOSFODNN7EXAMPLE",
    f"the cluster's key is {HASH}",
    "eyJhbGciOi.eyJzdWIiOiIx.c2lnbmF0dXJl",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----",
    "GET /b?X-Amz-Signature=feedface01&X-Amz-Date=2026",
)
HIDDEN = ("wJalr", "hunter22", "s3cr3t", "abc.def", "pa55word", "IOSFODNN7", HASH, "eyJzdWI", "MIIEvQ", "feedface01")


@pytest.mark.fault("N42")
@pytest.mark.parametrize(("text", "secret"), list(zip(SECRETS, HIDDEN, strict=True)))
def test_what_looks_like_a_secret_is_not_in_a_bundle(text: str, secret: str) -> None:
    assert secret in text and secret not in bundle.redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        f"image: registry/trainer@sha256:{HASH}",
        f'{{"sha256": "{HASH}"}}',
        '{"event": "step", "tokens": 2048, "tokensPerSecond": 5101.2}',
        "tokenizer: bpe-32k",
        "secretName: runs",
        "the token is refused",
        "step-40 of uid 2c4ed63b-bbae-44ae-ba93-69827d72a033",
    ],
)
def test_what_is_needed_to_understand_stays(text: str) -> None:
    assert bundle.redacted(text) == text


@pytest.mark.fault("N42")
def test_a_bundle_holds_all_that_was_looked_at_and_no_secret(tmp_path: Path) -> None:
    held = "hunter22-hunter22"
    container = {"env": [{"name": "HF_TOKEN", "value": held}, {"name": "LEVEL", "value": "info"}]}
    said = evidence(
        {**RUNNING, "message": f"password={held}"},
        pods=[{"metadata": {"name": "p", "managedFields": [held]}, "spec": {"containers": [container]}, "status": {}}],
        events=[{"message": f"Authorization: Bearer {held}", "apiToken": held}],
        logs={"p": f"AWS_SESSION_TOKEN={held}\nstep 7"},
    )
    target = tmp_path / "out.tgz"
    bundle.write(target, said, {"verdict": {"message": f"token={held}"}})
    assert target.stat().st_mode & 0o777 == 0o600
    with tarfile.open(fileobj=io.BytesIO(target.read_bytes())) as archive:
        files = {name: archive.extractfile(name).read().decode() for name in archive.getnames()}  # type: ignore[union-attr]
    parts = ("diagnosis.json", "job.yaml", "pods.yaml", "events.json", "logs/p.log")
    assert set(files) == {f"diagnosis-j/{part}" for part in parts}
    assert not [name for name, text in files.items() if held in text]
    assert "info" in files["diagnosis-j/pods.yaml"] and "step 7" in files["diagnosis-j/logs/p.log"]


def test_a_bundle_writes_over_nothing(tmp_path: Path) -> None:
    target = tmp_path / "out.tgz"
    target.write_text("mine")
    with pytest.raises(Refused) as refused:
        bundle.write(target, evidence(RUNNING), {})
    assert refused.value.problem.code == "UTK0607" and target.read_text() == "mine"
    with pytest.raises(Refused):
        bundle.write(tmp_path / "nowhere" / "out.tgz", evidence(RUNNING), {})
