"""The Python API of UltraThink: `from ultrathink import Job`. The command line stands on it."""

from typing import TYPE_CHECKING, Any

from ultrathink_api.errors import Problem, Refused

if TYPE_CHECKING:
    from ultrathink.job import Job as Job

__all__ = ["Job", "Problem", "Refused"]


def __getattr__(name: str) -> Any:
    """Job is imported when it is asked for: the models behind it cost a third of a second, and help needs none."""
    if name == "Job":
        from ultrathink.job import Job

        return Job
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
