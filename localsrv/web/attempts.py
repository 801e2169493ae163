"""How often somebody may fail to sign in.

Tokens have 256 random bits, so this is not what keeps them from being guessed; it keeps a program that tries
from using up the server, and tells one that repeats an old token to stop. Only failures count: who holds a
token that is known never waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from localsrv.base.errors import TooManyRequests

MOST_FAILURES = 300
WITHIN_S = 60.0
_MOST_SOURCES = 1000


class TooManyAttempts(TooManyRequests):
    """Too many failures lately."""

    code = "too-many-attempts"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(
            "Signing in failed too often.", hint=f"Wait {retry_after_s} s, and use a token that is known."
        )
        self.retry_after_s = retry_after_s


class Failures:
    """Counts failures by where they come from: a web origin, or None for programs. `clock` never goes
    back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: dict[str | None, tuple[float, int]] = {}

    def add(self, source: str | None) -> TooManyAttempts | None:
        """Notes a failure; the error to tell instead when there were too many."""
        now = self._clock()
        since, count = self._counts.get(source, (now, 0))
        if now - since >= WITHIN_S:
            since, count = now, 0
        if source not in self._counts and len(self._counts) >= _MOST_SOURCES:
            self._counts = {s: c for s, c in self._counts.items() if now - c[0] < WITHIN_S}
            if len(self._counts) >= _MOST_SOURCES:
                return TooManyAttempts(int(WITHIN_S))
        self._counts[source] = (since, count + 1)
        return None if count < MOST_FAILURES else TooManyAttempts(max(1, int(since + WITHIN_S - now)))
