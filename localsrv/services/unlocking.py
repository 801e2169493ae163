"""How often a passphrase may be tried: one at a time, and after some failures ever more slowly.

A guess costs 0.4 s and 64 MB anyway; this keeps whoever holds the owner's token from using up the machine,
and from guessing for weeks unseen.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable

from localsrv.base.errors import TooManyRequests

FREE = 3
"""Failures in a row that cost nothing."""

LONGEST_S = 300.0


class TooManyAttempts(TooManyRequests):
    """Too many wrong passphrases lately."""

    code = "too-many-attempts"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(
            "The passphrase was wrong too often.",
            details=f"{retry_after_s} s",
            hint=f"Wait {retry_after_s} s and try again.",
        )
        self.retry_after_s = retry_after_s


class Unlocking:
    """`clock` gives seconds and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turn = asyncio.Lock()
        self._failures = 0
        self._open_at = -math.inf

    @contextlib.asynccontextmanager
    async def attempt(self, is_failure: Callable[[BaseException], bool]) -> AsyncIterator[None]:
        """Around one try. An error that `is_failure` counts; success forgets those before.

        Raises:
            TooManyAttempts: instead of trying.
        """
        async with self._turn:
            if (left := self._open_at - self._clock()) > 0:
                raise TooManyAttempts(math.ceil(left))
            try:
                yield
            except BaseException as error:
                if is_failure(error):
                    self._failures += 1
                    if self._failures >= FREE:
                        wait = min(LONGEST_S, 2.0 ** min(self._failures - FREE, 20))
                        self._open_at = self._clock() + wait
                raise
            self._failures = 0
