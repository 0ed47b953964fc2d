"""`make images` and the two Containerfiles: what they promise, and what they refuse before an hour of building."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]
IMAGES = ("operator", "trainer")


@pytest.fixture
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("images_build", ROOT / "images" / "build.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def no_docker(build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    from testbed.engines import Buildah

    monkeypatch.setattr(build, "engine", Buildah)


def test_an_image_that_there_is_not_is_refused(build: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build.main(["dashboard"])
    assert "no image dashboard; there are operator, trainer" in capsys.readouterr().err


@pytest.mark.usefixtures("no_docker")
def test_kind_without_docker_is_refused_with_another_way(
    build: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIND", "mine")
    with pytest.raises(SystemExit):
        build.main([])
    assert "fix: --registry" in capsys.readouterr().err


def test_the_tag_follows_the_source(build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in ("pyproject.toml", "README.md", "LICENSE", "images/tools.txt", "images/operator.Containerfile"):
        write(tmp_path / file, "as it was")
    for file in ("requirements/bootstrap.txt", "requirements/operator.txt", "api/ultrathink_api/job.py"):
        write(tmp_path / file, "as it was")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    before = build.tag("operator")
    write(tmp_path / "api" / "__pycache__" / "job.pyc", "what Python leaves behind")
    assert build.tag("operator") == before
    write(tmp_path / "api" / "ultrathink_api" / "job.py", "as it is now")
    assert build.tag("operator") != before


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.fixture(params=IMAGES)
def containerfile(request: pytest.FixtureRequest) -> str:
    return (ROOT / "images" / f"{request.param}.Containerfile").read_text()


def test_the_base_is_the_builders_choice(containerfile: str) -> None:
    stages = re.findall(r"^FROM (\S+)", containerfile, re.MULTILINE)
    assert set(stages) == {"${BASE}"}
    assert "ARG BASE=" in containerfile.partition("FROM")[0]


def test_it_runs_as_nobody_in_particular(containerfile: str) -> None:
    assert re.findall(r"^USER (\S+)", containerfile, re.MULTILINE) == ["1000:1000"]


def test_our_code_is_the_last_layer(containerfile: str) -> None:
    final = containerfile.rpartition("\nFROM ")[2]
    layers = re.findall(r"^(?:RUN|COPY|ADD) .*", final, re.MULTILINE)
    assert layers[-1] == "COPY --from=code /code /opt/code"


def test_what_is_installed_is_locked_by_hashes_and_comes_from_no_fixed_address(containerfile: str) -> None:
    installs = re.findall(r"(?:pip|uv pip) install .*", containerfile)
    assert installs
    assert all("--require-hashes" in line or "--no-index" in line for line in installs)
    assert "://" not in re.sub(r"#.*", "", containerfile)
