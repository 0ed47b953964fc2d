"""utk status: all that a job's owner asks about it, on one screen, from the job's own status."""

from typing import Annotated, Any

import typer

from utk import exits, output
from utk.arrangement import product
from utk.commands._cluster import (
    PHASE_COLORS,
    Raw,
    age,
    connect,
    named,
    phase_of,
    say_neglect,
    view,
    warnings_of,
)
from utk.console import clean, console
from utk.events import duration, rate
from utk.options import Context, Kubeconfig, Name, Namespace, Output

BAR = 24


def main(
    name: Name,
    watch: Annotated[bool, typer.Option("-w", "--watch", help="Again at every change, to the end.")] = False,
    shape: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> int:
    """Show one job. Shapes (-o): text, json, yaml, name, jsonpath=."""
    from ultrathink.cluster import jobs

    output.allow(shape, "text", "json", "jsonl", "yaml", "name", output.JSONPATH)
    cluster = connect(namespace, context, kubeconfig)
    raw = named(cluster, name)
    _show(raw, shape)
    if not watch:
        return exits.OK
    try:
        for later in jobs.watch(cluster, raw["metadata"]["name"]):
            if later["metadata"]["resourceVersion"] != raw["metadata"]["resourceVersion"]:
                console.print()
                _show(later, shape)
            if jobs.ended(later):
                return exits.OK
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    return exits.OK


def _show(raw: Raw, shape: str) -> None:
    from ultrathink.reports import report

    output.show(
        shape,
        report("Job", **view(raw), warnings=warnings_of([raw])),
        text=lambda: _screen(raw),
        name=lambda: f"ultrathinkjob.ultrathink.io/{raw['metadata']['name']}",
    )
    if shape == "text":
        say_neglect([raw])
        name, where = raw["metadata"]["name"], f" -n {raw['metadata']['namespace']}"
        console.next(f"utk logs -f {name}{where}", f"utk checkpoints ls {name}{where}")


def _screen(raw: Raw) -> None:
    metadata, status = raw["metadata"], raw.get("status") or {}
    phase = phase_of(raw)
    attempt = (status.get("attempt") or {}).get("number")
    head = [clean(metadata["name"]), clean(metadata["namespace"])]
    head.append(console.paint(f"● {phase}", PHASE_COLORS.get(phase, "bold"), console.out))
    if attempt:
        head.append(f"(attempt {attempt})")
    if status.get("startedAt"):
        head.append(f"since {clean(str(status['startedAt']))} ({age(status['startedAt'])})")
    console.print("  ".join(head))
    for label, text in _lines(status):
        console.print(f"{console.paint(label.ljust(10), 'bold', console.out)} {clean(text)}")


def _lines(status: dict[str, Any]) -> list[tuple[str, str]]:
    """A line for each thing that is known; what is not known has none."""
    lines = [
        ("Why", " — ".join(str(status[key]) for key in ("reason", "message") if status.get(key))),
        ("Plan", _plan(status.get("plan") or {})),
        ("Progress", _progress(status.get("progress") or {})),
        ("Quality", _quality(status.get("progress") or {})),
        ("Workers", _workers(status.get("workers") or {})),
        ("Stragglers", "; ".join((status.get("progress") or {}).get("stragglers") or [])),
        ("Checkpoint", _checkpoint(status.get("checkpoint") or {})),
        ("Goodput", _goodput(status.get("goodput") or {})),
        *_attempts(status.get("restarts") or {}),
        ("Conditions", _conditions(status.get("conditions") or [])),
    ]
    return [(label, text) for label, text in lines if text]


def _plan(plan: dict[str, Any]) -> str:
    mesh = plan.get("mesh") or {}
    if not mesh:
        return ""
    return f"{product(plan.get('worldSize'), mesh)} · {plan.get('steps')} steps"


def _progress(progress: dict[str, Any]) -> str:
    if not progress:
        return ""
    step, of = progress.get("step") or 0, progress.get("of") or 0
    filled = round(BAR * min(1.0, step / of)) if of else 0
    bar = "█" * filled + "░" * (BAR - filled) if console.live(console.out) else ""
    said = [bar, f"step {step:,} / {of:,}", str(progress.get("percent") or "")]
    if isinstance(progress.get("etaSeconds"), int | float):
        said.append(f"ETA {duration(progress['etaSeconds'])}")
    if isinstance(progress.get("tokensPerSecond"), int | float):
        said.append(f"{rate(progress['tokensPerSecond'])} tok/s")
    if progress.get("tokens"):
        said.append(f"{progress['tokens']:,} tokens")
    return "  ".join(part for part in said if part)


def _quality(progress: dict[str, Any]) -> str:
    said = []
    if progress.get("loss") is not None:
        said.append(f"loss {progress['loss']}")
    if progress.get("validationLoss") is not None:
        said.append(f"held-out {progress['validationLoss']}")
    return "  ".join(said)


def _workers(workers: dict[str, Any]) -> str:
    return f"{workers.get('ready', 0)}/{workers['desired']} ready" if workers.get("desired") else ""


def _checkpoint(saved: dict[str, Any]) -> str:
    if not saved:
        return ""
    said = [f"step {saved.get('step')}", "verified" if saved.get("verified") else "committed"]
    if saved.get("committedAt"):
        said.append(f"{age(saved['committedAt'])} ago")
    if saved.get("stallSeconds") is not None:
        said.append(f"stall {saved['stallSeconds']}s")
    return " · ".join([*said, str(saved.get("uri") or "")])


def _goodput(goodput: dict[str, Any]) -> str:
    if not goodput:
        return ""
    try:
        said = f"{100 * float(goodput['ratio']):.1f}%"
    except (KeyError, TypeError, ValueError):
        return ""
    spent = {k: v for k, v in (goodput.get("seconds") or {}).items() if isinstance(v, int | float) and v}
    lost = sorted(((v, k) for k, v in spent.items() if k != "productive"), reverse=True)
    return "   ".join([said, *(f"{name} {duration(value)}" for value, name in lost[:5])])


def _attempts(restarts: dict[str, Any]) -> list[tuple[str, str]]:
    said = []
    for record in restarts.get("history") or []:
        text = f"{record.get('attempt')} {record.get('cause') or 'Completed'}"
        if record.get("rank") is not None:
            text += f" rank {record['rank']}"
        if record.get("exitCode") is not None:
            text += f" ({record['exitCode']})"
        if isinstance(record.get("recoverySeconds"), int | float):
            text += f", {record['recoverySeconds']:.1f} s to recover"
        said.append(text)
    return [("Attempts", " · ".join(said))]


def _conditions(conditions: list[dict[str, Any]]) -> str:
    signs = {"True": "✓", "False": "✗"}
    return "  ".join(f"{c.get('type')} {signs.get(str(c.get('status')), '?')}" for c in conditions)
