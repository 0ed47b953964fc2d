"""utk plan: the machine-readable contract, with numbers that can be checked by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ultrathink import Job

EXAMPLES = Path(__file__).parents[3] / "manifests" / "examples"


def test_the_plan_of_the_nine_line_job(utk: Callable[..., Any]) -> None:
    said = utk("plan", str(EXAMPLES / "quickstart.yaml"), "-o", "json")
    assert (said.code, said.err) == (0, "")
    value = said.json
    assert (value["apiVersion"], value["kind"], value["name"]) == ("utk/v1", "Plan", "quickstart")
    assert value["worldSize"] == 2
    assert value["mesh"] == {"pipeline": 1, "data": 2, "context": 1, "tensor": 1, "expert": 1}
    assert value["parameters"] == {"total": 2167936, "active": 988288}
    assert value["steps"] == 200
    assert value["checkpoint"]["intervalSteps"] == 20
    (rank,) = value["perRank"]
    assert rank["stage"] == 0
    assert rank["memoryBytes"]["parameters"] == rank["memoryBytes"]["gradients"] > 4 * 2167936 // 2 - 4


def test_two_stages_are_two_rows(utk: Callable[..., Any]) -> None:
    value = utk("plan", str(EXAMPLES / "moe-2x2.yaml"), "-o", "json").json
    assert [(row["index"], row["firstLayer"], row["lastLayer"]) for row in value["stages"]] == [(0, 0, 2), (1, 2, 4)]
    assert [row["stage"] for row in value["perRank"]] == [0, 1]
    assert value["mesh"] == {"pipeline": 2, "data": 1, "context": 1, "tensor": 2, "expert": 1}


def test_the_text_names_what_a_person_asks(utk: Callable[..., Any]) -> None:
    said = utk("plan", str(EXAMPLES / "moe-2x2.yaml"))
    for words in ("4 ranks = pipeline 2 × data 1 × tensor 2", "8 experts, top 2", "2,048 tokens", "200 steps"):
        assert words in said.out


def test_one_field_can_be_asked_for(utk: Callable[..., Any]) -> None:
    said = utk("plan", str(EXAMPLES / "moe-2x2.yaml"), "-o", "jsonpath={.worldSize}:{.perRank[*].stage}")
    assert said.out == "4:0 1\n"


def test_whether_it_fits_a_named_device_is_said_with_what_would(utk: Callable[..., Any]) -> None:
    large = ("--set", "model.preset=dense-8b", "--set", "workers={count: 1, gpus: 8}")
    said = utk("plan", str(EXAMPLES / "quickstart.yaml"), *large, "--on", "rtx4090")
    assert "Does not fit NVIDIA RTX 4090" in said.out
    (would,) = [line for line in said.out.splitlines() if "--set training.activationCheckpointing=true" in line]
    flags = would.partition("#")[0].split()
    assert (
        "Fits NVIDIA RTX 4090" in utk("plan", str(EXAMPLES / "quickstart.yaml"), *large, *flags, "--on", "rtx4090").out
    )
    found = utk("plan", str(EXAMPLES / "quickstart.yaml"), "--on", "H200", "-o", "json").json["fit"]
    assert (found["accelerator"], found["fits"], "remedies" in found) == ("h200", True, False)
    assert found["bytes"] < found["usableBytes"] < 141e9


def test_a_device_that_is_not_in_the_catalogue_is_refused(utk: Callable[..., Any]) -> None:
    said = utk("plan", str(EXAMPLES / "quickstart.yaml"), "--on", "h300")
    assert said.code == 2
    assert "UTK0604" in said.err
    assert "h200" in said.err


def test_the_quickstart_job_is_nine_lines() -> None:
    assert len((EXAMPLES / "quickstart.yaml").read_text().splitlines()) == 9


def test_the_same_from_python() -> None:
    job = Job.from_file(str(EXAMPLES / "quickstart.yaml"))
    assert job.validate() == ()
    assert job.plan().world_size == 2
    other = job.set("workers.count", 4).set("parallelism", {"tensor": 2, "pipeline": 2})
    assert other.plan().mesh.tensor == 2
    assert job.plan().world_size == 2, "set makes another job"
    assert [problem.code for problem in job.set("workers.count", 0).validate()] == ["UTK0105"]
