"""Long answers in parts: what is made is sent, so that memory stays bounded whatever the length."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import hdrs, web

from localsrv.store.database import Database
from localsrv.web.context import CORS
from localsrv.web.couch.contents import Segment, pieces_of
from localsrv.web.couch.errors import JSON
from localsrv.web.headers import decorate, name_request

AT_ONCE = 256 << 10
"""Bytes that are sent together. An answer that is not longer has a Content-Length."""

_HEADERS = {hdrs.CONTENT_TYPE: JSON, hdrs.CACHE_CONTROL: "must-revalidate"}


async def send_parts(
    request: web.Request, db: Database, parts: AsyncGenerator[list[Segment], None]
) -> web.StreamResponse:
    """The answer of JSON that `parts` make, one after the other.

    What fails before the first part is sent is answered as an error; afterwards the connection is cut.
    """
    waiting: list[bytes] = []
    size = 0
    response: web.StreamResponse | None = None
    async with aclosing(parts), aclosing(_pieces(db, parts)) as pieces:
        async for piece in pieces:
            if (
                request.method == "HEAD"
            ):  # what would fail has failed; an answer of parts has no length to tell
                return web.Response(headers=_HEADERS)
            waiting.append(piece)
            size += len(piece)
            if size < AT_ONCE:
                continue
            if response is None:
                response = web.StreamResponse(headers=_HEADERS)
                decorate(response, request.get(CORS))
                name_request(response)
                await response.prepare(request)
            await response.write(b"".join(waiting))
            waiting.clear()
            size = 0
    if response is None:
        return web.Response(body=b"".join(waiting), headers=_HEADERS)
    if waiting:
        await response.write(b"".join(waiting))
    await response.write_eof()
    return response


async def _pieces(db: Database, parts: AsyncGenerator[list[Segment], None]) -> AsyncGenerator[bytes, None]:
    async for part in parts:
        async with aclosing(pieces_of(db, part)) as pieces:
            async for piece in pieces:
                yield piece
