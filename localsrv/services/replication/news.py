"""Wakes those who follow how an app's replications fare. Nothing is queued: a follower looks again."""

from __future__ import annotations

import asyncio


class News:
    """A number for each app, which grows with everything that happens to its replications."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}

    def number(self, app: str) -> int:
        return self._numbers.get(app, 0)

    def tell(self, app: str) -> None:
        self._numbers[app] = self.number(app) + 1
        for waiter in self._waiters.pop(app, ()):
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, app: str, after: int) -> None:
        """Returns when the number is above `after`."""
        while self.number(app) <= after:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.setdefault(app, set()).add(waiter)
            try:
                await waiter
            finally:
                self._waiters.get(app, set()).discard(waiter)
