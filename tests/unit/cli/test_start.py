"""Help comes fast: the list of what it must not import."""

import json
import subprocess
import sys

HEAVY = {"torch", "ray", "kubernetes", "kopf", "numpy", "boto3", "pydantic", "yaml", "rich", "urllib3"}

LOOK = """
import json, sys
from utk.main import run
code = run({words!r})
print(json.dumps([code, sorted(name for name in sys.modules if "." not in name)]), file=sys.stderr)
"""


def imported(*words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", LOOK.format(words=list(words))], capture_output=True, text=True, check=True
    )
    code, names = json.loads(done.stderr.splitlines()[-1])
    assert code == 0
    return set(names)


def test_help_imports_nothing_heavy() -> None:
    assert not imported("--help") & HEAVY


def test_help_of_a_command_imports_nothing_heavy() -> None:
    # Typer itself reads the words of a command with pydantic.
    assert not imported("submit", "--help") & (HEAVY - {"pydantic"})
    assert not imported("wait", "--help") & (HEAVY - {"pydantic"})
    assert not imported("run", "--help") & (HEAVY - {"pydantic"})
    assert not imported("data", "prepare", "--help") & (HEAVY - {"pydantic"})


def test_completion_imports_nothing_heavy() -> None:
    assert not imported("completion", "bash") & (HEAVY - {"pydantic"})


def test_version_imports_no_library_that_it_names() -> None:
    assert not imported("version") & {"torch", "ray", "kubernetes", "numpy"}


def test_the_api_is_there_by_name() -> None:
    from ultrathink import Job, Problem, Refused

    assert Job.from_text and Problem and Refused
