"""When an answer that would go on for ever ends: its grant is revoked or expires, or the server leaves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from aiohttp import web

from localsrv.base.errors import LocalsrvError, Unauthenticated
from localsrv.model.scopes import Grant
from localsrv.web.context import APPLICATION, services


@dataclass(slots=True, eq=False)
class Ending:
    """Why and when a feed ends. `error` is told to the client."""

    event: asyncio.Event = field(default_factory=asyncio.Event)
    error: LocalsrvError | None = None

    def end(self, error: LocalsrvError | None = None) -> None:
        if not self.event.is_set():
            self.error = error
            self.event.set()

    def revoke(self) -> None:
        self.end(Unauthenticated("This token was revoked or has expired.", code="bad-token"))


ENDINGS = web.AppKey("endings", set[Ending])


async def end_all(app: web.Application) -> None:
    """For `on_shutdown`: feeds would otherwise hold the server until it loses patience."""
    endings = app[ENDINGS]
    for ending in list(endings):
        ending.end()


@contextlib.contextmanager
def ending_of(request: web.Request, holder: Grant | None) -> Iterator[Ending]:
    """An `Ending` that the grant's revocation, if there is a grant, and the server's leaving set."""
    ending, endings = Ending(), request[APPLICATION][ENDINGS]
    endings.add(ending)
    try:
        if holder is None:
            yield ending
            return
        with services(request).grants.watch(holder, ending.revoke):
            yield ending
    finally:
        endings.discard(ending)


def still_live(request: web.Request, holder: Grant) -> Callable[[], bool]:
    grants = services(request).grants
    return lambda: grants.by_id(holder.id) is not None
