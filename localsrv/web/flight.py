"""Requests in flight, so that a server that leaves can let them end.

aiohttp's own shutdown stops reading from every connection at once, and a request whose body is still on its
way could never be answered. So the server first stops listening, waits here until what came in is answered,
each answer closing its connection, and shuts aiohttp down then.
"""

from __future__ import annotations

import asyncio

from aiohttp import web


class Flight:
    """Requests from their handler's start to its end. Belongs to the event loop."""

    __slots__ = ("_landed", "is_landing", "requests")

    def __init__(self) -> None:
        self.requests: dict[int, web.Request] = {}
        """By their identity: aiohttp's requests have no hash."""
        self.is_landing = False
        self._landed = asyncio.Event()

    def begin(self, request: web.Request) -> None:
        """A request has come."""
        self.requests[id(request)] = request

    def end(self, request: web.Request) -> None:
        """A request has ended."""
        del self.requests[id(request)]
        if self.is_landing and not self.requests:
            self._landed.set()

    async def land(self) -> None:
        """From now on answers close their connections; returns when no request is in flight."""
        self.is_landing = True
        if self.requests:
            await self._landed.wait()
