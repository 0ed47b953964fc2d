"""The fault matrix in pytest: `@pytest.mark.fault("F37")` names what a test injects, `recovery` keeps its times."""

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
STAGES = ("detect", "teardown", "start", "restore", "firstStep")
"""How a recovery splits: from the fault to its being known, to the last process gone, to the first one there, to the
state read back, to the next step."""
PAGE = "docs/robustness.md"
SECURITY = "docs/security.md"
REPORT = "bench/results/faults.jsonl"
CHAOS = "bench/results/chaos.jsonl"
CHANGED = "+"
WRITTEN = (PAGE, SECURITY, REPORT, CHAOS)
"""What runs write: not a change of what is tested."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption(
        "--faults",
        metavar="FILE",
        help="run only tests of the fault matrix, append results to FILE, leave out what passed at this very commit",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "fault(*names): faults of the matrix, F01 to F48 and N01 to N44, that the test injects"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        names = faults_of(item)
        if names:
            item.user_properties.append(("faults", names))
    file = config.getoption("--faults")
    if file is None:
        return
    done = {record["test"] for record in passed(Path(file), commit())}
    chosen = [item for item in items if faults_of(item) and item.nodeid not in done]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def faults_of(item: pytest.Item) -> list[str]:
    return [str(name) for mark in item.iter_markers("fault") for name in mark.args]


@pytest.hookimpl
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """On the controller, whoever ran the test."""
    if _FILE is None or (report.when != "call" and report.passed):
        return
    properties = dict(report.user_properties)
    names = properties.get("faults")
    if not names:
        return
    result = "none" if report.skipped else "pass" if report.passed else "fail"
    record = {
        "faults": names,
        "test": report.nodeid,
        "result": result,
        "commit": commit(),
        "seconds": round(report.duration, 2),
        "times": properties.get("recovery", {}),
    }
    with _FILE.open("a") as file:
        file.write(json.dumps(record) + "\n")


_FILE: Path | None = None


def pytest_sessionstart(session: pytest.Session) -> None:
    global _FILE
    file = session.config.getoption("--faults")
    if file is not None and not hasattr(session.config, "workerinput"):
        _FILE = Path(file).absolute()
        _FILE.parent.mkdir(parents=True, exist_ok=True)


@pytest.fixture
def recovery(request: pytest.FixtureRequest) -> Callable[[Mapping[str, float]], None]:
    """Keeps the seconds of each stage of a recovery that was measured, for the page."""

    def keep(times: Mapping[str, float]) -> None:
        unknown = set(times) - set(STAGES)
        assert not unknown, f"no stage of a recovery: {sorted(unknown)}"
        request.node.user_properties.append(("recovery", {stage: round(times[stage], 2) for stage in times}))

    return keep


def commit() -> str:
    """What is tested: the commit, with a + where a file that is not the page itself differs from it."""
    head = _git("rev-parse", "--short", "HEAD")
    changed = [line for line in _git("status", "--porcelain").splitlines() if not line.endswith(WRITTEN)]
    return (head or "unknown") + (CHANGED if changed else "")


def passed(file: Path, here: str) -> list[dict[str, Any]]:
    """What need not be run again: it passed at this commit. Of a changed tree nothing: it may have changed again."""
    if here.endswith(CHANGED):
        return []
    return [record for record in read(file) if (record["commit"], record["result"]) == (here, "pass")]


def _git(*words: str) -> str:
    told = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return told.stdout.strip()


def read(file: Path) -> list[dict[str, Any]]:
    """The records of a report, oldest first."""
    try:
        return [json.loads(line) for line in file.read_text().splitlines() if line]
    except FileNotFoundError:
        return []
