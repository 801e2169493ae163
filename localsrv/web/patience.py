"""How long a client may take to send a body.

A body that comes a byte a minute holds a connection and a handler for ever. While a body is not complete, it
is looked at once a minute; one that brought less than `LEAST_BYTES` meanwhile, though the server was ready to
read, ends with 408. Bodies that came with their heads, nearly all, cost one look at a flag.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from localsrv.base.errors import BadRequest

WINDOW_S = 60.0
LEAST_BYTES = 1024


class TooSlow(BadRequest):
    """The body stopped coming, or nearly so (RFC 9110, 408)."""

    status = 408
    code = "too-slow"


class Watch:
    """Looks at a body that is still coming until it is complete, or `end`."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._before = request.content.total_bytes
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(WINDOW_S, self._look)

    def end(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        content = self._request.content
        if content.is_eof() or content.exception() is not None:
            return
        # A paused transport means that the handler is busy with what came before: not the client's fault.
        is_waiting = not self._request.protocol._reading_paused
        if is_waiting and content.total_bytes - self._before < LEAST_BYTES:
            content.set_exception(
                TooSlow(
                    f"The body came too slowly: less than {LEAST_BYTES} bytes in {WINDOW_S:g} s.",
                    hint="Nothing of it was stored. Send it again.",
                )
            )
            return
        self._before = content.total_bytes
        self._timer = self._loop.call_later(WINDOW_S, self._look)
