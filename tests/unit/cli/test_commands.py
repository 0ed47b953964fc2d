"""The other commands without a cluster, and what holds for all: one JSON object whatever happens, fixed exit codes."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ultrathink_api.errors import CODES, Problem
from utk import exits
from utk.main import COMMANDS, GROUPS, called_as

Utk = Callable[..., Any]


def test_init_writes_a_valid_job_and_a_schema(utk: Utk, tmp_path: Path) -> None:
    said = utk("init", "--preset", "dense-tiny", "--name", "first")
    assert said.code == 0 and said.out == ""
    assert utk("plan", "job.yaml", "-o", "json").json["name"] == "first"
    first_line = (tmp_path / "job.yaml").read_text().splitlines()[0]
    schema = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first_line)
    assert schema and json.loads((tmp_path / schema[1]).read_text())["type"] == "object"


def test_init_writes_over_nothing(utk: Utk, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("mine")
    said = utk("init")
    assert said.code == 9 and "UTK0607" in said.err
    assert (tmp_path / "job.yaml").read_text() == "mine"
    assert utk("init", "--force").code == 0


def test_init_knows_its_presets_and_can_write_to_a_pipe(utk: Utk) -> None:
    assert utk("init", "--preset", "moe-huge").code == 7
    said = utk("init", "-o", "-")
    assert utk("validate", "-", stdin=said.out).code == 0


def test_every_code_can_be_explained(utk: Utk) -> None:
    for code in CODES:
        value = utk("explain", code, "-o", "json").json
        assert (value["kind"], value["code"]) == ("Explanation", code)
    said = utk("explain", "utk0107")
    assert "ParallelismMismatch" in said.out and "exit code 7" in said.out
    assert utk("explain", "ParallelismMismatch", "-o", "json").json["rules"][0]["cel"]


def test_an_unknown_code_is_not_found(utk: Utk) -> None:
    said = utk("explain", "UTK0017", "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (3, "UTK0608")


def test_the_exit_codes_are_a_page(utk: Utk) -> None:
    codes = {row["code"] for row in utk("help", "exit-codes", "-o", "json").json["exitCodes"]}
    assert codes == {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 130}
    assert "130" in utk("help", "exit-codes").out
    assert utk("help").code == 0
    assert utk("help", "nothing").code == 3


def test_the_version_is_the_distributions(utk: Utk) -> None:
    from importlib.metadata import version

    assert utk("version", "-o", "json").json["version"] == version("ultrathink")
    assert utk("version").out.startswith("utk ")


def test_every_code_has_an_exit_code_that_is_documented() -> None:
    for code in CODES:
        assert exits.of(Problem(code=code, field="", message="", fix="")) in exits.MEANINGS


@pytest.mark.parametrize(
    "words",
    [
        ("vlidate",),
        ("validate",),
        ("validate", "--nonsense"),
        ("plan", "a", "b"),
        ("plan", "x.yaml", "--nproc", "many"),
        ("run", "x.yaml"),
        ("list", "--color", "pink"),
        ("reproduce",),
        ("reproduce", "name", "--attempt", "0"),
        ("checkpoints", "ls"),
        ("checkpoints", "ls", "name", "--uri", "file:///x"),
    ],
)
def test_what_cannot_be_understood_ends_with_2_and_json_stays_json(utk: Utk, words: tuple[str, ...]) -> None:
    said = utk(*words, "-o", "json")
    assert said.code == 2
    assert said.json["kind"] == "Error" and said.json["errors"][0]["code"] == "UTK0604"
    plain = utk(*words)
    assert plain.code == 2 and plain.out == "" and "UTK0604" in plain.err


def test_a_shape_that_is_not_there_is_refused(utk: Utk, quickstart: Path) -> None:
    said = utk("plan", str(quickstart), "-o", "xml")
    assert said.code == 2 and "choose one of: text, json" in said.err


def test_a_mistyped_command_is_suggested(utk: Utk) -> None:
    assert "validate" in utk("vlidate").err


def test_help_lists_what_there_is_and_nothing_else(utk: Utk, capsys: pytest.CaptureFixture[str]) -> None:
    assert utk("--help").code == 0
    listed = re.findall(r"^  ([a-z]+)  ", capsys.readouterr().out, re.MULTILINE)
    assert listed == [*COMMANDS, *GROUPS]


def test_a_bug_is_said_without_a_traceback(utk: Utk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ultrathink.reports.report", lambda *_, **__: 1 / 0)
    said = utk("version")
    assert said.code == 1 and "UTK0600" in said.err and "Traceback" not in said.err and "UTK_DEBUG" in said.err


def test_an_empty_folder_has_no_checkpoints(utk: Utk, tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/runs"
    listed = utk("checkpoints", "ls", "--uri", uri, "-o", "json")
    assert (listed.code, listed.json["items"]) == (0, [])
    verified = utk("checkpoints", "verify", "--uri", uri, "-o", "json")
    assert (verified.code, verified.json["errors"][0]["code"]) == (3, "UTK0312")


def test_a_uri_that_cannot_be_used_is_refused(utk: Utk) -> None:
    said = utk("checkpoints", "ls", "--uri", "gopher://runs", "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (7, "UTK0123")


def test_quiet_leaves_only_what_was_asked_for(utk: Utk, quickstart: Path) -> None:
    said = utk("plan", str(quickstart), "-q")
    assert said.err == "" and "Model" in said.out


def test_what_is_suggested_can_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert called_as(".venv/bin/utk") == ".venv/bin/utk"
    assert called_as("/usr/local/bin/kubectl-utk") == "kubectl utk"
    assert called_as("-c") == "utk"
