"""How replications fare, as frames of the live feed (`include=replications`)."""

from __future__ import annotations

import asyncio
import time

import orjson
from aiohttp import web

from localsrv.services.replication.replicator import Replicator
from localsrv.web.admin.replications import infos
from localsrv.web.context import app, services

EVERY_S = 0.5
"""A first sync moves thousands of documents a second; a reader is told twice a second at most."""


class ReplicationFrames:
    """One reader's view. Made before its first frame, which tells how things stand."""

    def __init__(self, request: web.Request) -> None:
        found = services(request).extra[Replicator]
        assert isinstance(found, Replicator)
        self._replicator = found
        self._app = app(request).id
        self._seen = -1
        self._told_at = 0.0

    @property
    def is_due(self) -> bool:
        """Whether there is something to tell now."""
        news = self._replicator.news.number(self._app) > self._seen
        return news and time.monotonic() >= self._told_at + EVERY_S

    async def wait(self) -> None:
        """Returns when there is something to tell."""
        if self._seen >= 0:
            await self._replicator.news.wait(self._app, self._seen)
            await asyncio.sleep(self._told_at + EVERY_S - time.monotonic())

    async def frame(self, token: str) -> bytes:
        self._seen = self._replicator.news.number(self._app)
        self._told_at = time.monotonic()
        found = await infos(self._replicator, self._app)
        return orjson.dumps({"type": "replications", "seq": token, "replications": found})
