"""Reads the rules' vectors: the same ones for the predicates and for a real API server."""

import copy
from pathlib import Path
from typing import Any

import yaml

_FILE = yaml.safe_load((Path(__file__).parent / "rules.yaml").read_text())

Vector = tuple[str, bool, dict[str, Any]]


def vectors() -> list[Vector]:
    """(code, whether it is accepted, the job), for every row."""
    return [
        (code, accepted, changed(change))
        for code, row in _FILE["rules"].items()
        for accepted, changes in ((True, row["accept"]), (False, row["reject"]))
        for change in changes
    ]


def changes() -> list[tuple[str, bool, dict[str, Any], dict[str, Any]]]:
    """(code, whether it is accepted, what was, what is asked for), for every row about a job that has started."""
    return [
        (row["code"], word == "accept", row.get("given", {}), row[word])
        for row in _FILE["changes"]
        for word in ("accept", "reject")
    ]


def changed(change: dict[str, Any]) -> dict[str, Any]:
    """The smallest job with a change made to it."""
    job: dict[str, Any] = copy.deepcopy(_FILE["base"])
    for path, value in change.items():
        node = job if path.startswith("metadata.") else job["spec"]
        *parents, name = path.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = copy.deepcopy(value)
    return job


def label(vector: Vector) -> str:
    """A test's name for a row."""
    return f"{vector[0]}-{'accept' if vector[1] else 'reject'}"
