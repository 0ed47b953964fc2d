"""The operator refuses settings that cannot work, by name."""

from pathlib import Path

import pytest

from ultrathink_api.errors import Refused
from ultrathink_operator import settings


@pytest.fixture
def given(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "key").write_bytes(b"k" * 32)
    (tmp_path / "runtime.yaml").write_text("image: trainer:1\nstorage: {uri: s3://runs}\n")
    return {
        "ULTRATHINK_NAMESPACE": "ultrathink",
        "ULTRATHINK_CONTROL_KEY_FILE": str(tmp_path / "key"),
        "ULTRATHINK_OLD_CONTROL_KEY_FILE": str(tmp_path / "old"),
        "ULTRATHINK_RUNTIME_FILE": str(tmp_path / "runtime.yaml"),
    }


def test_without_more_it_watches_its_own_namespace(given: dict[str, str]) -> None:
    found = settings.read(given)
    assert found.watched == ("ultrathink",)
    assert found.house.defaults.image == "trainer:1"
    assert len(found.keys) == 1


def test_namespaces_are_a_list_without_doubles(given: dict[str, str]) -> None:
    assert settings.read({**given, "ULTRATHINK_WATCH_NAMESPACES": "a, b,a,"}).watched == ("a", "b")


def test_a_star_means_all(given: dict[str, str]) -> None:
    assert settings.read({**given, "ULTRATHINK_WATCH_NAMESPACES": "*"}).watched == (None,)


def test_an_old_key_is_tried_second(given: dict[str, str]) -> None:
    Path(given["ULTRATHINK_OLD_CONTROL_KEY_FILE"]).write_bytes(b"o" * 32)
    assert settings.read(given).keys == (b"k" * 32, b"o" * 32)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ULTRATHINK_NAMESPACE", ""),
        ("ULTRATHINK_CONTROL_KEY_FILE", "/nowhere/key"),
        ("ULTRATHINK_RUNTIME_FILE", "/nowhere/runtime.yaml"),
        ("ULTRATHINK_LOG_LEVEL", "loud"),
        ("ULTRATHINK_API_RATE", "fast"),
        ("ULTRATHINK_API_BURST", "0"),
    ],
)
def test_what_cannot_work_is_named(given: dict[str, str], name: str, value: str) -> None:
    with pytest.raises(Refused) as refused:
        settings.read({**given, name: value})
    assert refused.value.problem.code == "UTK0521"
    assert refused.value.problem.field == name


@pytest.mark.parametrize("text", ["image: [1", "imagery: x", "pods: {memory: lots}"])
def test_runtime_values_that_are_no_runtime_are_refused(given: dict[str, str], text: str) -> None:
    Path(given["ULTRATHINK_RUNTIME_FILE"]).write_text(text)
    with pytest.raises(Refused) as refused:
        settings.read(given)
    assert refused.value.problem.field == "ULTRATHINK_RUNTIME_FILE"


def test_a_short_key_is_refused(given: dict[str, str]) -> None:
    Path(given["ULTRATHINK_CONTROL_KEY_FILE"]).write_bytes(b"short")
    with pytest.raises(Refused) as refused:
        settings.read(given)
    assert "openssl rand" in refused.value.problem.fix
