"""What a node is called, and where its agent listens: known alike to agent and Ray Train worker."""

import os
import socket

from ultrathink_api.protocol import NODE_ENV


def node_name() -> str:
    """The pod's name, as its environment says it; Ray hands the environment on to its workers."""
    return os.environ.get(NODE_ENV) or socket.gethostname()


def socket_path(directory: str, node: str) -> str:
    """The unix socket of a node's agent."""
    return f"{directory}/agent-{node}.sock"
