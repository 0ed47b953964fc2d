"""Folders of published Go modules, for the data in them that tests compare ours with: schemas, API descriptions."""

import json
import os
import subprocess
from pathlib import Path

from testbed.binaries import go
from testbed.needs import CannotSupply

DOWNLOAD_S = 300.0


def folder(module: str, version: str) -> Path:
    """Where this version of it lies, downloaded first if need be; nobody may write there."""
    command = [go(), "mod", "download", "-json", f"{module}@{version}"]
    outside = {**os.environ, "GO111MODULE": "on", "GOWORK": "off"}
    try:
        done = subprocess.run(
            command, cwd="/", env=outside, capture_output=True, text=True, check=False, timeout=DOWNLOAD_S
        )
    except subprocess.TimeoutExpired as late:
        raise CannotSupply(f"{module} {version}", f"no answer in {DOWNLOAD_S:.0f} s", " ".join(command)) from late
    said = json.loads(done.stdout) if done.stdout.strip() else {}
    if done.returncode != 0 or "Dir" not in said:
        raise CannotSupply(f"{module} {version}", said.get("Error", done.stderr.strip()[-400:]), " ".join(command))
    return Path(said["Dir"])
