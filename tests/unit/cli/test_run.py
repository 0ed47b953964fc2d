"""utk run --local, up to the trainer's door and from there on: refusals before, the story of events, and the end."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from utk.events import Narrator

Utk = Callable[..., Any]

PLAN = {"event": "plan", "steps": 40, "model": {"vocabulary": 512}}
SUMMARY = {
    "event": "summary",
    "phase": "Succeeded",
    "step": 40,
    "goodput": {"ratio": 0.981, "seconds": {"productive": 40.0, "startup": 1.0}},
    "checkpoint": {"step": 40, "uri": "file:///runs/q/u/epoch-1/step-40", "verified": True},
}


def step(number: int, attempt: int = 1) -> dict[str, Any]:
    return {
        "event": "step",
        "attempt": attempt,
        "step": number,
        "loss": 5.0 - number / 100,
        "tokensPerSecond": 5100.0,
        "gradNorm": 0.5,
        "moe": {"entropy": 0.97},
    }


def replay(monkeypatch: pytest.MonkeyPatch, *events: dict[str, Any]) -> list[dict[str, Any]]:
    """Lets the run's own door hand on recorded events: what is under test is how they are told."""
    asked: list[dict[str, Any]] = []

    def run(job: Any, plan: Any, *, on_event: Callable[[dict[str, Any]], None], **options: Any) -> dict[str, Any]:
        asked.append({"steps": plan.steps, **options})
        for event in events:
            on_event(event)
        return events[-1]

    monkeypatch.setattr("ultrathink.local.run", run)
    return asked


def test_a_run_in_a_pipe_is_lines_with_the_time(utk: Utk, quickstart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = replay(
        monkeypatch,
        {"event": "run", "uid": "u-1", "metrics": "http://127.0.0.1:9400/metrics"},
        PLAN,
        *(step(number) for number in range(1, 41)),
        {"event": "eval", "step": 40, "loss": 3.12, "perplexity": 22.6, "entropy": 0.7},
        SUMMARY,
    )
    said = utk("run", "--local", str(quickstart), "--steps", "40")
    assert said.code == 0, said
    assert asked[0]["steps"] == 40
    lines = said.out.splitlines()
    assert lines[0].startswith("local run · 2 processes · gloo · cpu · moe-tiny (988.3K active / 2.2M total)")
    assert lines[0].endswith("/runs/quickstart")
    assert "http://127.0.0.1:9400/metrics" in lines[1]
    assert lines[2].partition(" ")[2] == "step  1/40  loss 4.9900  grad 0.50  5.1k tok/s  exp-bal 0.97"
    assert 20 <= sum(" step " in line for line in lines) <= 25, "not every step"
    assert "✓ Succeeded in 41s · goodput 98.1% · latest checkpoint step 40 verified" in lines
    assert lines[-2].startswith("held-out loss 3.1200 at step 40") and "entropy of the data 0.7000" in lines[-2]
    assert "50 % below a blind guess" in lines[-2]
    assert lines[-1] == "checkpoint file:///runs/q/u/epoch-1/step-40"
    assert said.err.count("utk ") == 3


def test_jsonl_is_the_events_unchanged_and_nothing_else(
    utk: Utk, quickstart: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [PLAN, {**step(1), "loss": 6.236053466796875, "unknown": {"later": [1]}}, SUMMARY]
    replay(monkeypatch, *events)
    said = utk("run", "--local", str(quickstart), "-o", "jsonl")
    assert (said.code, said.err) == (0, "")
    assert [json.loads(line) for line in said.out.splitlines()] == events


def test_a_restart_is_told(utk: Utk, quickstart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again = {"event": "attempt", "attempt": 2, "cause": "RankLost", "resumedFrom": 36, "recoverySeconds": 1.46}
    replay(monkeypatch, PLAN, step(40), again, step(37, 2), SUMMARY)
    said = utk("run", "--local", str(quickstart))
    assert "── attempt 2 (RankLost) from step 36, recovered in 1.5 s ──" in said.out


def test_a_failed_run_ends_with_5_code_and_fix(utk: Utk, quickstart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = {
        "event": "summary",
        "phase": "Failed",
        "reason": "NoProgress",
        "code": "UTK0402",
        "message": "three times in a row",
        "fix": "look at the log",
        "checkpoint": None,
    }
    replay(monkeypatch, {"event": "run", "uid": "u-1", "metrics": ""}, failed)
    said = utk("run", "--local", str(quickstart))
    assert said.code == 5
    assert "error[UTK0402]" in said.err and "three times in a row" in said.err and "look at the log" in said.err


@pytest.mark.parametrize("shape", ["text", "jsonl"])
def test_an_interrupted_run_ends_with_130_and_says_how_to_go_on(
    utk: Utk, quickstart: Path, monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    stopped = {
        "event": "summary",
        "phase": "Suspended",
        "checkpoint": {"step": 7, "uri": "file:///x", "verified": True},
    }
    replay(monkeypatch, {"event": "run", "uid": "u-1", "metrics": ""}, stopped)
    said = utk("run", "--local", str(quickstart), "--nproc", "2", "--set", "training.seed=3", "-o", shape)
    assert said.code == 130
    assert "checkpoint step 7 saved" in said.err
    assert f"utk run --local {quickstart} --nproc 2 --set training.seed=3 --resume u-1" in said.err


def test_a_fault_that_is_not_there_is_refused_before_anything_starts(utk: Utk, quickstart: Path) -> None:
    said = utk("run", "--local", str(quickstart), "--chaos", "flood@3", "-o", "jsonl")
    assert said.code == 2
    (line,) = said.out.splitlines()
    assert json.loads(line)["event"] == "error" and json.loads(line)["errors"][0]["code"] == "UTK0404"


def test_a_run_to_go_on_with_must_be_there(utk: Utk, quickstart: Path) -> None:
    said = utk("run", "--local", str(quickstart), "--resume", "no-such-run")
    assert said.code == 3 and "UTK0406" in said.err


def test_without_a_trainer_the_line_that_installs_it_is_said(
    utk: Utk, quickstart: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ultrathink.local.NEEDED", ("no_such_library",))
    said = utk("run", "--local", str(quickstart))
    assert said.code == 1 and "UTK0606" in said.err and "ultrathink[cli,trainer]" in said.err


def test_steps_replace_tokens(utk: Utk, quickstart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = replay(monkeypatch, SUMMARY)
    sets = ("--set", "training.tokens=1000000", "--set", "training.steps=null")
    assert utk("run", "--local", str(quickstart), *sets, "--steps", "5").code == 0
    assert asked[0]["steps"] == 5


def test_a_line_survives_what_an_event_lacks() -> None:
    narrator = Narrator()
    assert narrator.line({"event": "step", "step": 1, "loss": None}) == "step 1  loss none"
    assert narrator.line({"event": "eval", "step": 1, "loss": None}) == "held-out none"
    assert narrator.line({"event": "attempt", "attempt": 1, "cause": None}) is None
    assert narrator.line({"event": "from a newer supervisor"}) is None
