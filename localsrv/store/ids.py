"""Document ids made here: UUIDs version 7 (RFC 9562), so that ids made later sort later."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def uuid7() -> str:
    """One id, in order down to a quarter microsecond."""
    return next(uuid7s(1))


def uuid7s(count: int) -> Iterator[str]:
    """Ids in order: the clock in 1/4096 milliseconds (method 3), one step further for each."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    first = milliseconds << 12 | rest * 4096 // 1_000_000
    digits = os.urandom(8 * count).hex()
    for number in range(count):
        at = 16 * number
        head = f"{first + number:015x}"
        tail = f"{_VARIANT[digits[at]]}{digits[at + 1 : at + 4]}-{digits[at + 4 : at + 16]}"
        yield f"{head[:8]}-{head[8:12]}-7{head[12:]}-{tail}"
