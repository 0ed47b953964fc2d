"""utk validate: everything that is wrong with a job, before anything is started."""

from typing import Any

from utk import exits, output, problems
from utk.arrangement import gist
from utk.console import console
from utk.options import Files, Nproc, Output, Set, follow_ups


def main(
    files: Files,
    sets: Set = (),
    nproc: Nproc = 0,
    shape: Output = "text",
) -> int:
    """Check jobs without a cluster. Shapes (-o): text, json, yaml, name, jsonpath=."""
    from ultrathink import Job, Refused
    from ultrathink.reports import problem_list, report

    output.allow(shape, "text", "json", "jsonl", "yaml", "name", output.JSONPATH)
    results: list[dict[str, Any]] = []
    worst = exits.OK
    for name in files:
        said: dict[str, Any] = {"file": name}
        try:
            job = Job.from_file(name, sets, nproc=nproc)
            found = job.validate()
            said["name"] = job.name
            refused = job.located(found) if found else None
        except Refused as error:
            found, refused = error.problems, error
        worst = max(worst, max((exits.of(problem) for problem in found), default=exits.OK))
        results.append({"valid": not found, "errors": problem_list(found), **said})
        if refused and shape in {"text", "name"}:
            problems.show(refused)
        elif shape == "text":
            console.print(f"{console.paint('✓', 'green', console.out)} {name} is valid{_gist(job)}")
    value = report("Validation", **results[0]) if len(results) == 1 else _many(results)
    output.show(shape, value, text=lambda: None, name=lambda: "\n".join(str(r["file"]) for r in results if r["valid"]))
    if worst == exits.OK and shape == "text":
        console.next(*follow_ups(files[0], "plan", "run --local", "submit"))
    return worst


def _many(results: list[dict[str, Any]]) -> dict[str, Any]:
    from ultrathink.reports import report

    return report("ValidationList", valid=all(r["valid"] for r in results), items=results)


def _gist(job: Any) -> str:
    return f" · {gist(job.plan())}"
