"""A run on this machine: the same supervisor as on a cluster, as a child, with its events handed on."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from ultrathink_api.errors import Refused
from ultrathink_api.job import UltraThinkJob
from ultrathink_api.protocol import CONTROL_TOKEN, RAY_TOKEN, Ports, RayNode, RunConfig, Storage
from ultrathink_planner import Plan
from ultrathink_store import layout, open_job
from ultrathink_trainer.runtime import processes
from ultrathink_trainer.runtime.chaos import BadChaos, parse
from ultrathink_trainer.zygote import DEFAULT_ENTRY

HOST = "127.0.0.1"
SHM_SHARE = 4
"""A quarter of what /dev/shm has free is enough: Ray moves next to nothing for us."""
MOST_OBJECT_STORE = 128 << 20
LEAST_OBJECT_STORE = 78 << 20
"""Ray refuses less than 75 MiB."""
LAST_SECONDS = 30.0
"""After its last word the supervisor only ends its children."""

OnEvent = Callable[[dict[str, Any]], None]


def run_local(
    job: UltraThinkJob,
    plan: Plan,
    *,
    checkpoint_uri: str,
    resume_uid: str | None = None,
    chaos: Sequence[str] = (),
    on_event: OnEvent = lambda event: None,
    log: IO[bytes] | int | None = None,
    metrics_port: int = 0,
    entry: str = DEFAULT_ENTRY,
    bare: bool = False,
) -> dict[str, Any]:
    """Train, and return the summary. SIGINT and SIGTERM save and stop; nothing is left behind in any case.

    `bare` leaves Ray out, which starts a run in a third of the time: for long proofs of what Ray has no part in.
    `log` is where the logs of supervisor, Ray and ranks go: a file, or None for this process' stderr.
    Raises Refused for what cannot be run. Call it from the main thread.
    """
    _refuse_unfit(job, plan, checkpoint_uri, resume_uid, chaos)
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="utk-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        config = _configure(job, plan, folder, checkpoint_uri, resume_uid, tuple(chaos), metrics_port)
        config = config.model_copy(update={"bare": bare})
        file = folder / "job.json"
        file.write_text(config.model_dump_json(by_alias=True))
        command = processes.python("ultrathink_trainer.supervisor", "--config", str(file), "--entry", entry)
        supervisor = processes.spawn(command, stdout=subprocess.PIPE, stderr=log, env=_environment())
        stack.callback(_end, supervisor)
        with _forwarding(supervisor):
            summary = _follow(supervisor, on_event)
        supervisor.wait()
    if summary is None:
        raise Refused.of(
            "UTK0407",
            message=f"the supervisor ended with {supervisor.returncode} and without a summary",
            fix="read its log above; --resume goes on from the last checkpoint",
        )
    return summary


def _refuse_unfit(
    job: UltraThinkJob, plan: Plan, checkpoint_uri: str, resume_uid: str | None, chaos: Sequence[str]
) -> None:
    for word, asked in (("suspend", job.spec.suspend), ("cancel", job.spec.cancel)):
        if asked:
            message, fix = f"the job says {word}: true, so it is not to run", f"add --set {word}=false"
            raise Refused.of("UTK0410", field=f"spec.{word}", message=message, fix=fix)
    try:
        parse(chaos, world_size=plan.world_size)
    except BadChaos as bad:
        raise Refused.of("UTK0404", message=str(bad), fix="utk run --local FILE --chaos kill:1@60") from bad
    if resume_uid is None:
        return
    known = layout.is_uid(resume_uid) and (
        resume_uid in open_job(checkpoint_uri, None, job.metadata.name, resume_uid).ledger.uids()
    )
    if not known:
        raise Refused.of(
            "UTK0406",
            message=f"{checkpoint_uri} holds no run {resume_uid!r} of {job.metadata.name}",
            fix="take the uid from the first line of the run to go on with",
        )


def _configure(
    job: UltraThinkJob,
    plan: Plan,
    folder: Path,
    checkpoint_uri: str,
    resume_uid: str | None,
    chaos: tuple[str, ...],
    metrics_port: int,
) -> RunConfig:
    tokens = folder / "tokens"
    tokens.mkdir(mode=0o700)
    for use in (CONTROL_TOKEN, RAY_TOKEN):
        (tokens / use).write_text(secrets.token_hex(32))
    control, store, ray, dashboard, metrics = free_ports(5)
    return RunConfig(
        job=job.metadata.name,
        # Whoever goes on with an old run is that run; a new one never takes over what is there.
        uid=resume_uid or str(uuid.uuid4()),
        local=True,
        agent_in_head=True,
        nodes=1,
        ranks_per_node=plan.world_size,
        head=HOST,
        ports=Ports(
            control=control,
            metrics=metrics_port or metrics,
            agent=0,
            store=store,
            ray=ray,
            dashboard=dashboard,
        ),
        directory=str(folder),
        tokens=str(tokens),
        storage=Storage(
            uri=checkpoint_uri,
            endpoint=os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"),
            region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
        ),
        resume="latest" if resume_uid else job.spec.resume.from_ or "none",
        chaos=chaos,
        ray=RayNode(object_store_bytes=_object_store_bytes(), directory=str(folder / "ray")),
        spec=job.spec,
        plan=plan.model_dump(mode="json", by_alias=True),
    )


def _environment() -> dict[str, str]:
    return {"OMP_NUM_THREADS": "1", "ULTRATHINK_NODE": "local", **os.environ}


def _object_store_bytes() -> int:
    shm = os.statvfs("/dev/shm")
    return max(LEAST_OBJECT_STORE, min(MOST_OBJECT_STORE, shm.f_bavail * shm.f_frsize // SHM_SHARE))


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; held together, so that all differ."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in held:
            sock.bind((HOST, 0))
        return [sock.getsockname()[1] for sock in held]


def _follow(supervisor: "subprocess.Popen[bytes]", on_event: OnEvent) -> dict[str, Any] | None:
    """Hand on every event; the last one is the summary."""
    summary = None
    assert supervisor.stdout is not None, "its stdout is our pipe"
    for line in supervisor.stdout:
        event = json.loads(line)
        if event["event"] == "summary":
            summary = event
        on_event(event)
    return summary


@contextmanager
def _forwarding(supervisor: "subprocess.Popen[bytes]") -> Iterator[None]:
    """A signal for us is one for the supervisor; the second one it takes as: at once."""
    signums = (signal.SIGINT, signal.SIGTERM)
    before = {signum: signal.signal(signum, lambda number, frame: supervisor.send_signal(number)) for signum in signums}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _end(supervisor: "subprocess.Popen[bytes]") -> None:
    if supervisor.stdout is not None:
        supervisor.stdout.close()
    processes.end(supervisor, LAST_SECONDS if sys.exc_info()[0] is None else 0.0)
