"""`_changes` in its four feeds.

A normal feed is read page after page up to the change that was newest when it began. The others go on with
what is written later: `changes_hub` tells how many of them share one read. A live feed ends when its grant
does, when the server leaves, when the database goes, and when its reader takes nothing for `SEND_SECONDS`:
nothing is queued for a slow reader, who goes on later from the last `seq` it saw.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from aiohttp import hdrs, web

from localsrv.base.errors import LocalsrvError, Unavailable
from localsrv.services.design import Design
from localsrv.web.context import APPLICATION, CORS, database, grant, param, services
from localsrv.web.couch.all_docs import newest_seq
from localsrv.web.couch.answers import text_of
from localsrv.web.couch.bodies import read_object
from localsrv.web.couch.changes_filter import DESIGN_ONLY, ChangesFilter, by_function, by_ids, by_selector
from localsrv.web.couch.changes_hub import Hub, Hubs
from localsrv.web.couch.changes_query import ChangesArguments, Feed, changes_arguments
from localsrv.web.couch.changes_view import Batch, ChangesView, Row, event_of, joined
from localsrv.web.couch.contents import Segment, pieces_of
from localsrv.web.couch.errors import JSON, CouchError, row_error
from localsrv.web.couch.parameters import json_value
from localsrv.web.couch.request_object import request_object
from localsrv.web.couch.streaming import send_parts
from localsrv.web.headers import decorate
from localsrv.web.live import Ending, ending_of, still_live
from localsrv.web.routes import Face, Route

SEND_SECONDS = 10.0

HUBS = web.AppKey("couch_hubs", Hubs)


async def get(request: web.Request) -> web.StreamResponse:
    return await _changes(request, None)


async def post(request: web.Request) -> web.StreamResponse:
    return await _changes(request, await read_object(request) if request.can_read_body else None)


async def _changes(request: web.Request, body: Mapping[str, Any] | None) -> web.StreamResponse:
    db, name = database(request), param(request, "db")
    number = db.collection(name).number
    wanted = changes_arguments(request.query, request.headers.get("Last-Event-ID"), db, name)
    view = ChangesView(
        db, name, number, wanted.all_leaves, wanted.included, await _filter(request, wanted, body)
    )
    since = await newest_seq(db, name) if wanted.since is None else wanted.since
    if wanted.feed is Feed.NORMAL or request.method == "HEAD":
        return await send_parts(request, db, _normal_parts(view, wanted, since))
    if services(request).flight.is_landing:
        raise Unavailable("The server is stopping.", code="closing", hint="Connect again in a moment.")
    first = await view.read(since, limit=wanted.limit, descending=wanted.descending)  # errors show before
    with ending_of(request, grant(request)) as ending:
        live = LiveFeed(request, view, wanted, ending)
        return await live.run(first)


async def _filter(
    request: web.Request, wanted: ChangesArguments, body: Mapping[str, Any] | None
) -> ChangesFilter | None:
    """Raises CouchError for a filter that is not there, or lacks what it needs."""
    name = wanted.filter
    if not name:
        return None
    if name == "_doc_ids":
        return by_ids(json_value(request.query, "doc_ids") if body is None else body.get("doc_ids"))
    if name == "_selector":
        return by_selector(body)
    if name == "_design":
        return DESIGN_ONLY
    db, design = database(request), services(request).extra[Design]
    if name == "_view":
        path = request.query.get("view", "")
        if not path:
            raise CouchError(400, "bad_request", "`view` filter parameter is not provided.")
        return await by_function(design, db, param(request, "db"), path, None)
    if name.startswith("_"):
        raise CouchError(400, "bad_request", "unknown builtin filter name")
    told = request_object(request, body)
    return await by_function(design, db, param(request, "db"), name, told)


# ── normal ─────────────────────────────────────────────────────────────────────────────────────────────────


async def _normal_parts(
    view: ChangesView, wanted: ChangesArguments, since: int
) -> AsyncGenerator[list[Segment], None]:
    rows = _Rows(wanted)
    begin = 0 if wanted.descending else since
    until = view.db.last_seq
    batch = await view.read(begin, limit=_page(view, rows), until=until, descending=wanted.descending)
    yield [b'{"results":[\n']
    while True:
        told = rows.take(batch)
        yield told
        if rows.is_full or not batch.more:
            break
        limit = _page(view, rows)
        if wanted.descending:
            batch = await view.read(0, limit=limit, until=batch.last_seq - 1, descending=True)
        else:
            batch = await view.read(batch.last_seq, limit=limit, until=until)
    yield [await _tail(view, rows, batch, descending=wanted.descending)]


def _page(view: ChangesView, rows: _Rows) -> int | None:
    """How many changes to read at most: with a filter, nobody knows how many will pass."""
    return rows.left if view.filter is None else None


async def _tail(view: ChangesView, rows: _Rows, batch: Batch, *, descending: bool = False) -> bytes:
    last, pending = batch.last_seq, 0
    if rows.is_full and (batch.more or rows.was_cut):
        last = rows.last or last
        pending = await view.pending(last, descending=descending)
    return f'\n],\n"last_seq":{view.token(last)},"pending":{pending}}}\n'.encode()


class _Rows:
    """Counts the rows of one answer, and writes them."""

    def __init__(self, wanted: ChangesArguments) -> None:
        self._feed = wanted.feed
        self._interval = wanted.seq_interval
        self._count = 0
        self.left = wanted.limit
        self.last: int | None = None
        self.was_cut = False
        """Whether the last batch had more rows than were taken."""

    @property
    def is_full(self) -> bool:
        return self.left == 0

    @property
    def is_empty(self) -> bool:
        return not self._count

    def take(self, batch: Batch) -> list[Segment]:
        """The rows of a batch, up to the limit, as they are sent."""
        rows = batch.rows
        if self.left is None and self._interval is None and self._feed in (Feed.CONTINUOUS, Feed.EVENTSOURCE):
            self._count += len(rows)
            return batch.lines if self._feed is Feed.CONTINUOUS else batch.events
        self.was_cut = self.left is not None and len(rows) > self.left
        if self.left is not None:
            rows = rows[: self.left]
            self.left -= len(rows)
        out: list[Segment] = []
        for row in rows:
            out += self._written(row)
            self._count += 1
        if rows:
            self.last = rows[-1].number
        return joined(out)

    def _written(self, row: Row) -> list[Segment]:
        with_seq = self._interval is None or self._count % self._interval == 0
        if self._feed is Feed.EVENTSOURCE:
            return event_of(row, with_seq=with_seq)
        if self._feed is Feed.CONTINUOUS:
            return [*row.segments(with_seq=with_seq), b"\n"]
        return row.segments(with_seq=with_seq, before=",\n" if self._count else "")


# ── live ───────────────────────────────────────────────────────────────────────────────────────────────────


class LiveFeed:
    """One listener: longpoll, continuous or eventsource."""

    def __init__(
        self, request: web.Request, view: ChangesView, wanted: ChangesArguments, ending: Ending
    ) -> None:
        self._request = request
        self._view = view
        self._wanted = wanted
        self._ending = ending
        self._rows = _Rows(wanted)
        self._is_live = still_live(request, grant(request))
        headers = {hdrs.CONTENT_TYPE: JSON, hdrs.CACHE_CONTROL: "must-revalidate", "X-Accel-Buffering": "no"}
        if wanted.feed is Feed.EVENTSOURCE:
            headers[hdrs.CONTENT_TYPE] = "text/event-stream"
            headers[hdrs.CACHE_CONTROL] = "no-cache"
        self._response = web.StreamResponse(headers=headers)

    async def run(self, first: Batch) -> web.StreamResponse:
        """Tells what there is from `first` on, then what comes, until the feed ends."""
        decorate(self._response, self._request.get(CORS))
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
        tail = await _tail(self._view, self._rows, batch, descending=self._wanted.descending)
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

    async def _write(self, piece: bytes) -> None:
        if piece:
            async with asyncio.timeout(SEND_SECONDS):
                await self._response.write(piece)


_QUERY = {
    "feed": "`normal`, `longpoll`, `continuous` (also `live`) or `eventsource`.",
    "since": "The `seq` to go on from; `0`: from the beginning, `now`: from now on.",
    "limit": "Changes at most; 0 counts as 1.",
    "descending": "`true`: the newest first.",
    "style": "`all_docs` tells every leaf, not only the winner.",
    "include_docs": "`true` adds the documents.",
    "conflicts": "`true` adds `_conflicts` to them.",
    "attachments": "`true` adds the attachments in base64.",
    "filter": "`_doc_ids`, `_selector`, `_design`, `_view`, or `<design document>/<function>`.",
    "doc_ids": "For `_doc_ids`: a list of ids, as JSON; better in the body of a POST.",
    "view": "For `_view`: `<design document>/<view>`.",
    "heartbeat": "Milliseconds after which an empty line is sent when nothing else is; `true`: 60 seconds.",
    "timeout": "Milliseconds after which a feed without heartbeat ends, at most 60,000.",
    "seq_interval": "Tells only each so manieth `seq`.",
    "last-event-id": "As `since`.",
}
_WORDS: Mapping[str, Any] = {"query": _QUERY, "face": Face.COUCH}

ROUTES = (
    Route("GET", "/couch/{db}/_changes", get, "{db}:read", "What was changed, in order", **_WORDS),
    Route("POST", "/couch/{db}/_changes", post, "{db}:read", "The same, with a filter in the body", **_WORDS),
)
