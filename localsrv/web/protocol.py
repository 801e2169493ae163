"""What aiohttp refuses by itself, before any handler: answered as all else here, and logged without content.

Its parser's refusals never reach the dispatcher. aiohttp would answer them as plain text and log them with a
traceback that quotes the request, and with it perhaps a token.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from localsrv.base.errors import BadRequest, LocalsrvError
from localsrv.web import connections
from localsrv.web.errors import render
from localsrv.web.headers import decorate

log = logging.getLogger("localsrv.web")

MOST_HEAD_BYTES = 64 * 1024
"""aiohttp bounds each line and their number, which makes a megabyte: too much while nobody is known yet."""


class HeadTooLarge(BadRequest):
    """The first line and the headers together (RFC 6585, 5)."""

    status = 431
    code = "head-too-large"


class Protocol(web.RequestHandler):
    """aiohttp's connection with answers of our own for what it refuses. It is closed after them.

    `is_trusted`: a request on it has shown a grant (`web.connections`). `on_lost`: called when the client has
    left, which a handler that waits for somebody else would not notice.
    """

    __slots__ = ("_head_bytes", "is_trusted", "on_lost")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.is_trusted = False
        self.on_lost: list[Callable[[], object]] = []
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        manager = self._manager
        if isinstance(manager, Server) and len(manager.connections) > manager.most_connections:
            self._make_room(manager)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        for tell in list(self.on_lost):
            tell()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        waiter = self._waiter
        if waiter is None or waiter.done():
            self._head_bytes = 0
            return
        self._head_bytes += len(data)  # of a head that is not complete
        if self._head_bytes > MOST_HEAD_BYTES:
            log.info("a head that is too large")
            self._say_and_close(
                HeadTooLarge("The request's headers are too large.", hint="Send fewer or shorter ones.")
            )

    def _say_and_close(self, told: LocalsrvError) -> None:
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.write(connections.refusal(told))
        self.force_close()

    def _make_room(self, manager: Server) -> None:
        others = (one for one in manager.connections if one is not self)
        leaving = connections.to_leave(others)  # type: ignore[arg-type] # all of them are ours
        if leaving is not None:
            leaving.force_close()
        else:
            self._say_and_close(connections.no_room())

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """As aiohttp's. A body found broken after its answer, when it is thrown away, is no failure."""
        exc = kw.get("exc_info")
        if isinstance(exc, (HttpProcessingError, web.RequestPayloadError)):
            log.info("the rest of a body that cannot be read", extra={"fields": {"kind": type(exc).__name__}})
        else:
            super().log_exception(*args, **kw)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that cannot be read (400), or that failed outside of the dispatcher.

        Raises:
            ConnectionError: an answer has begun; a second one cannot be sent.
        """
        if isinstance(exc, HttpProcessingError):
            log.info("a request that cannot be read", extra={"fields": {"kind": type(exc).__name__}})
        else:
            log.error("a request failed", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        told = refusal(status, exc)
        response = render(told)
        # What was asked for is not known: the sync face's clients find their own words beside the others.
        words = {"error": "bad_request" if status < 500 else "internal_server_error", "reason": told.message}
        response.body = orjson.dumps({**told.as_dict(), **words})
        decorate(response, None)
        response.force_close()
        return response


def refusal(status: int, exc: BaseException | None) -> LocalsrvError:
    """The error to tell; never what came, which may be anything."""
    if status >= 500:
        return LocalsrvError("Something went wrong in the server.", hint="Its log says what.")
    if isinstance(exc, LineTooLong):
        return BadRequest(
            "The request's first line or a header is too long.",
            code="malformed-request",
            hint="Send long queries in several requests.",
        )
    return BadRequest("This cannot be read as an HTTP request.", code="malformed-request")


class Server(web.Server):
    """aiohttp's server of these connections, `most_connections` at once."""

    most_connections = connections.MOST_CONNECTIONS

    def __call__(self) -> web.RequestHandler:
        return Protocol(self, loop=self._loop, **self._kwargs)
