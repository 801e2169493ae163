"""When an answer that would go on for ever ends: its grant is revoked or expires, or the server leaves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from aiohttp import web

from localsrv.base.errors import LocalsrvError, TooManyRequests, Unauthenticated
from localsrv.model.scopes import Grant
from localsrv.web.context import APPLICATION, services

MOST_OF_ONE = 1000
"""Such answers of one grant at a time, out of `connections.MOST_CONNECTIONS`: whoever holds a grant is never
asked to make room, so a single one must not take it all."""


class TooManyFeeds(TooManyRequests):
    """One grant listens too often at once."""

    code = "too-many-feeds"
    retry_after_s = 5


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


def require_room(request: web.Request, holder: Grant) -> None:
    """Raises TooManyFeeds when the grant has as many as it may. `ending_of` asks it too."""
    if services(request).grants.watching(holder) >= MOST_OF_ONE:
        raise TooManyFeeds(
            f"This token holds {MOST_OF_ONE} answers open already.",
            hint="Close some: one feed can tell of many collections.",
        )


@contextlib.contextmanager
def ending_of(request: web.Request, holder: Grant | None) -> Iterator[Ending]:
    """An `Ending` that the grant's revocation, if there is a grant, and the server's leaving set.

    Raises:
        TooManyFeeds: the grant has as many as it may.
    """
    if holder is not None:
        require_room(request, holder)
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
