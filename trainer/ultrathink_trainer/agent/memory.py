"""Memory for copies of the ranks' state: made by the agent, mapped by the ranks it forks, gone with the agent."""

import os

GENERATIONS = 2


class Memory:
    """Memory files, two for each local rank; empty until a rank needs them."""

    def __init__(self, ranks: int) -> None:
        self._fds = [[os.memfd_create(f"copy-{rank}-{turn}") for turn in range(GENERATIONS)] for rank in range(ranks)]

    @property
    def fds(self) -> tuple[int, ...]:
        """What a zygote is to inherit, under the same numbers."""
        return tuple(fd for pair in self._fds for fd in pair)

    def of(self, local_rank: int) -> list[int]:
        return self._fds[local_rank] if local_rank < len(self._fds) else []
