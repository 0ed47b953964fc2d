"""The page of the fault matrix: what it says comes from a report, and from nothing else."""

from pathlib import Path

import pytest

from faults import security
from faults.matrix import FAULTS
from faults.page import page, waiting
from faults.plugin import read

pytest_plugins = ("pytester",)

KILLED = {"faults": ["F37"], "test": "tests/x.py::test_kill", "commit": "abc", "times": {"detect": 0.1}, "seconds": 3}


def rows(text: str) -> dict[str, list[str]]:
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| F")]
    return {row[0]: row for row in cells}


def test_every_fault_has_a_row_and_one_without_a_test_says_so() -> None:
    found = rows(page([]))
    assert list(found) == list(FAULTS) == [f"F{number:02}" for number in range(1, 49)]
    assert {(row[2], row[3]) for row in found.values()} == {("no test yet", "none")}


def test_a_row_names_test_result_commit_and_times() -> None:
    assert rows(page([{**KILLED, "result": "pass"}]))["F37"][2:] == [
        "`test_kill`",
        "pass",
        "abc",
        "0.10",
        "-",
        "-",
        "-",
        "-",
    ]


def test_the_last_result_of_a_test_counts() -> None:
    records = [{**KILLED, "result": "fail"}, {**KILLED, "result": "pass", "commit": "def"}]
    assert rows(page(records))["F37"][3:5] == ["pass", "def"]


def test_the_page_of_security_comes_from_the_same_report() -> None:
    tried = {"faults": ["N04"], "test": "tests/x.py::test_host[a]", "commit": "abc", "result": "pass", "times": {}}
    again = {**tried, "test": "tests/x.py::test_host[b]"}
    lines = [line for line in security.page([tried, again]).splitlines() if line.startswith("| N")]
    assert [line.split("|")[1].strip() for line in lines] == [f"N{number:02}" for number in range(1, 45)]
    assert lines[3].endswith("| `test_host` | pass | abc |")
    assert lines[4].endswith("| no test yet | none | - |")
    assert "| N04 " in (failed := security.page([tried, {**again, "result": "fail"}])) and "0 of 44 pass" in failed


def test_one_failing_test_fails_its_fault() -> None:
    records = [{**KILLED, "result": "fail"}, {**KILLED, "result": "pass", "test": "tests/x.py::test_oom"}]
    assert rows(page(records))["F37"][3] == "fail"


@pytest.mark.parametrize("other", ["pass", "none", "fail"])
def test_a_fault_passes_when_all_its_tests_do(other: str) -> None:
    one = {**KILLED, "faults": ["F37", "N04"], "result": "pass"}
    records = [one, {**one, "result": other, "test": "tests/x.py::test_oom"}]
    assert rows(page(records))["F37"][3] == other
    assert f"| `test_kill`<br>`test_oom` | {other} | abc |" in security.page(records)


SAMPLE = """
import pytest

@pytest.mark.fault("F37", "F43")
def test_good(recovery):
    recovery({"detect": 0.123})

@pytest.mark.fault("F38")
def test_bad():
    assert False

def test_other():
    pass
"""


@pytest.mark.parametrize(
    ("commit", "again"),
    [("abc", {"failed": 1, "deselected": 2}), ("abc+", {"passed": 1, "failed": 1, "deselected": 1})],
)
def test_a_run_leaves_records_of_marked_tests_and_goes_on_where_it_was_unless_the_tree_was_changed(
    pytester: pytest.Pytester, commit: str, again: dict[str, int]
) -> None:
    pytester.makeconftest(f"import faults.plugin\nfaults.plugin.commit = lambda: {commit!r}")
    pytester.makepyfile(SAMPLE)
    options = ("-p", "faults.plugin", "--faults", "report.jsonl", "-p", "no:cacheprovider")
    pytester.runpytest_subprocess(*options).assert_outcomes(passed=1, failed=1, deselected=1)
    first = read(Path(pytester.path) / "report.jsonl")
    assert [(r["faults"], r["result"], r["times"]) for r in first] == [
        (["F37", "F43"], "pass", {"detect": 0.12}),
        (["F38"], "fail", {}),
    ]
    pytester.runpytest_subprocess(*options).assert_outcomes(**again)


def test_a_test_that_was_never_run_is_no_fault_without_a_test(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_x.py").write_text(
        'import pytest\n@pytest.mark.fault("F37", "N04")\ndef test_kill(): ...\ndef test_other(): ...\n'
    )
    not_run = waiting(tmp_path)
    assert not_run == {"F37": ["test_kill"], "N04": ["test_kill"]}
    found = rows(page([], (), not_run))
    assert found["F37"][2:4] == ["not run yet: `test_kill`", "none"] and found["F38"][2] == "no test yet"
    assert "| not run yet: `test_kill` | none | - |" in security.page([], not_run)
    assert rows(page([{**KILLED, "result": "pass"}], (), not_run))["F37"][2:4] == ["`test_kill`", "pass"]
