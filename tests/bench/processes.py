"""What /proc says of a process: memory, and how often it was scheduled. Linux only."""

from __future__ import annotations

import os
import time
from pathlib import Path


def resident_mb(pid: int) -> float:
    """Resident memory in megabytes (10^6 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise AssertionError(f"no VmRSS for {pid}")


def cpu_s(pid: int) -> float:
    """Seconds of processor time that the process has used, in itself and in the kernel for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def timeslices(pid: int) -> int:
    """How often any thread of the process was put on a core since it started."""
    return sum(
        int((task / "schedstat").read_text().split()[2]) for task in Path(f"/proc/{pid}/task").iterdir()
    )


def wake_ups(pid: int, seconds: float) -> int:
    """How often the process ran during the next `seconds`."""
    before = timeslices(pid)
    time.sleep(seconds)
    return timeslices(pid) - before
