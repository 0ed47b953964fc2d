"""The house rules that a tool does not check: short files, a README that starts with a command, targets that exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text().splitlines()
LONGEST_FILE = 400
LONGEST_README = 200
FIRST_COMMAND = 20
STABLE = ("demo", "test", "e2e", "cluster", "cluster-down", "images", "bench", "generate")


def tracked(pattern: str) -> list[Path]:
    told = subprocess.run(["git", "ls-files", pattern], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in told.stdout.splitlines() if (ROOT / name).exists()]


def test_no_file_is_longer_than_can_be_read() -> None:
    files = tracked("*.py")
    assert files
    assert [str(f) for f in files if len(f.read_text().splitlines()) > LONGEST_FILE] == []


def test_every_module_says_in_its_first_line_what_it_is_for() -> None:
    silent = [str(f) for f in tracked("*.py") if (text := f.read_text()) and not text.startswith(('"""', "#!"))]
    assert silent == []


def test_the_readme_is_short_and_starts_with_a_command() -> None:
    assert len(README) <= LONGEST_README
    first = next(number for number, line in enumerate(README, start=1) if line.startswith("$ "))
    assert first <= FIRST_COMMAND


def test_the_readme_shows_the_example_as_it_is() -> None:
    example = (ROOT / "manifests/examples/quickstart.yaml").read_text().strip()
    assert example in "\n".join(README)


@pytest.mark.parametrize("command", [line[2:] for line in README if line.startswith(("$ utk", "$ .venv/bin/utk"))])
def test_every_utk_command_of_the_readme_is_understood(command: str) -> None:
    words = command.split()[1:]
    verbs = [word for word in words[:2] if re.fullmatch("[a-z]+", word)]
    group = verbs if verbs[0] == "checkpoints" else verbs[:1]
    utk = Path(sys.executable).with_name("utk")
    told = subprocess.run([utk, *group, "--help"], capture_output=True, text=True, check=True)
    shown = told.stdout
    for option in (word for word in words if word.startswith("-")):
        assert option in shown, f"{command}: {option} is unknown"


def test_the_stable_commands_are_targets() -> None:
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert set(STABLE) <= set(targets)
