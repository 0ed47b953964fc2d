"""Writes kubeconfig files: JSON, which every YAML reader takes."""

import base64
import json
from pathlib import Path
from typing import Any


def write(path: Path, server: str, ca: Path, user: dict[str, Any], namespace: str = "default") -> Path:
    cluster = {"server": server, "certificate-authority-data": _encoded(ca)}
    context = {"cluster": "testbed", "user": "testbed", "namespace": namespace}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "testbed", "cluster": cluster}],
        "users": [{"name": "testbed", "user": user}],
        "contexts": [{"name": "testbed", "context": context}],
        "current-context": "testbed",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=1) + "\n")
    return path


def by_certificate(certificate: Path, key: Path) -> dict[str, str]:
    return {"client-certificate-data": _encoded(certificate), "client-key-data": _encoded(key)}


def by_token(token: str) -> dict[str, str]:
    return {"token": token}


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
