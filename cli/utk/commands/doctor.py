"""utk doctor: whether everything is there that a job needs before it is submitted."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ultrathink_api.errors import Refused
from utk import exits, output
from utk.checks import show
from utk.commands._cluster import connect
from utk.options import Context, Kubeconfig, Namespace, Output

if TYPE_CHECKING:
    from ultrathink.cluster.preflight import Check


def main(
    shape: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> int:
    """Check this machine, the cluster and your rights there. Shapes (-o): text, json, yaml, jsonpath=.

    Exits with 1 if a check fails; a warning is something that not everybody needs.
    """
    from ultrathink.reports import report

    output.allow(shape, "text", "json", "jsonl", "yaml", output.JSONPATH)
    found = []
    for check in _checks(namespace, context, kubeconfig):
        found.append(check)
        if shape == "text":
            show(check)
    failed = any(check.state == "fail" for check in found)
    said = report("Doctor", ok=not failed, checks=[check.dump() for check in found])
    output.show(shape, said, text=lambda: None)
    return exits.FAILED if failed else exits.OK


def _checks(namespace: str, context: str, kubeconfig: str) -> "Iterator[Check]":
    from ultrathink.cluster import preflight

    yield from preflight.of_machine()
    try:
        cluster = connect(namespace, context, kubeconfig)
    except Refused as refused:
        yield preflight.refused("kubeconfig", refused.problem)
        return
    yield from preflight.of_cluster(cluster, datetime.now(UTC))
