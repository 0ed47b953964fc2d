"""The driver of Ray Train: a child of the supervisor that places one worker on each node, again and again."""

import argparse
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from ultrathink_api.protocol import RunConfig
from ultrathink_trainer.runtime import processes, raynode

log = logging.getLogger("ultrathink.driver")

LOOK_SECONDS = 0.2
START_SECONDS = 600
"""A worker group may wait so long for its processes: slow machines, images being pulled."""
ENVIRONMENT = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(START_SECONDS),
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    # Ranks are told of a drain by their agent, and we report no metrics to Ray: neither needs an actor.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
}


def main(argv: list[str]) -> int:
    """Import while Ray starts, connect, and let Ray Train run until the supervisor ends its workers."""
    parser = argparse.ArgumentParser(prog="driver")
    parser.add_argument("--config", required=True)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s driver: %(message)s", stream=sys.stderr)
    processes.die_with_parent(signal.SIGKILL)
    config = RunConfig.model_validate_json(Path(options.config).read_text())
    settings = {
        "host": config.head,
        "port": config.ports.control,
        "tokens": config.tokens,
        "directory": config.directory,
    }
    if config.bare:
        return _alone(settings)
    os.environ.update(ENVIRONMENT)

    import ray
    from ray.train import FailureConfig, ScalingConfig
    from ray.train import RunConfig as TrainConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    from ultrathink_trainer.worker import relay

    log.info("imported")
    while not raynode.answers(config):
        time.sleep(LOOK_SECONDS)
    log.info("Ray answers")
    ray.init(address=raynode.address(config), log_to_driver=False, logging_level="WARNING")
    log.info("connected")
    DataParallelTrainer(
        relay,
        train_loop_config=settings,
        scaling_config=ScalingConfig(
            num_workers=config.nodes, resources_per_worker={raynode.NODE_RESOURCE: 1, "CPU": 0}
        ),
        run_config=TrainConfig(
            name=f"{config.job}-{os.getpid()}",
            storage_path=f"{config.directory}/ray-train",
            failure_config=FailureConfig(max_failures=-1),
        ),
    ).fit()
    return 0


def _alone(settings: dict[str, Any]) -> int:
    """The one worker of this machine, without Ray around it; it is made anew when Ray Train would make it anew."""
    from ultrathink_trainer.worker import Regroup, relay

    while True:
        try:
            relay(settings)
        except Regroup:
            log.info("a new worker")
        else:
            return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
