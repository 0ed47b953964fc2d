"""Which schedules `make chaos` runs; the runs themselves take minutes and are no unit."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest

from faults import chaos
from faults.plugin import read


@pytest.mark.parametrize(("commit", "again"), [("abc", [1]), ("abc+", [0, 1])])
def test_what_was_right_is_left_out_unless_the_tree_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commit: str, again: list[int]
) -> None:
    report = tmp_path / "chaos.jsonl"
    report.write_text(json.dumps({"commit": commit, "seed": 0, "ray": False, "result": "pass"}) + "\n")
    monkeypatch.setattr(chaos, "REPORT", report)
    monkeypatch.setattr(chaos, "commit", lambda: commit)
    monkeypatch.setattr(chaos, "S3Server", nullcontext)
    monkeypatch.setattr(chaos, "disturb", lambda *_: None)
    monkeypatch.setattr(chaos.signal, "signal", lambda *_: None)
    assert chaos.main(["--runs", "2", "--ray", "0"]) == 0
    assert [record["seed"] for record in read(report)[1:]] == again
