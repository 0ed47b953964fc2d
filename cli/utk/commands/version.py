"""utk version: which UltraThink this is."""

import platform
import sys

from utk import output
from utk.console import console
from utk.options import Output


def main(shape: Output = "text") -> None:
    """Show the version. Shapes (-o): text, json, yaml, jsonpath=."""
    from importlib.metadata import PackageNotFoundError, version

    from ultrathink.reports import report
    from ultrathink_api import GROUP_VERSION

    output.allow(shape, "text", "json", "jsonl", "yaml", output.JSONPATH)

    def installed(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    value = report(
        "Version",
        version=installed("ultrathink"),
        api=GROUP_VERSION,
        python=platform.python_version(),
        platform=f"{sys.platform}/{platform.machine()}",
        libraries={name: found for name in ("torch", "ray", "kubernetes") if (found := installed(name))},
    )
    libraries = " · ".join(f"{name} {found}" for name, found in value["libraries"].items())
    output.show(
        shape,
        value,
        text=lambda: console.print(
            f"utk {value['version']} · {GROUP_VERSION} · Python {value['python']} · {value['platform']}"
            + (f"\n{libraries}" if libraries else "")
        ),
    )
