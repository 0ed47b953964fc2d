"""A local run as a process of its own, as `utk run --local` is one: arguments in as JSON, events out as lines."""

import json
import sys
from typing import Any

from ultrathink_api.job import UltraThinkJob
from ultrathink_planner import plan
from ultrathink_trainer.local import run_local


def main(arguments: dict[str, Any]) -> None:
    """Run it, printing each event as it comes."""
    job = UltraThinkJob.parse(arguments["job"])
    run_local(
        job,
        plan(job.spec),
        checkpoint_uri=arguments["uri"],
        resume_uid=arguments.get("resume"),
        chaos=arguments.get("chaos", []),
        bare=arguments.get("bare", False),
        on_event=lambda event: print(json.dumps(event), flush=True),
    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
