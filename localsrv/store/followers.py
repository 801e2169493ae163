"""Those who wait for the next change of a file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Followers:
    """Belongs to the event loop; the writer thread only looks whether anybody waits."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiters: set[asyncio.Future[None]] = set()
        self._is_closed = False

    @property
    def are_waiting(self) -> bool:
        return bool(self._waiters)

    async def wait(self, has_come: Callable[[], bool]) -> None:
        """Returns once `has_come`, asked now and after each change. Cancelled when the file closes."""
        while True:
            if self._is_closed:
                raise asyncio.CancelledError
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters.add(waiter)  # before the look, since the writer looks for waiters after it commits
            try:
                if has_come():
                    return
                await waiter
            finally:
                self._waiters.discard(waiter)

    def wake(self) -> None:
        """Lets everybody look again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def close(self) -> None:
        """Cancels those who wait, and whoever would wait later."""
        self._is_closed = True
        for waiter in self._waiters:
            waiter.cancel()
