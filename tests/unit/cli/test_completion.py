"""Completions: every word is in the script, and bash completes with it."""

import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from utk.completion import SHELLS
from utk.main import COMMANDS, GROUPS

Utk = Callable[..., Any]

PRESS_TAB = """
COMP_WORDS=({words}) COMP_CWORD={last}
_utk
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def tab(utk: Utk) -> Callable[..., list[str]]:
    """What bash offers for the last of some words."""
    bash = shutil.which("bash")
    assert bash, "bash is on every machine that builds this"
    script = utk("completion", "bash").out

    def press(*words: str) -> list[str]:
        quoted = " ".join(f"'{word}'" for word in ("utk", *words))
        pressed = script + PRESS_TAB.format(words=quoted, last=len(words))
        done = subprocess.run([bash, "--norc"], input=pressed, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout.split()

    return press


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_is_in_the_script(utk: Utk, shell: str) -> None:
    said = utk("completion", shell)
    assert said.code == 0 and said.err == ""
    for name in (*COMMANDS, *GROUPS):
        assert f" {name} " in said.out or f'"{name}"' in said.out, name
    assert "dry-run" in said.out
    assert not re.search("@[A-Z]+@", said.out)


def test_bash_completes_commands_and_groups(tab: Callable[..., list[str]]) -> None:
    assert tab("") == [*COMMANDS, *GROUPS]
    assert tab("sta") == ["status"]
    assert "export" in tab("checkpoints", "")
    assert tab("completion", "") == ["bash", "zsh", "fish"]


def test_bash_completes_options_and_their_values(tab: Callable[..., list[str]]) -> None:
    assert "--dry-run" in tab("submit", "job.yaml", "--d")
    assert tab("submit", "--dry-run", "") == ["none", "client", "server"]
    assert "--uri" in tab("checkpoints", "verify", "--u")
    assert tab("submit", "--unknown-") == []


def test_bash_takes_no_job_for_a_command(tab: Callable[..., list[str]]) -> None:
    assert "--watch" in tab("status", "list", "--w")
    assert tab("status", "") == []


def test_other_shells_are_refused(utk: Utk) -> None:
    said = utk("completion", "tcsh", "-o", "json")
    assert said.code == 2
    assert utk("completion", "tcsh").code == 2 and "bash, zsh, fish" in utk("completion", "tcsh").err
