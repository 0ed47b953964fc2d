"""utk run --local: trains on this machine, with everything that a cluster does but the cluster."""

import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ultrathink_api.errors import CODES, Problem, Refused
from utk import exits, output, problems
from utk.commands.plan import count
from utk.console import clean, console
from utk.events import Event, Narrator, duration, eval_line
from utk.options import File, Nproc, Output, Set
from utk.progress import Bar, Plain, view

if TYPE_CHECKING:
    from ultrathink import Job

INTERRUPTED_PHASE = "Suspended"
LOG_LINES = 20
"""Lines of the log that a failure shows."""


def main(
    file: File,
    local: Annotated[bool, typer.Option("--local", help="On this machine. Must be said.")] = False,
    nproc: Nproc = 0,
    steps: Annotated[
        int, typer.Option("--steps", metavar="S", help="The same as --set training.steps=S.", show_default=False)
    ] = 0,
    sets: Set = (),
    chaos: Annotated[
        str,
        typer.Option("--chaos", metavar="FAULTS", help="Faults to inject: kill:RANK@STEP,driver@STEP,sigterm@STEP."),
    ] = "",
    resume: Annotated[
        str, typer.Option("--resume", metavar="UID", help="Go on with the run of this uid.", show_default=False)
    ] = "",
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show the log of Ray and ranks.")] = False,
    shape: Output = "text",
) -> int:
    """Train on this machine. Shapes (-o): text, jsonl (the events, one a line).

    Ctrl-C saves a checkpoint and stops; a second one stops at once.
    """
    from ultrathink import Job

    output.allow(shape, "text", "jsonl")
    if not local:
        raise Refused.of(
            "UTK0604",
            field="utk run",
            message="utk run needs --local",
            fix=f"utk run --local {file}; on a cluster: utk submit {file}",
        )
    job = Job.from_file(file, sets, nproc=nproc)
    if steps:
        job = job.with_steps(steps, f"--steps {steps}")
    again = _again(file, nproc, steps, sets)
    job.plan()
    if shape == "jsonl":
        return _run_jsonl(job, chaos, resume, again, verbose)
    return _run_text(job, file, chaos, resume, again, verbose)


def _run_jsonl(job: "Job", chaos: str, resume: str, again: str, verbose: bool) -> int:
    uid = ""

    def take(event: Event) -> None:
        nonlocal uid
        uid = str(event.get("uid") or uid)
        console.print(output.to_json(event, indent=None))

    with _Log(job.name, verbose) as log:
        summary = job.run_local(
            take,
            chaos=[chaos] if chaos else (),
            resume=resume or None,
            on_stop=_say_stopping,
            log=log.file,
        )
        log.keep = summary.get("phase") == "Failed"
    return _end(summary, log, again, uid)


def _run_text(job: "Job", file: str, chaos: str, resume: str, again: str, verbose: bool) -> int:
    told = _Told(Narrator())
    _header(job)
    with _Log(job.name, verbose) as log, view(console) as shown:
        summary = job.run_local(
            lambda event: told.take(event, shown),
            chaos=[chaos] if chaos else (),
            resume=resume or None,
            on_stop=_say_stopping,
            log=log.file,
        )
        log.keep = summary.get("phase") == "Failed"
    if summary.get("phase") == "Succeeded":
        _succeeded(summary, told, file, again)
    return _end(summary, log, again, told.uid)


class _Told:
    """What the events have said that the last lines need."""

    def __init__(self, narrator: Narrator) -> None:
        self._narrator = narrator
        self.uid = ""
        self.last_eval: Event | None = None
        self.vocabulary = 0

    def take(self, event: Event, shown: Plain | Bar) -> None:
        """Shows one event."""
        match event.get("event"):
            case "run":
                self.uid = str(event.get("uid") or "")
                shown.line(f"run {self.uid}   metrics {event.get('metrics')}")
            case "plan":
                self.vocabulary = int((event.get("model") or {}).get("vocabulary") or 0)
            case "eval":
                self.last_eval = event
            case "step":
                shown.step(event, self._narrator.steps)
        line = self._narrator.line(event)
        if line:
            shown.line(line)


class _Log:
    """The log of a run: on stderr if asked for, else in a file that stays only if something failed."""

    def __init__(self, name: str, verbose: bool) -> None:
        self.keep = True
        self.path: Path | None = None
        self.file: Any = None
        self._open = not verbose
        self._name = name

    def __enter__(self) -> "_Log":
        if self._open:
            self.file = tempfile.NamedTemporaryFile(prefix=f"utk-{self._name}-", suffix=".log", delete=False)
            self.path = Path(self.file.name)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.file is None or self.path is None:
            return
        self.file.close()
        if kind is not None and self.path.stat().st_size:
            self.show()
        if not self.keep or not self.path.stat().st_size:
            self.path.unlink()
            self.path = None

    def show(self) -> None:
        """Its last lines, and where the others are."""
        if self.path is None:
            return
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]:
            console.complain(console.paint(f"  {clean(line)}", "dim"))
        console.complain(f"  log: {self.path}")


def _header(job: "Job") -> None:
    from ultrathink.local import checkpoint_uri

    plan, checked = job.plan(), job.object
    backend = "nccl · gpu" if checked.spec.workers.gpus else "gloo · cpu"
    name = checked.spec.model.preset or "model"
    console.print(
        f"local run · {plan.world_size} processes · {backend} · {name} "
        f"({count(plan.parameters.active)} active / {count(plan.parameters.total)} total) · "
        f"checkpoints {checkpoint_uri(checked, Path.cwd())}/{job.name}"
    )


def _succeeded(summary: Event, told: _Told, file: str, again: str) -> None:
    import math

    goodput = summary.get("goodput") or {}
    seconds = sum(value for value in (goodput.get("seconds") or {}).values())
    saved = summary.get("checkpoint") or {}
    said = [f"Succeeded in {duration(seconds)}", f"goodput {percent(goodput.get('ratio'))}"]
    if saved:
        verified = "verified" if saved.get("verified") else "NOT verified"
        said.append(f"latest checkpoint step {saved.get('step')} {verified}")
    console.print(f"{console.paint('✓', 'green', console.out)} {' · '.join(said)}")
    if told.last_eval:
        line = eval_line(told.last_eval)
        loss = told.last_eval.get("loss")
        if told.vocabulary > 1 and isinstance(loss, int | float):
            blind = math.log(told.vocabulary)
            line += f", {100 * (1 - loss / blind):.0f} % below a blind guess ({blind:.2f})"
        console.print(line)
    if saved:
        console.print(f"checkpoint {saved.get('uri')}")
        console.next(
            f"utk checkpoints verify --uri {saved.get('uri')}",
            *(() if file == "-" else (f"{again} --chaos kill:1@{max(1, int(saved.get('step') or 2) // 2)}",)),
            *(() if file == "-" else (f"utk submit {file}",)),
        )


def percent(ratio: Any) -> str:
    """0.981 as 98.1%; the supervisor says it as text or as a number."""
    try:
        return f"{100 * float(ratio):.1f}%"
    except (TypeError, ValueError):
        return "unknown"


def _end(summary: Event, log: _Log, again: str, uid: str) -> int:
    match summary.get("phase"):
        case "Succeeded":
            return exits.OK
        case "Failed":
            _failed(summary, log)
            if uid and summary.get("checkpoint"):
                console.next(f"{again} --resume {uid}")
            return exits.JOB_FAILED
        case _:
            saved = summary.get("checkpoint") or {}
            where = f"checkpoint step {saved.get('step')} saved" if saved else "there was nothing to save yet"
            console.complain(f"Stopped · {where}")
            if uid and saved:
                console.complain(f"Go on with: {again} --resume {uid}")
            return exits.INTERRUPTED


def _failed(summary: Event, log: _Log) -> None:
    code = summary.get("code")
    log.show()
    problems.complain(
        [
            Problem(
                code=code if code in CODES else "UTK0407",
                field=str(summary.get("field") or ""),
                message=str(summary.get("message") or "the job failed"),
                fix=str(summary.get("fix") or "read the log, correct the job, and go on with --resume"),
            )
        ]
    )


def _say_stopping() -> None:
    console.complain("\nStopping: saving a checkpoint first. Ctrl-C again stops at once.")


def _again(file: str, nproc: int, steps: int, sets: Any) -> str:
    words = ["utk", "run", "--local", file]
    words += ["--nproc", str(nproc)] if nproc else []
    words += ["--steps", str(steps)] if steps else []
    for assignment in sets:
        words += ["--set", assignment]
    return console.typed(shlex.join(words))
