"""What accelerators can do, as their makers say it: the catalogue that plans are held against.

Figures are of dense arithmetic (the makers' larger ones are for sparse matrices). Where they were published:
A100: nvidia.com, "A100 Tensor Core GPU" datasheet (2021). H100 SXM: "H100 Tensor Core GPU" datasheet (2023).
H200: "H200 Tensor Core GPU" datasheet (2024). B200: "DGX B200" datasheet (2024), an eighth of the machine.
L40S: "L40S GPU" datasheet (2023). RTX 4090: "Ada GPU architecture" whitepaper, appendix A (2022). RTX 5090: "RTX
Blackwell GPU architecture" whitepaper, appendix A (2025); both with sums in float32. Networks: DGX A100, H100 and B200
datasheets (eight adapters of 200, 400 and 400 Gb/s); for cards without NVLink one of 100 Gb/s to a machine of eight.
"""

from dataclasses import dataclass, replace

GB, TERA = 1e9, 1e12
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One device. Bytes and FLOPs a second are peaks; links are of one device, in one direction."""

    name: str
    title: str
    memory_bytes: int
    half_flops: float
    """Of bf16 and fp16, summed in float32."""
    single_flops: float
    """Of float32 as torch computes it unless told otherwise: without TF32."""
    memory_bytes_per_second: float
    near_bytes_per_second: float
    """To devices of the same machine."""
    far_bytes_per_second: float
    """To other machines, all devices of the machine sending at once."""

    def flops(self, precision: str) -> float:
        """A second's, at most."""
        return self.half_flops if precision in ("bf16", "fp16") else self.single_flops


_A100 = Accelerator(
    name="a100-80gb", title="NVIDIA A100 SXM 80 GB", memory_bytes=80 * GIB, half_flops=312 * TERA,
    single_flops=19.5 * TERA, memory_bytes_per_second=2_039 * GB, near_bytes_per_second=300 * GB,
    far_bytes_per_second=25 * GB,
)  # fmt: skip
_H100 = Accelerator(
    name="h100", title="NVIDIA H100 SXM 80 GB", memory_bytes=80 * GIB, half_flops=989.4 * TERA,
    single_flops=66.9 * TERA, memory_bytes_per_second=3_350 * GB, near_bytes_per_second=450 * GB,
    far_bytes_per_second=50 * GB,
)  # fmt: skip
_RTX_4090 = Accelerator(
    name="rtx4090", title="NVIDIA RTX 4090", memory_bytes=24 * GIB, half_flops=165.2 * TERA,
    single_flops=82.6 * TERA, memory_bytes_per_second=1_008 * GB, near_bytes_per_second=32 * GB,
    far_bytes_per_second=1.56 * GB,
)  # fmt: skip

CATALOGUE: dict[str, Accelerator] = {
    one.name: one
    for one in (
        replace(
            _A100, name="a100-40gb", title="NVIDIA A100 SXM 40 GB", memory_bytes=40 * GIB,
            memory_bytes_per_second=1_555 * GB,
        ),
        _A100,
        _H100,
        replace(
            _H100, name="h200", title="NVIDIA H200 SXM 141 GB", memory_bytes=int(141 * GB),
            memory_bytes_per_second=4_800 * GB,
        ),
        Accelerator(
            name="b200", title="NVIDIA B200 180 GB", memory_bytes=int(180 * GB), half_flops=2_250 * TERA,
            single_flops=75 * TERA, memory_bytes_per_second=8_000 * GB, near_bytes_per_second=900 * GB,
            far_bytes_per_second=50 * GB,
        ),
        Accelerator(
            name="l40s", title="NVIDIA L40S 48 GB, 45 with ECC", memory_bytes=45 * GIB, half_flops=362 * TERA,
            single_flops=91.6 * TERA, memory_bytes_per_second=864 * GB, near_bytes_per_second=32 * GB,
            far_bytes_per_second=1.56 * GB,
        ),
        _RTX_4090,
        replace(
            _RTX_4090, name="rtx5090", title="NVIDIA RTX 5090", memory_bytes=32 * GIB, half_flops=209.5 * TERA,
            single_flops=104.8 * TERA, memory_bytes_per_second=1_792 * GB, near_bytes_per_second=64 * GB,
        ),
    )
}  # fmt: skip

OUTSIDE_BYTES = 2 * GIB
"""What torch's account does not show: the driver's context, libraries' workspaces, NCCL's buffers."""
HEADROOM = 0.08
"""Share of the memory that is left free for what an allocator loses between blocks."""
SKEW = 1.25
"""Rows that the fullest rank of an expert group may get, in even shares: what routers that are balanced leave."""


def usable(accelerator: Accelerator) -> int:
    """Bytes that a step may fill."""
    return int(accelerator.memory_bytes * (1 - HEADROOM)) - OUTSIDE_BYTES
