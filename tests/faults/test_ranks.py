"""F37 and F38: ranks that die and ranks that stand still, by real signals."""

import json
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from faults.conftest import Run
from integration.runtime.conftest import LocalRun
from ultrathink_trainer.runtime import processes

Keep = Callable[[Mapping[str, float]], None]


@pytest.mark.fault("F37")
def test_a_killed_rank_is_forked_again_and_changes_no_loss(run: Run, undisturbed: LocalRun, recovery: Keep) -> None:
    made = run("kill:1@20")
    summary = made.summary()
    second = made.named("attempt")[1]
    assert (summary["phase"], second["cause"], second["resumedFrom"] > 0) == ("Succeeded", "RankLost", True)
    assert made.losses == undisturbed.losses
    recovery(second["recoveryStages"])


@pytest.mark.fault("F37")
def test_a_rank_that_crashes_is_forked_again_and_changes_no_loss(run: Run, undisturbed: LocalRun) -> None:
    made = run()
    made.until(lambda event: event["event"] == "checkpoint")
    os.kill(ranks_of(made)[0], signal.SIGSEGV)
    summary = made.summary()
    assert (summary["phase"], made.named("attempt")[1]["cause"]) == ("Succeeded", "RankLost")
    assert made.losses == undisturbed.losses


def ranks_of(made: LocalRun) -> list[int]:
    """Processes that a zygote forked: its command, and a parent with the same one."""
    below = processes.descendants(made.process.pid)
    command = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in below}
    zygotes = [pid for pid in below if b"ultrathink_trainer.zygote" in command[pid]]
    parent = {pid: int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in zygotes}
    return [pid for pid in zygotes if parent[pid] in zygotes]


@pytest.mark.fault("F38")
def test_a_stopped_rank_is_found_its_stacks_are_kept_and_no_loss_changes(
    run: Run, undisturbed: LocalRun, tmp_path: Path, recovery: Keep
) -> None:
    made = run("hang:1@12", health={"hang": 5})
    summary = made.summary()
    second = made.named("attempt")[1]
    assert (summary["phase"], summary["attempts"], second["cause"]) == ("Succeeded", 2, "Hang")
    assert made.losses == undisturbed.losses
    (kept,) = tmp_path.rglob("STACKS.json")
    stacks = json.loads(kept.read_text())
    assert sorted(stacks) == ["0", "1"]
    assert stacks["1"]["state"] == "T" and all("train" in seen["stack"] for seen in stacks.values())
    end = json.loads((kept.parent / "END.json").read_text())
    assert (end["cause"], end["rank"], end["node"]) == ("Hang", 1, "local")
    assert summary["goodput"]["seconds"]["hang"] >= 5
    recovery(second["recoveryStages"])


@pytest.mark.fault("F39")
def test_a_slow_rank_is_told_with_its_node_and_nothing_is_restarted(run: Run, undisturbed: LocalRun) -> None:
    made = run("slow:1@3")
    summary = made.summary()
    (told,) = [event for event in made.named("warning") if event["kind"] == "straggler"]
    assert (told["rank"], told["node"], told["ratio"] >= 1.5) == (1, "local", True)
    assert (summary["phase"], summary["attempts"]) == ("Succeeded", 1)
    assert made.losses == undisturbed.losses
    assert made.named("step")[-1]["stragglerRatio"] >= 1.5
