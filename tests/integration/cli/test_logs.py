"""utk logs -f: one stream over attempts, cut connections and replaced pods, to the end of the job."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from integration.cli.parts.command import Utk
    from integration.cli.parts.kubelet import Kubelet
    from integration.cli.parts.stage import Stage


def event(kind: str, **content: Any) -> str:
    return json.dumps({"event": kind, **content})


def step(number: int, attempt: int = 1) -> str:
    return event("step", attempt=attempt, step=number, loss=5.0 - number / 100)


@pytest.fixture
def job(stage: "Stage", job_file: Path) -> str:
    stage.apply(yaml.safe_load(job_file.read_text()))
    stage.status("quickstart", phase="Pending", reason="Planned")
    return "quickstart"


def steps(text: str) -> list[int]:
    return [json.loads(line)["step"] for line in text.splitlines() if '"step"' in line and '"loss"' in line]


def test_a_job_that_does_not_run_yet_is_waited_for_with_its_reason_said_once(
    kubectl: "Utk", stage: "Stage", kubelet: "Kubelet", job: str
) -> None:
    following = kubectl.start("logs", "-f", job)
    following.until(lambda r: "Planned" in r.err)
    stage.status(job, phase="Scheduling", reason="Unschedulable", message="0/3 nodes are available")
    following.until(lambda r: "0/3 nodes are available" in r.err)
    head = stage.head(job, kubelet.node)
    stage.status(job, phase="Running", reason="Training", message="")
    kubelet.say(head, step(1))
    following.until(lambda r: "step 1" in r.out)
    stage.status(job, phase="Succeeded")
    kubelet.cut()
    said = following.end()
    assert said.code == 0, said
    assert said.err.count("0/3 nodes are available") == 1


def test_a_cut_connection_loses_no_line_and_repeats_none(
    kubectl: "Utk", stage: "Stage", kubelet: "Kubelet", job: str
) -> None:
    head = stage.head(job, kubelet.node)
    stage.status(job, phase="Running")
    following = kubectl.start("logs", "-f", job, "-o", "jsonl")
    kubelet.say(head, *(step(number) for number in range(1, 6)))
    following.until(lambda r: steps(r.out)[-1:] == [5])
    kubelet.cut()
    kubelet.say(head, *(step(number) for number in range(6, 9)))
    following.until(lambda r: steps(r.out)[-1:] == [8])
    stage.status(job, phase="Succeeded")
    kubelet.cut()
    said = following.end()
    assert steps(said.out) == list(range(1, 9)), said
    assert any(query.get("sinceTime") for query in kubelet.asked)


def test_a_replaced_head_is_found_again_and_its_attempt_is_announced(
    kubectl: "Utk", stage: "Stage", kubelet: "Kubelet", job: str
) -> None:
    head = stage.head(job, kubelet.node)
    stage.status(job, phase="Running")
    following = kubectl.start("logs", "-f", job)
    kubelet.say(head, step(1))
    following.until(lambda r: "step 1" in r.out)
    stage.remove_pod(head)
    kubelet.forget(head)
    assert stage.head(job, kubelet.node) == head
    kubelet.say(head, event("attempt", attempt=2, cause="HeadLost", resumedFrom=1, recoverySeconds=31.0), step(2, 2))
    following.until(lambda r: "step 2" in r.out)
    stage.status(job, phase="Failed", reason="NoProgress")
    kubelet.cut()
    said = following.end()
    assert said.code == 0, said
    assert "── attempt 2 (HeadLost) from step 1, recovered in 31.0 s ──" in said.out
    assert "the pod was replaced" in said.err


def test_after_its_last_word_a_head_that_stays_holds_nobody_up(
    kubectl: "Utk", stage: "Stage", kubelet: "Kubelet", job: str
) -> None:
    head = stage.head(job, kubelet.node)
    stage.status(job, phase="Running", reason="Training")
    following = kubectl.start("logs", "-f", job)
    kubelet.say(head, step(1), event("summary", attempt=1, phase="Succeeded"))
    following.until(lambda r: "step 1" in r.out)
    stage.status(job, phase="Succeeded", reason="Completed")
    assert following.end().code == 0
    assert len(kubelet.asked) == 1, "the log is not asked for again"


def test_the_exit_status_of_the_job_is_given_on_request(
    kubectl: "Utk", stage: "Stage", kubelet: "Kubelet", job: str
) -> None:
    kubelet.say(stage.head(job, kubelet.node), step(1), event("summary", attempt=1, phase="Failed"))
    stage.status(job, phase="Failed", reason="NaN")
    said = kubectl.here("logs", "-f", job, "--exit-status")
    assert said.code == 5, said


def test_one_attempt_can_be_read_alone(kubectl: "Utk", stage: "Stage", kubelet: "Kubelet", job: str) -> None:
    kubelet.say(
        stage.head(job, kubelet.node),
        event("attempt", attempt=1, cause=None),
        step(1),
        event("attempt", attempt=2, cause="RankLost"),
        step(1, 2),
        "a line of Ray",
    )
    stage.status(job, phase="Running")
    second = kubectl.here("logs", job, "--attempt", "2", "-o", "raw").out
    assert '"attempt": 1' not in second and '"attempt": 2' in second and "a line of Ray" in second
    assert kubectl.here("logs", job, "--grep", "Ray").out == "a line of Ray\n"


@pytest.mark.fault("N40")
def test_a_log_cannot_command_a_terminal(kubectl: "Utk", stage: "Stage", kubelet: "Kubelet", job: str) -> None:
    kubelet.say(stage.head(job, kubelet.node), "\x1b[2Jwiped?")
    said = kubectl.here("logs", job)
    assert said.out == "\\x1b[2Jwiped?\n"


def test_ctrl_c_detaches(kubectl: "Utk", stage: "Stage", kubelet: "Kubelet", job: str) -> None:
    kubelet.say(stage.head(job, kubelet.node), step(1))
    stage.status(job, phase="Running")
    following = kubectl.start("logs", "-f", job)
    following.until(lambda r: "step 1" in r.out)
    following.interrupt()
    said = following.end()
    assert said.code == 130 and "Reattach: utk logs -f quickstart" in said.err, said


def test_a_job_without_pods_says_why_there_is_no_log(kubectl: "Utk", job: str) -> None:
    said = kubectl.here("logs", job)
    assert said.code == 3 and "Planned" in said.err, said


def test_a_followed_submission_shows_the_log_and_ends_with_the_job(
    kubectl: "Utk", stage: "Stage", kubelet: "Kubelet", job_file: Path
) -> None:
    following = kubectl.start("submit", str(job_file), "--follow")
    stage.status("quickstart", phase="Running")
    kubelet.say(stage.head("quickstart", kubelet.node), event("plan", steps=200), step(1))
    following.until(lambda r: "step   1/200" in r.out)
    stage.status("quickstart", phase="Succeeded", reason="Completed")
    kubelet.cut()
    said = following.end()
    assert said.code == 0 and "Succeeded" in said.err, said
