"""The page of symptoms: whole, once each, said in words that the code says, and current."""

import ast
import importlib.util
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import typer

from ultrathink_api import cures
from ultrathink_api.causes import Cause
from ultrathink_api.errors import CODES
from ultrathink_api.symptoms import SYMPTOMS
from utk.main import build

ROOT = Path(__file__).parents[3]
NAMES = {entry.name for entry in CODES.values()}
NEVER_SAID = {Cause.NODE_LOST, Cause.PREEMPTED}
"""Causes that the API knows and nothing reports yet; with the first that does, they need a place on the page."""
SAYERS = ("operator/ultrathink_operator", "trainer/ultrathink_trainer", "api/ultrathink_api/causes.py")


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_registry_says(generate: ModuleType) -> None:
    assert (ROOT / "docs" / "troubleshooting.md").read_text() == generate.troubleshooting(), "run `make generate`"


def test_every_code_belongs_to_one_symptom_and_stands_once_in_a_table() -> None:
    found = Counter(code for symptom in SYMPTOMS for code in symptom.codes)
    assert found == Counter(CODES.keys()), "name each code once in api/ultrathink_api/symptoms.py"
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    assert Counter(re.findall(r"^\| `(UTK\d{4})`", page, flags=re.MULTILINE)) == Counter(CODES.keys())


def test_every_reason_belongs_to_one_symptom_and_is_no_code() -> None:
    found = Counter(reason for symptom in SYMPTOMS for reason in symptom.reasons)
    assert [reason for reason, times in found.items() if times > 1 or reason in NAMES] == []


def test_every_cause_has_a_place() -> None:
    placed = {reason for symptom in SYMPTOMS for reason in symptom.reasons} | NAMES
    assert set(map(str, Cause)) - placed == NEVER_SAID


def words(path: Path) -> Iterator[str]:
    for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_every_reason_is_one_that_operator_or_trainer_says() -> None:
    said = {word for place in SAYERS for word in words(ROOT / place)}
    assert {reason for symptom in SYMPTOMS for reason in symptom.reasons} - said == set()
    assert set(cures.REASONS) - said - NAMES == set()


def test_every_code_can_be_cured_in_one_line_and_from_one_source() -> None:
    assert [code for code in CODES if not cures.of_code(code) or "\n" in cures.of_code(code)] == []
    shadowed = [code for code, fix in cures.CODES.items() if cures.of_code(code) != fix]
    assert shadowed == [], "a rule says it"
    assert set(cures.CODES) <= set(CODES)


def test_a_cure_names_the_job_where_its_command_needs_it() -> None:
    for reason in cures.REASONS:
        said = cures.of_reason(reason, name="j", namespace="n")
        assert said and "{" not in said, reason


def commands() -> set[str]:
    fixes = [*map(cures.of_code, CODES), *cures.REASONS.values()]
    looks = [symptom.look for symptom in SYMPTOMS]
    return {
        found for text in (*fixes, *looks) for found in re.findall(r"\butk ([a-z]+(?: [a-z]+)?(?: --?[a-z]+)?)", text)
    }


@pytest.mark.parametrize("line", sorted(commands()))
def test_every_command_that_is_advised_exists(line: str) -> None:
    app = typer.main.get_command(build())
    first, *rest = line.split()
    command = app.commands[first]  # type: ignore[attr-defined]
    if hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)} | {"--help"}
    assert {word for word in rest if word.startswith("-")} <= known
