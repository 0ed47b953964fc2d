"""The public CI's workflows, by actionlint; they cannot run here."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))


def lint(*files: Path) -> "subprocess.CompletedProcess[str]":
    from testbed.binaries import binary
    from testbed.needs import require

    program = require(lambda: binary("actionlint"))
    # shellcheck and pyflakes are used where a machine happens to have them, so they are named: none.
    command = [str(program), "-no-color", "-shellcheck=", "-pyflakes=", *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_actionlint_has_no_complaint() -> None:
    assert len(WORKFLOWS) >= 2
    done = lint(*WORKFLOWS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_would_complain(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(WORKFLOWS[0].read_text().replace("runs-on:", "run-on:"))
    assert "run-on" in lint(wrong).stdout


def test_every_action_is_named_by_its_commit() -> None:
    used = [line for file in WORKFLOWS for line in file.read_text().splitlines() if "uses:" in line]
    assert used
    assert [line for line in used if not re.search(r"@[0-9a-f]{40} # v\d", line)] == []
