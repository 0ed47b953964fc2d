"""utk diagnose: why a job is where it is, and what to do about it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from utk import exits, output
from utk.checks import show
from utk.commands._cluster import connect, named, situation
from utk.console import clean, console
from utk.options import Context, Kubeconfig, Name, Namespace, Output

if TYPE_CHECKING:
    from ultrathink.cluster.preflight import Check


def main(
    name: Name,
    bundle: Annotated[
        str,
        typer.Option(
            "--bundle", metavar="FILE.tgz", help="Also write job, pods, Events and logs, redacted.", show_default=False
        ),
    ] = "",
    shape: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> int:
    """Find out why a job is where it is. Shapes (-o): text, json, yaml, jsonpath=.

    Looks at what operator, scheduler, kubelet, store and ranks said, in the order of a job's way; the first that is
    wrong is the verdict. Exits with 1 if something fails.
    """
    from ultrathink.cluster import diagnosis
    from ultrathink.reports import report

    output.allow(shape, "text", "json", "jsonl", "yaml", output.JSONPATH)
    cluster = connect(namespace, context, kubeconfig)
    raw = named(cluster, name)
    found = diagnosis.gather(cluster, raw)
    checks = diagnosis.examine(found, datetime.now(UTC))
    verdict = diagnosis.verdict(checks)
    metadata = {key: raw["metadata"][key] for key in ("name", "namespace", "uid")}
    said = report(
        "Diagnosis",
        metadata=metadata,
        verdict=verdict.dump() if verdict else None,
        checks=[check.dump() for check in checks],
    )
    if bundle:
        from ultrathink.cluster import bundle as bundles

        bundles.write(Path(bundle), found, said)
    output.show(shape, said, text=lambda: _screen(situation(raw), checks, verdict))
    if shape == "text":
        where = f"{metadata['name']} -n {metadata['namespace']}"
        console.next(f"utk logs {where}", f"utk events {where}")
    if bundle:
        console.done(f"{bundle} holds what was looked at; read it before you hand it on")
    return exits.FAILED if verdict and verdict.state == "fail" else exits.OK


def _screen(now: str, checks: "list[Check]", verdict: "Check | None") -> None:
    console.print(now)
    console.print()
    for check in checks:
        show(check)
    console.print()
    if verdict is None:
        console.print(f"{console.paint('Verdict', 'bold', console.out)}  nothing is wrong")
        return
    console.print(f"{console.paint('Verdict', 'bold', console.out)}  {clean(verdict.message)}")
    if verdict.fix:
        console.print(f"{'Fix'.ljust(len('Verdict'))}  {clean(verdict.fix)}")
    if verdict.code:
        console.print(f"{'See'.ljust(len('Verdict'))}  {console.typed('utk explain')} {verdict.code}")
