"""Process 1 of the cluster's namespaces: reaps orphans; when its one child, who runs the cluster, ends, all ends."""

import os
import sys

from testbed.node.daemons import run
from testbed.node.machine import furnish


def main() -> None:
    state, programs = sys.argv[1], dict(argument.split("=", 1) for argument in sys.argv[2:])
    runner = os.fork()
    if runner == 0:
        furnish(state)
        run(programs)
        os._exit(1)
    while os.wait()[0] != runner:
        pass


if __name__ == "__main__":
    main()
