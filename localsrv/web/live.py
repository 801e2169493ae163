"""/api/v1/apps/{app}/changes: the live feed, as server-sent events for programs and a WebSocket for pages.

Nothing is queued for a reader, so a slow one costs no memory: a frame that cannot be handed to the network
within `SEND_SECONDS` ends the feed (`live_feed`), and the client goes on from the last `seq` it saw, without
gap or duplicate. A feed ends as well for the reasons of `endings`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson
from aiohttp import WSCloseCode, WSMsgType, hdrs, web

from localsrv.base.errors import LocalsrvError, Unauthenticated, Unavailable
from localsrv.web import auth
from localsrv.web.admin.info import FLAG, TEXT, TEXT_OR_NULL, obj
from localsrv.web.context import CALL, CORS, call, database, grant, services
from localsrv.web.endings import Ending, ending_of, require_room, still_live
from localsrv.web.headers import decorate
from localsrv.web.live_feed import HEARTBEAT_SECONDS, Feed, Send, Wanted, error_frame
from localsrv.web.replication_frames import ReplicationFrames
from localsrv.web.routes import ANY, Route

SEND_SECONDS = 10.0
TOKEN_SECONDS = 10.0
CLOSE_SECONDS = 2.0
LONGEST_MESSAGE = 16 * 1024

REFUSED = 4401
"""WebSocket close code of a feed whose token is missing, wrong, revoked or expired."""


async def changes(request: web.Request) -> web.StreamResponse:
    if services(request).flight.is_landing:
        raise Unavailable("The server is stopping.", code="closing", hint="Connect again in a moment.")
    wanted = Wanted.of(request)
    if auth.is_websocket(request):
        return await _websocket(request, wanted)
    wanted.check(request)
    return await _events(request, wanted)


def _feed(request: web.Request, wanted: Wanted) -> Feed:
    followed = ReplicationFrames(request) if wanted.with_replications else None
    return Feed(database(request), wanted, followed)


# ── server-sent events ─────────────────────────────────────────────────────────────────────────────────────


async def _events(request: web.Request, wanted: Wanted) -> web.StreamResponse:
    holder = grant(request)
    require_room(request, holder)
    feed = _feed(request, wanted)
    await feed.start()
    response = web.StreamResponse(
        headers={
            hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8",
            hdrs.CACHE_CONTROL: "no-store",
            "X-Accel-Buffering": "no",
        }
    )
    decorate(response, request.get(CORS))
    await response.prepare(request)

    async def send(text: bytes, seq: str | None) -> None:
        frame = b": heartbeat\n\n"
        if text:
            head = b"" if seq is None else b"id: " + seq.encode() + b"\n"
            frame = head + b"data: " + text + b"\n\n"
        async with asyncio.timeout(SEND_SECONDS):
            await response.write(frame)

    with ending_of(request, holder) as ending:
        await _run(request, feed, send, ending, still_live(request, holder))
    if request.transport is not None and not request.transport.is_closing():
        await response.write_eof()
    return response


async def _run(
    request: web.Request, feed: Feed, send: Send, ending: Ending, is_live: Callable[[], bool]
) -> None:
    """Runs the feed, tells the client why it ended, and cuts off a reader that takes nothing."""
    try:
        try:
            await feed.run(send, ending, is_live)
        except LocalsrvError as error:  # a dropped collection, a damaged file
            ending.end(error)
        if ending.error is not None:
            await send(error_frame(ending.error), None)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    except ConnectionError:
        pass  # the reader left, which is how feeds usually end


# ── WebSocket ──────────────────────────────────────────────────────────────────────────────────────────────


async def _websocket(request: web.Request, wanted: Wanted) -> web.StreamResponse:
    here = call(request)
    if here.grant is not None:
        wanted.check(request)
    socket = web.WebSocketResponse(
        heartbeat=HEARTBEAT_SECONDS, max_msg_size=LONGEST_MESSAGE, compress=False, timeout=CLOSE_SECONDS
    )
    decorate(socket, request.get(CORS))
    await socket.prepare(request)

    async def send(text: bytes, seq: str | None) -> None:
        if text:  # the socket pings by itself
            async with asyncio.timeout(SEND_SECONDS):
                await socket.send_str(text.decode())

    try:
        if here.grant is None:
            await _take_token(request, socket)
            wanted.check(request)
        require_room(request, grant(request))
        feed = _feed(request, wanted)
        await feed.start()
    except LocalsrvError as error:
        with contextlib.suppress(ConnectionError, TimeoutError):
            await send(error_frame(error), None)
        await socket.close(code=REFUSED, message=error.code.encode())
        return socket
    holder = grant(request)
    with ending_of(request, holder) as ending:
        reader = asyncio.ensure_future(read_to_end(socket, ending))
        try:
            await _run(request, feed, send, ending, still_live(request, holder))
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
    if not socket.closed:
        code, reason = (REFUSED, ending.error.code) if ending.error else (WSCloseCode.GOING_AWAY, "closing")
        await socket.close(code=code, message=reason.encode())
    return socket


async def _take_token(request: web.Request, socket: web.WebSocketResponse) -> None:
    """Raises Unauthenticated, Forbidden."""
    app = call(request).params["app"]
    await admit_late(request, socket, app, ANY)
    request[CALL] = replace(call(request), app=await services(request).apps.open(app))


async def admit_late(
    request: web.Request, socket: web.WebSocketResponse, app: str | None, scope: str
) -> None:
    """Lets in a page whose first message is {"token": …}: browsers cannot send headers here.

    Raises:
        Unauthenticated, Forbidden, TooManyRequests.
    """
    try:
        message = await socket.receive(timeout=TOKEN_SECONDS)
        token: Any = orjson.loads(message.data)["token"] if message.type is WSMsgType.TEXT else None
    except (TimeoutError, orjson.JSONDecodeError, KeyError, TypeError):
        token = None
    if not isinstance(token, str):
        raise Unauthenticated('The first message must be {"token": "…"}.')
    here = call(request)
    try:
        holder = auth.late(services(request).grants, request, token, here.site, app, scope)
    except LocalsrvError as error:
        raise services(request).sign_in_failed(request, error) from None
    request.protocol.is_trusted = True  # type: ignore[attr-defined] # `web.protocol`
    request[CALL] = replace(here, grant=holder)


async def read_to_end(socket: web.WebSocketResponse, ending: Ending) -> None:
    """Takes what the client sends (answers to pings; nothing else matters) until it leaves."""
    async for _ in socket:
        pass
    ending.end()


CHANGE: Mapping[str, Any] = obj(
    "type seq",
    type={"enum": ["ready", "change", "reset", "replications", "error"]},
    seq=TEXT,
    collection=TEXT,
    id=TEXT,
    rev=TEXT,
    deleted=FLAG,
    matches=FLAG,
    source=TEXT,
    cause=TEXT_OR_NULL,
    at=TEXT_OR_NULL,
    row={"type": ["object", "null"]},
)

ROUTES = (
    Route(
        "GET",
        "/api/v1/apps/{app}/changes",
        changes,
        ANY,
        "The live feed: server-sent events, or a WebSocket when the request asks for one",
        query={
            "collections": "names, separated by commas; all that there are when left out",
            "since": "the `seq` to go on from; from now on when left out",
            "include": "`row` to get the rows too; `replications` to be told how they fare, which needs "
            "`admin`; or both, separated by a comma",
            "filter": "a filter as the data face takes it, percent-encoded, such as `CategoryID=eq.3`; what "
            "does not match comes with `matches` false and without its row",
        },
        response=CHANGE,
        late_token=True,
    ),
)
