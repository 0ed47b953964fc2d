"""F43: a job that fails again and again without a new checkpoint."""

import pytest

from faults.conftest import Run


@pytest.mark.fault("F43")
def test_a_crash_loop_without_a_checkpoint_ends_as_no_progress(run: Run) -> None:
    summary = run("kill:0@1", "kill:0@2", "kill:0@3").summary()
    assert (summary["phase"], summary["reason"], summary["code"]) == ("Failed", "NoProgress", "UTK0402")
    assert summary["attempts"] == 3 and summary["fix"]


@pytest.mark.fault("F43")
def test_a_new_checkpoint_gives_the_patience_back(run: Run) -> None:
    summary = run("kill:0@2", "kill:1@3", "kill:0@20", "kill:1@21").summary()
    assert (summary["phase"], summary["attempts"]) == ("Succeeded", 5)
