"""What a burst of work took goes back to the machine."""

import subprocess
import sys

import pytest

BURST = """
from pathlib import Path
from ultrathink_operator import memory

def resident():
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1024

memory.prepare()
taken = [bytes(1000) for _ in range(200_000)]
kept = taken[::1000]  # what stays lies between what goes, as it does in a store
del taken
before = resident()
memory.give_back()
print(before - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_a_burst_took_goes_back_though_something_of_it_stays() -> None:
    freed = float(subprocess.run([sys.executable, "-c", BURST], capture_output=True, check=True, text=True).stdout)
    assert freed > 100, f"of 190 MiB {freed} went back"
