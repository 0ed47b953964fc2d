"""Writes docs/robustness.md from the reports of real runs: a fault without a test says so there."""

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from faults.matrix import FAULTS
from faults.plugin import CHAOS, PAGE, REPORT, ROOT, STAGES, read

HEAD = """# Robustness

Faults that are injected for real (signals, limits, proxies, flipped bytes), and what came of them. `make robustness`
runs the tests of this page, keeps their report in `bench/results/faults.jsonl` and writes this file from it; a result
is never written by hand. The commit is the one that was tested; a `+` after it means that files were changed since.
Times are seconds: until the fault is known, until the last process of the attempt is gone, until the next one begins,
until its state is read back, until its first step.

| fault | what | test | result | commit | detect | teardown | start | restore | first step |
|---|---|---|---|---|---|---|---|---|---|
"""

CHAOS_HEAD = """
## Random schedules

`make chaos` draws two to four faults for each run of four ranks (kills, hangs, drains, stops, bursts of NaN, want of
memory, a store in trouble; with Ray around it also a lost driver), and compares every loss that is told with an
undisturbed run's: bit-equal, after a rollback with a run that leaves the same rows out, after want of memory to 1e-10
in float64. Ledger and chain are checked, and every checkpoint verified.

| commit | schedules | with Ray | ended right |
|---|---|---|---|
"""

Record = Mapping[str, Any]


def newest(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Fault -> the last record of each of its tests, in the order of their names."""
    last = {record["test"]: record for record in records}
    found: dict[str, list[Record]] = {}
    for test in sorted(last):
        for name in last[test]["faults"]:
            found.setdefault(name, []).append(last[test])
    return found


def verdict(records: Sequence[Record]) -> str:
    """A fault passes when all its tests do; one that was skipped has shown nothing."""
    results = {record["result"] for record in records}
    return "fail" if "fail" in results else "pass" if results == {"pass"} else "none"


def waiting(root: Path = ROOT) -> dict[str, list[str]]:
    """Fault -> tests that bear its mark, as the source says it: a test that no report knows has not been run."""
    found: dict[str, list[str]] = {}
    for file in sorted((*root.glob("tests/**/test_*.py"), *root.glob("e2e/test_*.py"))):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for name in marks_of(node):
                    found.setdefault(name, []).append(node.name)
    return found


def marks_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """The faults that its decorators name."""
    for mark in function.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
            yield from (str(word.value) for word in mark.args if isinstance(word, ast.Constant))


def told(functions: Sequence[str], not_run: Sequence[str]) -> str:
    """The tests of a row: those that were run, or what there is instead."""
    if functions:
        return "<br>".join(f"`{function}`" for function in functions)
    return f"not run yet: {'<br>'.join(f'`{name}`' for name in not_run)}" if not_run else "no test yet"


def row(name: str, records: Sequence[Record], not_run: Sequence[str] = ()) -> str:
    """One line of the table."""
    tests = told([record["test"].partition("::")[2] or record["test"] for record in records], not_run)
    commits = ", ".join(dict.fromkeys(record["commit"] for record in records)) or "-"
    slowest = {
        stage: max((record["times"][stage] for record in records if stage in record["times"]), default=None)
        for stage in STAGES
    }
    times = " | ".join("-" if seconds is None else f"{seconds:.2f}" for seconds in slowest.values())
    return f"| {name} | {FAULTS[name]} | {tests} | {verdict(records)} | {commits} | {times} |"


def chaos(records: Sequence[Record]) -> str:
    """A line a commit: how many schedules were run, and how many ended right the last time."""
    last = {(record["commit"], record["seed"], record["ray"]): record for record in records}
    lines = []
    for commit in dict.fromkeys(record["commit"] for record in records):
        runs = [record for record in last.values() if record["commit"] == commit]
        right = sum(record["result"] == "pass" for record in runs)
        lines.append(f"| {commit} | {len(runs)} | {sum(record['ray'] for record in runs)} | {right} |")
    return CHAOS_HEAD + "\n".join(lines or ["| none yet | 0 | 0 | 0 |"]) + "\n"


def page(
    records: Sequence[Record], disturbed: Sequence[Record] = (), not_run: Mapping[str, Sequence[str]] | None = None
) -> str:
    """The whole file."""
    by_fault = newest(records)
    rows = [row(name, by_fault.get(name, []), (not_run or {}).get(name, ())) for name in FAULTS]
    passed = sum("| pass |" in line for line in rows)
    return f"{HEAD}{chr(10).join(rows)}\n\n{passed} of {len(FAULTS)} pass.\n{chaos(disturbed)}"


def main(arguments: Sequence[str]) -> int:
    """`python -m faults.page [REPORT]`."""
    report = Path(arguments[0]) if arguments else ROOT / REPORT
    (ROOT / PAGE).write_text(page(read(report), read(ROOT / CHAOS), waiting()))
    print(f"{PAGE} from {report}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
