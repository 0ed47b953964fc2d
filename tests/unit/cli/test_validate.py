"""Wrong files: each is refused with code, place, reason and fix, in words and in JSON, and never with a traceback."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Utk = Callable[..., Any]

JOB = """\
apiVersion: ultrathink.io/v1alpha1
kind: UltraThinkJob
metadata:
  name: moe-8b
spec:
  model: {preset: moe-tiny}
  data: {uri: "builtin://stories"}
  training:
    steps: 200
  workers: {count: 4, gpus: 2}
  parallelism: {tensor: 2, pipeline: 2, data: 2}
"""


def wrong(before: str, after: str) -> str:
    assert before in JOB
    return JOB.replace(before, after)


WRONG = {
    "an unknown field": (wrong("steps:", "stepz:"), 7, "UTK0102", "job.yaml:9:5", "did you mean steps?"),
    "a wrong type": (wrong("count: 4", "count: many"), 7, "UTK0103", "job.yaml:10:20", "fix:"),
    "a missing part": (
        wrong('  data: {uri: "builtin://stories"}\n', ""),
        7,
        "UTK0104",
        "job.yaml:5:1",
        "add data:",
    ),
    "a layout that does not fit": (wrong("data: 2}", "data: 4}"), 7, "UTK0107", "job.yaml:11:47", "fix:"),
    "a name that does not fit": (wrong("moe-8b", "Moe_8b"), 7, "UTK0109", "job.yaml:4:9", "shorter name"),
    "data that are not there": (wrong("builtin://stories", "builtin://novels"), 7, "UTK0201", "job.yaml:7:15", "fix:"),
    "an unknown preset": (wrong("moe-tiny", "moe-huge"), 7, "UTK0121", "job.yaml:6:19", "moe-tiny"),
    "another kind": (wrong("UltraThinkJob", "Pod"), 7, "UTK0101", "job.yaml:2:7", "kind: UltraThinkJob"),
    "unreadable YAML": (wrong("{count: 4,", "{count: [4,"), 7, "UTK0100", "job.yaml:10:", "fix:"),
    "a field given twice": (JOB + "  workers: {count: 1}\n", 7, "UTK0100", "job.yaml:12", "keep one of the two"),
    "nothing": ("", 7, "UTK0100", "job.yaml is empty", "utk init"),
    "two documents": (JOB + "---\n" + JOB, 7, "UTK0100", "2 YAML documents", "keep one"),
    "a list": ("- a\n", 7, "UTK0100", "not an object", "apiVersion:"),
    "itself, by an anchor": ("a: &a [*a]\n", 7, "UTK0100", "job.yaml", "fix:"),
    "bytes that are no text": (b"\xff\xfe\x00", 2, "UTK0602", "not UTF-8", "fix:"),
}


@pytest.fixture
def job(tmp_path: Path) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(JOB)
    return path


def put(path: Path, content: str | bytes) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_in_words(utk: Utk, job: Path, case: str) -> None:
    content, code, name, place, fix = WRONG[case]
    put(job, content)
    said = utk("validate", "job.yaml")
    assert (said.code, said.out) == (code, ""), said
    assert f"error[{name}]" in said.err
    assert place in said.err
    assert fix in said.err
    assert f"explain {name}" in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_in_json(utk: Utk, job: Path, case: str) -> None:
    content, code, name, _, _ = WRONG[case]
    put(job, content)
    said = utk("validate", "job.yaml", "-o", "json")
    assert (said.code, said.err) == (code, "")
    assert (said.json["apiVersion"], said.json["kind"], said.json["valid"]) == ("utk/v1", "Validation", False)
    error = said.json["errors"][0]
    assert error["code"] == name
    assert error["message"] and error["fix"]
    planned = utk("plan", "job.yaml", "-o", "json")
    assert (planned.code, planned.json["kind"], planned.json["errors"][0]["code"]) == (code, "Error", name)


def test_the_caret_stands_under_the_value(utk: Utk, job: Path) -> None:
    put(job, wrong("count: 4", "count: many"))
    lines = utk("validate", "job.yaml").err.splitlines()
    assert lines[0] == "error[UTK0103]: a field has the wrong type"
    assert lines[1].strip() == "--> job.yaml:10:20"
    source, caret = lines[4], lines[5]
    assert source == "10 |   workers: {count: many, gpus: 2}"
    assert caret.index("^") == source.index("many")
    assert caret.count("^") == len("many")


def test_all_that_is_wrong_is_said_at_once(utk: Utk, job: Path) -> None:
    put(job, wrong("steps:", "stepz:").replace("count: 4", "cuont: 4"))
    codes = [error["code"] for error in utk("validate", "job.yaml", "-o", "json").json["errors"]]
    assert codes.count("UTK0102") == 2 and "UTK0104" in codes


def test_a_file_that_is_not_there_is_not_found(utk: Utk) -> None:
    said = utk("validate", "nothing.yaml", "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (3, "UTK0601")


def test_a_folder_is_not_a_file(utk: Utk, tmp_path: Path) -> None:
    said = utk("validate", str(tmp_path), "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (2, "UTK0602")


def test_a_valid_file_names_its_ranks_and_what_comes_next(utk: Utk, job: Path) -> None:
    said = utk("validate", "job.yaml")
    assert said.code == 0
    assert said.out == "✓ job.yaml is valid · 8 ranks (tp 2 · pp 2 · dp 2)\n"
    assert said.err.startswith("Next:")


def test_several_files_are_one_answer_and_the_worst_exit_code(utk: Utk, job: Path, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(wrong("steps:", "stepz:"))
    said = utk("validate", "job.yaml", "other.yaml", "-o", "json")
    assert said.code == 7
    assert [item["valid"] for item in said.json["items"]] == [True, False]
    assert utk("validate", "job.yaml", "other.yaml", "-o", "name").out == "job.yaml\n"


def test_stdin_is_a_file_too(utk: Utk) -> None:
    assert utk("validate", "-", stdin=JOB).code == 0
    said = utk("validate", "-", stdin=wrong("steps:", "stepz:"))
    assert (said.code, "<stdin>:9:5" in said.err) == (7, True)


def test_a_set_value_is_blamed_and_not_the_file(utk: Utk, job: Path) -> None:
    said = utk("validate", "job.yaml", "--set", "workers.count=many")
    assert said.code == 7
    assert "--> --set workers.count=many" in said.err and "job.yaml:" not in said.err


@pytest.mark.parametrize(
    "assignment", ["workers", "status.phase=Running", "metadata.uid=x", "workers.count.x=1", "=3", "a=[", "kind=Pod"]
)
def test_what_cannot_be_set_is_refused(utk: Utk, job: Path, assignment: str) -> None:
    said = utk("validate", "job.yaml", "--set", assignment, "-o", "json")
    assert said.code in {2, 7}
    assert said.json["errors"][0]["code"] in {"UTK0603", "UTK0100"}


def test_set_reads_yaml_and_removes_with_null(utk: Utk, job: Path) -> None:
    sets = ("--set", "parallelism={tensor: 1, pipeline: 1}", "--set", "training.optimizer.lr=1e-5")
    value = utk("plan", "job.yaml", *sets, "--set", "metadata.name=other", "-o", "json").json
    assert (value["mesh"]["data"], value["optimizer"]["lr"], value["name"]) == (8, 1e-5, "other")
    assert utk("validate", "job.yaml", "--set", "parallelism.data=null").code == 0


def test_nproc_means_workers_without_gpus(utk: Utk, job: Path) -> None:
    value = utk("plan", "job.yaml", "--nproc", "4", "--set", "parallelism.data=1", "-o", "json").json
    assert (value["worldSize"], value["nodes"], value["ranksPerNode"]) == (4, 4, 1)
