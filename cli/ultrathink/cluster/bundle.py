"""All that was looked at in a diagnosis as one file to hand on, without what must stay secret."""

import io
import json
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ultrathink.cluster.diagnosis import Evidence
from ultrathink_api.errors import Refused

HIDDEN = "[redacted]"
LEFT_OUT = frozenset({"managedFields", "kubectl.kubernetes.io/last-applied-configuration"})
"""Fields that repeat all others."""

_NAME = (
    r"(?:authorization|bearer|token(?!s|iz)|passw(?:or)?d|passphrase|secret(?!name|ref)|credential"
    r"|api[_-]?key|access[_-]?key|private[_-]?key|signature)"
)
"""How secrets are called; tokens that are counted, and names of Secrets, are none."""
_CALLED = re.compile(f"(?i){_NAME}")
_SAID = re.compile(
    rf"(?i)([\w.-]*{_NAME}[\w.-]*[\"']?\s*(?:[:=]|\s+(?=\S{{16}}))\s*)"  # a name, and what sets a value apart
    r"(\"[^\"]*\"|'[^']*'|(?:bearer\s+|basic\s+)?[^\s,;&\"'}]+)"
)
_SHAPED = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]*"
    r"|\bhf_[A-Za-z0-9]{20,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bsk-[A-Za-z0-9_-]{20,}"
    r"|(?<=://)[^/\s@]+:[^/\s@]+(?=@)"
    r"|(?<!sha256:)(?<!sha256\": \")\b[0-9a-f]{64}\b",
    re.DOTALL,
)
"""What secrets look like wherever they stand: keys in PEM, of AWS and of well-known services, JSON web tokens, user and
password of a URL, tokens of a cluster; digests say what they are."""


def redacted(text: str) -> str:
    """The text without what looks like a secret, or is called one."""
    return _SAID.sub(lambda found: f"{found[1]}{HIDDEN}", _SHAPED.sub(HIDDEN, text))


def pruned(value: Any) -> Any:
    """An object of the API server without values that are called secrets, by their key or by a name beside them."""
    if isinstance(value, dict):
        kept = {key: part for key, part in value.items() if key not in LEFT_OUT}
        beside = "value" if _CALLED.search(str(value.get("name", ""))) else ""
        hidden = {key for key, part in kept.items() if isinstance(part, str) and (key == beside or _CALLED.search(key))}
        return {key: HIDDEN if key in hidden else pruned(part) for key, part in kept.items()}
    if isinstance(value, list):
        return [pruned(part) for part in value]
    return redacted(value) if isinstance(value, str) else value


def write(path: Path, found: Evidence, diagnosis: Mapping[str, Any]) -> None:
    """One .tgz, readable by its owner alone. Secrets are never asked for, so there are none to leave out but what a
    log or a field repeats."""
    files = {
        "diagnosis.json": json.dumps(pruned(dict(diagnosis)), indent=2),
        "job.yaml": yaml.safe_dump(pruned(found.job), sort_keys=False),
        "pods.yaml": yaml.safe_dump([pruned(pod) for pod in found.pods], sort_keys=False),
        "events.json": json.dumps([pruned(event) for event in found.events], indent=2),
        **{f"logs/{pod}.log": redacted(text) for pod, text in found.logs.items()},
    }
    folder = f"diagnosis-{found.job['metadata']['name']}"
    try:
        with path.open("xb") as target, tarfile.open(fileobj=target, mode="w:gz") as archive:
            path.chmod(0o600)
            for name, text in files.items():
                entry = tarfile.TarInfo(f"{folder}/{name}")
                data = text.encode()
                entry.size, entry.mode = len(data), 0o600
                archive.addfile(entry, io.BytesIO(data))
    except FileExistsError as error:
        raise Refused.of(
            "UTK0607", field="--bundle", message=f"{path} is there already", fix="name another file"
        ) from error
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror or error}"
        raise Refused.of(
            "UTK0604", field="--bundle", message=message, fix="name a file in a folder of yours"
        ) from error
