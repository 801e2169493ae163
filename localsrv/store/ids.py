"""Document ids made here."""

from __future__ import annotations

import os
import time
from collections import deque

_random: deque[str] = deque()
"""Tails of ids made ahead: one call of the system's generator serves many. Popping is atomic."""


def uuid7() -> str:
    """A UUID version 7 (RFC 9562, method 3): ids made later sort later, down to a quarter microsecond."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    head = f"{milliseconds << 16 | 0x7000 | rest * 4096 // 1_000_000:016x}"
    try:
        tail = _random.popleft()
    except IndexError:
        tail = _refill()
    return f"{head[:8]}-{head[8:12]}-{head[12:]}-{tail}"


def _refill() -> str:
    digits = os.urandom(8 * 256).hex()
    for at in range(0, len(digits), 16):
        variant = "89ab"[int(digits[at], 16) & 3]
        _random.append(f"{variant}{digits[at + 1 : at + 4]}-{digits[at + 4 : at + 16]}")
    return _random.popleft()
