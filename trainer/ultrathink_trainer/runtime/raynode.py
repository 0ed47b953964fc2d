"""How Ray is started on a head and on a worker: one command line, one environment, under a keeper."""

import json
import os
import re
import socket
from importlib.metadata import version

from ultrathink_api.errors import Problem
from ultrathink_api.protocol import RAY_TOKEN, RunConfig
from ultrathink_trainer.runtime import processes

NODE_RESOURCE = "ultrathink_node"
"""One on each node that forks ranks: Ray Train places one worker on each."""
RECONNECT_SECONDS = 5
"""How long a worker's Ray waits for a lost head before it gives up."""
DRAIN_SECONDS = 2
"""Ray Train workers hold no state of ours: ranks are saved before Ray is told to stop, so it need not drain long."""
CONNECT_SECONDS = 1.0
OLDEST = (2, 56)
"""Before it Ray unpickles data sets that it reads (CVE-2026-57516); before 2.52 it knows no tokens at all, and whoever
reaches its ports runs code (CVE-2023-48022)."""


def too_old() -> Problem | None:
    """Why the Ray of this image must not be started; an image is an admin's, and may hold any."""
    found = version("ray")
    said = re.match(r"(\d+)\.(\d+)", found)
    if said and (int(said[1]), int(said[2])) >= OLDEST:
        return None
    least = ".".join(map(str, OLDEST))
    return Problem("UTK0411", "", f"Ray {found} is not safe to start", f"run an image with Ray {least} or newer")


def environment(config: RunConfig) -> dict[str, str]:
    """What Ray's processes need beside the environment of ours."""
    return {
        **os.environ,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": f"{config.tokens}/{RAY_TOKEN}",
        "RAY_gcs_rpc_server_reconnect_timeout_s": str(RECONNECT_SECONDS),
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": str(DRAIN_SECONDS),
        "RAY_DISABLE_IMPORT_WARNING": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "PYTHONUNBUFFERED": "1",
    }


def address(config: RunConfig) -> str:
    """Where Ray's head is."""
    return f"{config.head}:{config.ports.ray}"


def answers(config: RunConfig) -> bool:
    """Whether Ray's head accepts connections."""
    try:
        socket.create_connection((config.head, config.ports.ray), CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _kept(*args: str) -> list[str]:
    ray = processes.python("ray.scripts.scripts", "start", "--block", "--disable-usage-stats", *args)
    return processes.python("ultrathink_trainer.runtime.keeper", str(DRAIN_SECONDS + 1), *ray)


def _resources(config: RunConfig, *, ranks: bool) -> list[str]:
    # Ranks are not Ray's to place: it sees one unit of our own resource a node, and neither CPUs nor GPUs.
    resources = {NODE_RESOURCE: 1} if ranks else {}
    return [
        "--num-cpus=0",
        "--num-gpus=0",
        f"--resources={json.dumps(resources)}",
        f"--object-store-memory={config.ray.object_store_bytes}",
        f"--temp-dir={config.ray.directory}",
    ]


def head_command(config: RunConfig, ip: str) -> list[str]:
    """Ray's head. The dashboard stays inside the pod; Ray Train's own clean-up asks it."""
    return _kept(
        "--head",
        f"--port={config.ports.ray}",
        f"--node-ip-address={ip}",
        "--include-dashboard=true",
        "--dashboard-host=127.0.0.1",
        f"--dashboard-port={config.ports.dashboard}",
        "--include-log-monitor=false",
        *_resources(config, ranks=config.agent_in_head),
    )


def worker_command(config: RunConfig, ip: str) -> list[str]:
    """Ray on a worker."""
    return _kept(
        f"--address={address(config)}",
        f"--node-ip-address={ip}",
        "--include-log-monitor=false",
        *_resources(config, ranks=True),
    )
