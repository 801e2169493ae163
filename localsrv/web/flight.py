"""Requests in flight, so that a server that leaves can let them end.

aiohttp's own shutdown stops reading from every connection at once, and a request whose body is still on its
way could never be answered. So the server first stops listening, waits here until what came in is answered,
each answer closing its connection, and shuts aiohttp down then.
"""

from __future__ import annotations

import asyncio


class Flight:
    """Counts requests from their handler's start to its end. Belongs to the event loop."""

    __slots__ = ("_landed", "count", "is_landing")

    def __init__(self) -> None:
        self.count = 0
        self.is_landing = False
        self._landed = asyncio.Event()

    def end(self) -> None:
        """A request has ended."""
        self.count -= 1
        if self.is_landing and not self.count:
            self._landed.set()

    async def land(self) -> None:
        """From now on answers close their connections; returns when no request is in flight."""
        self.is_landing = True
        if self.count:
            await self._landed.wait()
