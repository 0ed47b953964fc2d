"""What an image is made of, as its lock file says: each distribution with its version and the hashes that are taken."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})\b")


@dataclass(frozen=True)
class Pin:
    """One distribution of a lock file."""

    name: str
    version: str
    hashes: tuple[str, ...]

    @property
    def purl(self) -> str:
        """As SBOMs and databases of advisories name it."""
        return f"pkg:pypi/{normal(self.name)}@{self.version}"


def normal(name: str) -> str:
    """A distribution's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(name: str) -> list[Pin]:
    """Those of requirements/NAME.txt. ValueError for a line that is neither a pin nor a hash of one."""
    return list(read((ROOT / "requirements" / f"{name}.txt").read_text()))


def read(text: str) -> Iterator[Pin]:
    """The pins of a lock file's text."""
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _PIN.match(line)
        if not found:
            raise ValueError(f"not pinned by version: {line.strip()[:80]}")
        yield Pin(normal(found[1]), found[2], tuple(_HASH.findall(line)))


def licence(name: str) -> str:
    """What an installed distribution says of its own licence; empty where it says nothing."""
    said = metadata.metadata(name)
    expression = said.get("License-Expression")
    if expression:
        return str(expression)
    classified = [line.rpartition("::")[2].strip() for line in said.get_all("Classifier") or () if "License ::" in line]
    if classified:
        return "; ".join(sorted(classified))
    first = str(said.get("License") or "").strip().splitlines()
    return first[0] if first else ""
