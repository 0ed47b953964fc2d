"""`python -m ultrathink_trainer.agent --config FILE`."""

import argparse
import logging
import signal
import sys
from pathlib import Path

from ultrathink_api.protocol import RunConfig
from ultrathink_trainer.agent.agent import Agent
from ultrathink_trainer.runtime import processes
from ultrathink_trainer.zygote import DEFAULT_ENTRY


def main(argv: list[str]) -> int:
    """Read the configuration, be the agent."""
    parser = argparse.ArgumentParser(prog="agent")
    parser.add_argument("--config", required=True)
    parser.add_argument("--entry", default=DEFAULT_ENTRY, help="what a forked rank calls")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s agent: %(message)s", stream=sys.stderr)
    processes.die_with_parent(signal.SIGKILL)
    config = RunConfig.model_validate_json(Path(options.config).read_text())
    return Agent(config, options.config, options.entry).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
