"""`make audit`: every distribution of the lock files has a hash, a licence that fits, and no known weakness."""

import fnmatch
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import yaml
from locks import ROOT, Pin, licence, pins

LOCKS = ("operator", "trainer", "cli", "dev")
POLICY = ROOT / "requirements" / "policy.yaml"
_JOINED = re.compile(r"\s+(?:AND|OR)\s+|;\s*|[()]+(?=\s|$)", re.IGNORECASE)


def findings(pinned: Sequence[Pin], policy: Mapping[str, Any], licences: Mapping[str, str]) -> list[str]:
    """What is wrong, a line each."""
    allowed = {str(one).lower() for one in policy["licences"]}
    found: list[str] = []
    for pin in pinned:
        if not pin.hashes:
            found.append(f"{pin.name} {pin.version}: no hash")
        excepted = any(fnmatch.fnmatchcase(pin.name, pattern) for pattern in policy["exceptions"])
        if pin.name in licences and not excepted:
            found += [
                f"{pin.name} {pin.version}: licence {one or 'unknown'}" for one in _unfit(licences[pin.name], allowed)
            ]
        for advisory in policy["advisories"]:
            if advisory["package"] == pin.name and _number(pin.version) < _number(str(advisory["fixed"])):
                found.append(f"{pin.name} {pin.version}: {advisory['id']}, fixed in {advisory['fixed']}")
    return found


def _unfit(said: str, allowed: set[str]) -> list[str]:
    if said.lower() in allowed:
        return []
    parts = [part.strip() for part in _JOINED.split(said)]
    return [part for part in parts if part and part.lower() not in allowed] if any(parts) else [""]


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:4])


def installed(pinned: Sequence[Pin]) -> dict[str, str]:
    """Licences of what is installed here; another platform's distributions are audited there."""
    said: dict[str, str] = {}
    for pin in pinned:
        try:
            said[pin.name] = licence(pin.name)
        except metadata.PackageNotFoundError:
            continue
    return said


def main() -> int:
    policy = yaml.safe_load(POLICY.read_text())
    wrong = 0
    for lock in LOCKS:
        pinned = pins(lock)
        licences = installed(pinned)
        told = findings(pinned, policy, licences)
        wrong += len(told)
        print(
            "\n".join(f"WRONG {lock}: {line}" for line in told) or f"ok    {lock}: {len(pinned)} distributions", end=""
        )
        print(f", {len(licences)} licences read" if not told else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
