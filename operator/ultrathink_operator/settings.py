"""What the operator is told from outside: the environment, and the two files that are mounted."""

import logging
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from ultrathink_api.errors import Refused
from ultrathink_api.runtime import RuntimeSpec
from ultrathink_operator.observe import House

ALL_NAMESPACES = "*"
SHORTEST_KEY = 32
"""Bytes; HMAC-SHA256 is as strong as its key up to this length."""
LEVELS = ("debug", "info", "warning", "error")

METRICS_PORT = 8080
HEALTH_PORT = 8081


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's settings, one field a setting."""

    namespace: str
    """The operator's own namespace: its Lease lies there."""
    watched: tuple[str | None, ...]
    """Namespaces whose jobs it serves; one None means all of them."""
    identity: str
    """Name of this pod in the Lease."""
    lease: str
    """Name of the Lease."""
    keys: tuple[bytes, ...]
    """The key that tokens are derived from, and the one before it."""
    house: House
    """What every job shares."""
    level: str
    """How much is logged."""
    api_rate: float
    """Requests to the API server a second, in the long run."""
    api_burst: float
    """Requests that may go out at once."""
    metrics_port: int
    """Serves /metrics and /readyz."""
    health_port: int
    """Serves /healthz."""


def read(environment: Mapping[str, str]) -> Settings:
    """Raises Refused, naming the setting and what to do."""
    namespace = environment.get("ULTRATHINK_NAMESPACE", "")
    if not namespace:
        raise _refused("ULTRATHINK_NAMESPACE", "it is not set", "set it from the pod's metadata.namespace")
    watched = _list(environment.get("ULTRATHINK_WATCH_NAMESPACES", "")) or (namespace,)
    level = environment.get("ULTRATHINK_LOG_LEVEL", "info").lower()
    if level not in LEVELS:
        raise _refused("ULTRATHINK_LOG_LEVEL", f"it is {level}", f"choose one of {', '.join(LEVELS)}")
    house = House(
        namespace=namespace,
        defaults=_runtime(Path(environment.get("ULTRATHINK_RUNTIME_FILE", "/etc/ultrathink/runtime.yaml"))),
        denied_ranges=_list(environment.get("ULTRATHINK_DENIED_RANGES", "")),
        vouches=environment.get("ULTRATHINK_ADMISSION_POLICY", "") == "true",
    )
    return Settings(
        namespace=namespace,
        watched=(None,) if ALL_NAMESPACES in watched else watched,
        identity=environment.get("POD_NAME") or socket.gethostname(),
        lease=environment.get("ULTRATHINK_LEASE", "ultrathink-operator"),
        keys=_keys(environment),
        house=house,
        level=level,
        api_rate=_number(environment, "ULTRATHINK_API_RATE", 50),
        api_burst=_number(environment, "ULTRATHINK_API_BURST", 100),
        metrics_port=int(_number(environment, "ULTRATHINK_METRICS_PORT", METRICS_PORT)),
        health_port=int(_number(environment, "ULTRATHINK_HEALTH_PORT", HEALTH_PORT)),
    )


def configure_logging(level: str) -> None:
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)


def _keys(environment: Mapping[str, str]) -> tuple[bytes, ...]:
    current = Path(environment.get("ULTRATHINK_CONTROL_KEY_FILE", "/run/ultrathink/control/key"))
    old = Path(environment.get("ULTRATHINK_OLD_CONTROL_KEY_FILE", "/run/ultrathink/control/old-key"))
    try:
        keys = [current.read_bytes(), *([old.read_bytes()] if old.exists() else [])]
    except OSError as error:
        raise _refused("ULTRATHINK_CONTROL_KEY_FILE", str(error), "mount the control key's Secret there") from error
    if any(len(key) < SHORTEST_KEY for key in keys):
        fix = "make one: openssl rand -hex 32"
        raise _refused("ULTRATHINK_CONTROL_KEY_FILE", f"the key has fewer than {SHORTEST_KEY} bytes", fix)
    return tuple(keys)


def _runtime(path: Path) -> RuntimeSpec:
    setting, fix = "ULTRATHINK_RUNTIME_FILE", "correct runtime in the values of the operator's chart"
    try:
        return RuntimeSpec.model_validate(yaml.safe_load(path.read_text()) or {})
    except OSError as error:
        raise _refused(setting, str(error), "mount the ConfigMap with runtime.yaml there") from error
    except yaml.YAMLError as error:
        raise _refused(setting, f"{path} is not YAML: {error}", fix) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise _refused(setting, f"runtime.{where}: {first['msg']}", fix) from error


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "")
    try:
        number = float(text) if text else default
    except ValueError as error:
        raise _refused(name, f"{text} is not a number", "set a number") from error
    if number <= 0:
        raise _refused(name, f"it is {text}", "set a number above 0")
    return number


def _list(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _refused(name: str, message: str, fix: str) -> Refused:
    return Refused.of("UTK0521", field=name, message=message, fix=fix)
