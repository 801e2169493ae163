"""`_changes`: what is asked for, and the normal feed, which is read page after page up to the change that was
newest when it began. Those that go on are in `changes_live`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from aiohttp import web

from localsrv.base.errors import Unavailable
from localsrv.services.design import Design
from localsrv.web.context import database, grant, param, services
from localsrv.web.couch.bodies import read_object
from localsrv.web.couch.changes_filter import DESIGN_ONLY, ChangesFilter, by_function, by_ids, by_selector
from localsrv.web.couch.changes_live import LiveFeed
from localsrv.web.couch.changes_query import ChangesArguments, Feed, changes_arguments
from localsrv.web.couch.changes_rows import Rows, tail_of
from localsrv.web.couch.changes_view import ChangesView
from localsrv.web.couch.contents import Segment
from localsrv.web.couch.errors import CouchError
from localsrv.web.couch.parameters import json_value
from localsrv.web.couch.request_object import request_object
from localsrv.web.couch.sequences import begin_of, newest_seq
from localsrv.web.couch.streaming import send_parts
from localsrv.web.endings import ending_of
from localsrv.web.routes import Face, Route


async def get(request: web.Request) -> web.StreamResponse:
    return await _changes(request, None)


async def post(request: web.Request) -> web.StreamResponse:
    return await _changes(request, await read_object(request) if request.can_read_body else None)


async def _changes(request: web.Request, body: Mapping[str, Any] | None) -> web.StreamResponse:
    db, name = database(request), param(request, "db")
    number, begin = db.collection(name).number, begin_of(db, name)
    wanted = changes_arguments(request.query, request.headers.get("Last-Event-ID"), db, name)
    passing = await _filter(request, wanted, body)
    view = ChangesView(db, name, number, begin, wanted.all_leaves, wanted.included, passing)
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
    rows = Rows(wanted)
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
    yield [await tail_of(view, rows, batch, descending=wanted.descending)]


def _page(view: ChangesView, rows: Rows) -> int | None:
    """How many changes to read at most: with a filter, nobody knows how many will pass."""
    return rows.left if view.filter is None else None


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
