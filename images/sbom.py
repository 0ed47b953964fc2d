"""`python images/sbom.py NAME`: the software bill of materials of an image, as CycloneDX JSON, from its lock file."""

import argparse
import hashlib
import json
import sys
import tomllib
import uuid
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from locks import ROOT, Pin, licence, pins

IMAGES = ("operator", "trainer")
FORMAT = "1.6"
"""The oldest that today's scanners all read and that knows licence expressions."""


def bom(image: str) -> dict[str, Any]:
    """Of the same lock file it is the same, byte by byte: no date, and a serial number that is a fingerprint."""
    version = str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])
    lock = (ROOT / "requirements" / f"{image}.txt").read_bytes()
    serial = uuid.UUID(bytes=hashlib.sha256(f"{image} {version}\0".encode() + lock).digest()[:16], version=4)
    own = {
        "type": "container",
        "bom-ref": f"ultrathink-{image}",
        "name": f"ultrathink-{image}",
        "version": version,
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    components = [_component(pin) for pin in pins(image)]
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{FORMAT}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": FORMAT,
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": own},
        "components": components,
        "dependencies": [{"ref": own["bom-ref"], "dependsOn": [one["bom-ref"] for one in components]}],
    }


def _component(pin: Pin) -> dict[str, Any]:
    # A lock file lists the hash of every wheel; which one an image holds, its platform decides.
    return {
        "type": "library",
        "bom-ref": pin.purl,
        "name": pin.name,
        "version": pin.version,
        "purl": pin.purl,
        "licenses": _licences(pin.name),
        "externalReferences": [
            {
                "type": "distribution",
                "url": pin.purl,
                "hashes": [{"alg": "SHA-256", "content": one} for one in pin.hashes],
            }
        ],
    }


def _licences(name: str) -> list[dict[str, Any]]:
    try:
        said = licence(name)
    except metadata.PackageNotFoundError:  # of another platform than this one
        said = ""
    return [{"license": {"name": said}}] if said else []


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="images/sbom.py", description=__doc__)
    parser.add_argument("image", choices=IMAGES)
    json.dump(bom(parser.parse_args(arguments).image), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
