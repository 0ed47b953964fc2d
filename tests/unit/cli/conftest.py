"""Runs command lines in this process, with streams of our own."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from utk.console import console
from utk.main import run

EXAMPLES = Path(__file__).parents[3] / "manifests" / "examples"


@dataclass
class Said:
    """What one command line left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Utk = Callable[..., Said]


@pytest.fixture
def utk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Utk]:
    """`utk(words...)` in an empty folder, in pipes."""
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR", "KUBECONFIG", "CI", "UTK_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def call(*words: str, stdin: str = "") -> Said:
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        monkeypatch.setattr(console, "out", out)
        monkeypatch.setattr(console, "err", err)
        code = run(list(words))
        return Said(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))

    yield call


@pytest.fixture
def quickstart(tmp_path: Path) -> Path:
    """The nine-line job."""
    path = tmp_path / "quickstart.yaml"
    path.write_text((EXAMPLES / "quickstart.yaml").read_text())
    return path
