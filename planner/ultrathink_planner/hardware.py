"""How much memory accelerators have: the catalogue that plans are held against.

Sizes are what torch finds on such a device ("total capacity" in its out-of-memory messages, the least of those that
people published), not what makers print on it: drivers, error correction and rounding take their part first.
"""

from dataclasses import dataclass

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One device."""

    name: str
    title: str
    memory_bytes: int


CATALOGUE: dict[str, Accelerator] = {
    name: Accelerator(name, title, int(gib * GIB))
    for name, title, gib in (
        ("a100-40gb", "NVIDIA A100 SXM 40 GB", 39.2),
        ("a100-80gb", "NVIDIA A100 SXM 80 GB", 79.1),
        ("h100", "NVIDIA H100 SXM 80 GB", 79.1),
        ("h200", "NVIDIA H200 SXM 141 GB", 139.7),
        ("b200", "NVIDIA B200 180 GB", 178.3),
        ("l40s", "NVIDIA L40S 48 GB", 44.3),
        ("rtx4090", "NVIDIA RTX 4090 24 GB", 23.5),
        ("rtx5090", "NVIDIA RTX 5090 32 GB", 31.3),
    )
}

OUTSIDE_BYTES = 2 * GIB
"""What torch's account does not show: the driver's context, libraries' workspaces, NCCL's buffers."""
HEADROOM = 0.08
"""Share of the memory that is left free for what an allocator loses between blocks."""
SKEW = 1.25
"""Rows that the fullest rank of an expert group may get, in even shares: what routers that are balanced leave."""


def usable(accelerator: Accelerator) -> int:
    """Bytes that a step may fill."""
    return int(accelerator.memory_bytes * (1 - HEADROOM)) - OUTSIDE_BYTES
