"""A real local run over an image whose Ray is too old to be safe."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from integration.runtime.conftest import tiny_job


@pytest.mark.fault("N32")
def test_a_run_in_an_image_with_an_old_ray_ends_with_a_code_and_starts_none(tmp_path: Path) -> None:
    """Ray's version is what its installed metadata say; in front of the path stands an older one's."""
    old = tmp_path / "old"
    metadata = old / "ray-2.40.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: ray\nVersion: 2.40.0\n")
    script = Path(__file__).with_name("local_run.py")
    given = json.dumps({"job": tiny_job(workers=1), "uri": f"file://{tmp_path}/runs"})
    with_old = {"PYTHONPATH": str(old), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script), given], capture_output=True, text=True, check=False, timeout=240, env=with_old
    )
    summary = [json.loads(line) for line in done.stdout.splitlines() if '"summary"' in line]
    assert summary, done.stderr[-2000:]
    assert summary[-1]["phase"] == "Failed"
    assert "UTK0411" in json.dumps(summary) + done.stderr
    assert not any('"event": "step"' in line for line in done.stdout.splitlines())
