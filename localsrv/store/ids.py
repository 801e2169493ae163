"""Document ids made here: UUIDs version 7 (RFC 9562), so that ids made later sort later."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator

_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}

_ahead: deque[str] = deque()
"""Tails made ahead, popped atomically. Asking the system for random bytes gives up Python's lock, and getting
it back from a busy writer thread cost a third of all creates."""


def uuid7() -> str:
    """One id, in order down to a quarter microsecond."""
    return next(uuid7s(1))


def uuid7s(count: int) -> Iterator[str]:
    """Ids in order: the clock in 1/4096 milliseconds (method 3), one step further for each."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    first = milliseconds << 12 | rest * 4096 // 1_000_000
    tails = iter(_tails(count)) if count > 1 else iter((_tail(),))
    for number, tail in enumerate(tails, first):
        head = f"{number:015x}"
        yield f"{head[:8]}-{head[8:12]}-7{head[12:]}-{tail}"


def _tail() -> str:
    try:
        return _ahead.popleft()
    except IndexError:
        _ahead.extend(_tails(256))
        return _ahead.popleft()


def _tails(count: int) -> Iterator[str]:
    """The random halves of ids, variant included."""
    digits = os.urandom(8 * count).hex()
    for at in range(0, len(digits), 16):
        yield f"{_VARIANT[digits[at]]}{digits[at + 1 : at + 4]}-{digits[at + 4 : at + 16]}"
