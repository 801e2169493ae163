"""The waiting requests over a WebSocket: the whole list at once, and again whenever it is another."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from aiohttp import WSCloseCode, web

from localsrv.base.errors import LocalsrvError
from localsrv.services.pairing import Pairing
from localsrv.web.context import CORS, call, grant
from localsrv.web.endings import Ending, ending_of, still_live
from localsrv.web.headers import decorate
from localsrv.web.live import (
    CLOSE_SECONDS,
    LONGEST_MESSAGE,
    REFUSED,
    SEND_SECONDS,
    admit_late,
    read_to_end,
)
from localsrv.web.live_feed import HEARTBEAT_SECONDS, error_frame
from localsrv.web.routes import ADMIN

LOOK_AGAIN_S = 60.0
"""A grant that expires is no event, so it is looked at now and then while somebody listens."""


async def either(*what: Coroutine[Any, Any, object], seconds: float) -> None:
    """Waits until the first of several things happens, or the time is over."""
    tasks = [asyncio.ensure_future(one) for one in what]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def follow(
    request: web.Request, pairing: Pairing, state: Callable[[], dict[str, Any]]
) -> web.StreamResponse:
    """Sends the list until the listener leaves or its grant ends."""
    socket = web.WebSocketResponse(
        heartbeat=HEARTBEAT_SECONDS, max_msg_size=LONGEST_MESSAGE, compress=False, timeout=CLOSE_SECONDS
    )
    decorate(socket, request.get(CORS))
    await socket.prepare(request)
    try:
        if call(request).grant is None:
            await admit_late(request, socket, None, ADMIN)
    except LocalsrvError as error:
        await _refuse(socket, error)
        return socket
    with ending_of(request, grant(request)) as ending:
        reader = asyncio.ensure_future(read_to_end(socket, ending))
        try:
            await _tell(request, socket, pairing, state, ending)
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
        if ending.error is not None:
            await _refuse(socket, ending.error)
    if not socket.closed:
        await socket.close(code=WSCloseCode.GOING_AWAY, message=b"closing")
    return socket


async def _tell(
    request: web.Request,
    socket: web.WebSocketResponse,
    pairing: Pairing,
    state: Callable[[], dict[str, Any]],
    ending: Ending,
) -> None:
    is_live = still_live(request, grant(request))
    told = None
    try:
        while not ending.event.is_set():
            now = state()
            if now["version"] != told:
                async with asyncio.timeout(SEND_SECONDS):
                    await socket.send_str(orjson.dumps(now).decode())
                told = now["version"]
            news = pairing.wait(now["version"], LOOK_AGAIN_S)
            await either(news, ending.event.wait(), seconds=LOOK_AGAIN_S)
            if not ending.event.is_set() and not is_live():
                ending.revoke()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    except ConnectionError:
        ending.end()  # the reader left


async def _refuse(socket: web.WebSocketResponse, error: LocalsrvError) -> None:
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(SEND_SECONDS):
            await socket.send_str(error_frame(error).decode())
        await socket.close(code=REFUSED, message=error.code.encode())
