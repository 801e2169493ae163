"""The feeds of `_changes` that go on: longpoll, continuous and eventsource.

`changes_hub` tells how many of them share one read. A feed ends when its grant does, when the server leaves,
when the database goes, and when its reader takes nothing for `SEND_SECONDS`: nothing is queued for a slow
reader, who goes on later from the last `seq` it saw.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from aiohttp import hdrs, web

from localsrv.base.errors import LocalsrvError
from localsrv.web.context import APPLICATION, CORS, grant
from localsrv.web.couch.answers import text_of
from localsrv.web.couch.changes_hub import Hub, Hubs
from localsrv.web.couch.changes_query import ChangesArguments, Feed
from localsrv.web.couch.changes_rows import Rows, tail_of
from localsrv.web.couch.changes_view import Batch, ChangesView
from localsrv.web.couch.contents import PIECE, Segment, pieces_of
from localsrv.web.couch.errors import JSON, row_error
from localsrv.web.endings import Ending, still_live
from localsrv.web.headers import decorate, name_request

SEND_SECONDS = 10.0
"""How long a reader may take for `PIECE` bytes."""

HUBS = web.AppKey("couch_hubs", Hubs)


class LiveFeed:
    """One listener: longpoll, continuous or eventsource."""

    def __init__(
        self, request: web.Request, view: ChangesView, wanted: ChangesArguments, ending: Ending
    ) -> None:
        self._request = request
        self._view = view
        self._wanted = wanted
        self._ending = ending
        self._rows = Rows(wanted)
        self._is_live = still_live(request, grant(request))
        headers = {hdrs.CONTENT_TYPE: JSON, hdrs.CACHE_CONTROL: "must-revalidate", "X-Accel-Buffering": "no"}
        if wanted.feed is Feed.EVENTSOURCE:
            headers[hdrs.CONTENT_TYPE] = "text/event-stream"
            headers[hdrs.CACHE_CONTROL] = "no-cache"
        self._response = web.StreamResponse(headers=headers)

    async def run(self, first: Batch) -> web.StreamResponse:
        """Tells what there is from `first` on, then what comes, until the feed ends."""
        decorate(self._response, self._request.get(CORS))
        name_request(self._response)
        await self._response.prepare(self._request)
        try:
            if self._wanted.feed is Feed.LONGPOLL:
                await self._send([b'{"results":[\n'])
            last = await self._tell(first)
            if self._wanted.feed is not Feed.EVENTSOURCE:
                await self._send([await self._end(last)])
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()
            return self._response
        except ConnectionError:
            return self._response  # the reader left, which is how feeds usually end
        except LocalsrvError as error:
            await self._fail(error)
        if self._request.transport is not None and not self._request.transport.is_closing():
            await self._response.write_eof()
        return self._response

    async def _tell(self, batch: Batch) -> Batch:
        """Sends batches until the feed ends; the last one."""
        while True:
            await self._send(self._rows.take(batch))
            if self._rows.is_full or self._ending.event.is_set():
                return batch
            if not batch.more:
                break
            if self._wanted.descending:
                batch = await self._view.read(0, until=batch.last_seq - 1, descending=True)
            else:
                batch = await self._view.read(batch.last_seq)
        if self._wanted.descending or self._is_done():
            return batch
        with self._request[APPLICATION][HUBS].listening(self._view, batch.last_seq) as hub:
            end = asyncio.ensure_future(self._ending.event.wait())
            try:
                return await self._follow(hub, batch, end)
            finally:
                end.cancel()
                await asyncio.gather(end, return_exceptions=True)

    async def _follow(self, hub: Hub, batch: Batch, end: asyncio.Future[Any]) -> Batch:
        while not self._ending.event.is_set():
            found = hub.kept(batch.last_seq)
            if found is None and hub.is_ahead_of(batch.last_seq):
                found = await self._view.read(batch.last_seq)
            if found is not None:
                batch = found
                await self._send(self._rows.take(batch))
                if self._is_done():
                    break
                continue
            if hub.is_over:
                if hub.error is not None and hub.error.code != "no-collection":
                    raise hub.error
                break
            wait = self._wanted.heartbeat or self._wanted.wait
            done, _ = await asyncio.wait((hub.news, end), timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            if not done and not await self._beat():
                break
        return batch

    def _is_done(self) -> bool:
        return self._rows.is_full or (self._wanted.feed is Feed.LONGPOLL and not self._rows.is_empty)

    async def _beat(self) -> bool:
        """Sends a heartbeat when nothing came for its time; False when the feed ends instead."""
        if self._wanted.heartbeat is None or not self._is_live():
            return False
        is_event = self._wanted.feed is Feed.EVENTSOURCE
        await self._send([b"event: heartbeat\ndata: \n\n" if is_event else b"\n"])
        return True

    async def _end(self, batch: Batch) -> bytes:
        tail = await tail_of(self._view, self._rows, batch, descending=self._wanted.descending)
        if self._wanted.feed is Feed.LONGPOLL:
            return tail
        return b"{" + tail[len(b"\n],\n") :]

    async def _fail(self, error: LocalsrvError) -> None:
        """Tells why a feed that has begun ends. In the midst of a JSON object, a cut is all that shows."""
        if self._wanted.feed is Feed.CONTINUOUS:
            await self._send([text_of(row_error(error)).encode() + b"\n"])
        elif self._request.transport is not None:
            self._request.transport.abort()

    async def _send(self, segments: list[Segment]) -> None:
        for segment in segments:
            if isinstance(segment, bytes):
                await self._write(segment)
                continue
            async with aclosing(pieces_of(self._view.db, [segment])) as pieces:
                async for piece in pieces:
                    await self._write(piece)

    async def _write(self, text: bytes) -> None:
        """Sends a text a piece at a time: a slow reader has time for each, and the rest is not copied."""
        view = memoryview(text)
        for at in range(0, len(text), PIECE):
            async with asyncio.timeout(SEND_SECONDS):
                await self._response.write(text if len(text) <= PIECE else view[at : at + PIECE])
