"""How much memory a process needs, as the kernel counts it (Linux alone)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def memory(pid: int, field: str) -> int:
    """`VmRSS`, or `VmHWM`, the most since `forget_peak`; in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) << 10
    raise AssertionError(field)


def forget_peak(pid: int) -> int:
    """Makes the peak what it is now, and returns it in bytes."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return memory(pid, "VmRSS")


def grows_by(pid: int, step: Callable[[], object]) -> int:
    """How many bytes more than before the process needs at most during `step`."""
    before = forget_peak(pid)
    step()
    return memory(pid, "VmHWM") - before
