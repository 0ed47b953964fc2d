"""The audit of what images are made of: this tree passes, and each kind of mistake is found and named."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
POLICY: dict[str, Any] = yaml.safe_load((ROOT / "requirements" / "policy.yaml").read_text())
HASH = "0" * 64


@pytest.fixture
def audit(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "images"))
    import audit  # type: ignore[import-not-found]

    return audit  # type: ignore[no-any-return]


@pytest.mark.fault("N44")
def test_this_tree_passes() -> None:
    done = subprocess.run([sys.executable, ROOT / "images" / "audit.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = re.findall(r"(\d+) distributions, (\d+) licences read", done.stdout)
    assert len(counts) == 4
    assert all(int(all_) >= int(read) > 20 for all_, read in counts), "a licence that nobody read is not audited"


@pytest.mark.fault("N44")
@pytest.mark.parametrize(
    ("name", "version", "hashes", "licence", "said"),
    [
        ("fine", "1.0", (HASH,), "MIT OR Apache-2.0", []),
        ("loose", "1.0", (), "MIT", ["loose 1.0: no hash"]),
        ("silent", "1.0", (HASH,), "", ["silent 1.0: licence unknown"]),
        ("viral", "1.0", (HASH,), "MIT AND AGPL-3.0-only", ["viral 1.0: licence AGPL-3.0-only"]),
        ("closed", "1.0", (HASH,), "Other/Proprietary License", ["closed 1.0: licence Other/Proprietary License"]),
        ("nvidia-nccl", "1.0", (HASH,), "NVIDIA Proprietary", []),
        ("ray", "2.51.0", (HASH,), "Apache-2.0", ["CVE-2023-48022", "CVE-2025-62593", "CVE-2026-57516"]),
        ("torch", "2.10.0", (HASH,), "Apache-2.0", []),
    ],
)
def test_each_mistake_is_found(
    audit: ModuleType, name: str, version: str, hashes: tuple[str, ...], licence: str, said: list[str]
) -> None:
    found = audit.findings([audit.Pin(name, version, hashes)], POLICY, {name: licence})
    assert len(found) == len(said)
    for line, words in zip(found, said, strict=True):
        assert words in line


@pytest.mark.fault("N44")
@pytest.mark.parametrize(
    "line", ["ray>=2.60", "ray", "git+https://example.com/ray", "-e .", "https://example.com/ray.whl"]
)
def test_what_is_not_pinned_is_no_lock_file(audit: ModuleType, line: str) -> None:
    import locks  # type: ignore[import-not-found]

    with pytest.raises(ValueError, match="not pinned"):
        list(locks.read(f"{line}\n"))


def test_a_bill_of_materials_names_what_the_lock_file_does_and_never_changes_by_itself(audit: ModuleType) -> None:
    import locks
    import sbom  # type: ignore[import-not-found]

    for image in sbom.IMAGES:
        made = sbom.bom(image)
        assert [one["purl"] for one in made["components"]] == [pin.purl for pin in locks.pins(image)]
        assert json.dumps(made) == json.dumps(sbom.bom(image))
    assert sbom.bom("operator")["serialNumber"] != sbom.bom("trainer")["serialNumber"]


@pytest.mark.fault("N44")
@pytest.mark.parametrize("image", ["operator", "trainer"])
def test_an_image_installs_by_hash_and_nothing_else(image: str) -> None:
    text = (ROOT / "images" / f"{image}.Containerfile").read_text()
    installs = [line for line in text.splitlines() if " install " in line]
    assert len(installs) >= 3
    for line in installs:
        assert "--require-hashes" in line or "--no-index --no-deps" in line, line
