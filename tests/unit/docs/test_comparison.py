"""The comparison says nothing without a source: each cell is linked, not found, or a library's."""

import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[3] / "docs" / "comparison.md").read_text()
BODY, _, _ = TEXT.partition("\n[kf-overview]: ")
SECTIONS = {part.split("\n", 1)[0]: part for part in BODY.split("\n## ")[1:] if "| UltraThink |" in part}
NEIGHBOURS = {
    *("Kubeflow Trainer", "KubeRay RayJob", "SageMaker HyperPod"),
    *("torchtitan", "Megatron-LM", "DeepSpeed"),
}
OPEN = ("not found in its docs", "a library", "libraries")
OURS = "UltraThink"


def rows(section: str) -> list[tuple[str, str]]:
    return re.findall(r"^\| ([^|]+?) \| (.+) \|$", SECTIONS[section], flags=re.MULTILINE)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_point_speaks_of_all_of_them_once(section: str) -> None:
    named = [name for names, _ in rows(section) for name in names.split(", ")]
    assert sorted(named) == sorted({*NEIGHBOURS, OURS})


@pytest.mark.parametrize("section", SECTIONS)
def test_every_cell_has_a_source_or_says_that_there_is_none(section: str) -> None:
    for names, said in rows(section):
        source = r"\]\([^)h]" if names == OURS else r"\]\["
        assert re.search(source, said) or (names != OURS and said.startswith(OPEN)), f"{names}: {said}"


def test_every_source_is_named_once_and_used() -> None:
    used = set(re.findall(r"\]\[([a-z0-9-]+)\]", BODY))
    defined = re.findall(r"^\[([a-z0-9-]+)\]: https://\S+$", TEXT, flags=re.MULTILINE)
    assert sorted(defined) == sorted(used)
