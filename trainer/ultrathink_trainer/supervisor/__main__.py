"""`python -m ultrathink_trainer.supervisor --config FILE`."""

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

from ultrathink_api.protocol import CONFIG_FILE, RunConfig
from ultrathink_trainer.runtime import processes
from ultrathink_trainer.supervisor.main import Supervisor
from ultrathink_trainer.zygote import DEFAULT_ENTRY


def main(argv: list[str]) -> int:
    """Read the configuration, be the supervisor. stdout is the contract; everything else goes to stderr."""
    parser = argparse.ArgumentParser(prog="supervisor")
    parser.add_argument("--config", default=CONFIG_FILE)
    parser.add_argument("--entry", default=DEFAULT_ENTRY, help="what a forked rank calls")
    parser.add_argument("--log", default="INFO")
    options = parser.parse_args(argv)
    logging.basicConfig(level=options.log, format="%(asctime)s supervisor: %(message)s", stream=sys.stderr)
    processes.die_with_parent(signal.SIGTERM)
    config = RunConfig.model_validate_json(Path(options.config).read_text())
    # Only this process writes to the real stdout: what any library prints is for people.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return Supervisor(config, options.config, options.entry, out).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
