"""`_view`: rows of a view, or what a reduce function makes of them.

Source: CouchDB's docs, api/ddoc/views, and `couch_mrview_http.erl`. An answer is of one moment however long
it is: the rows are read from one state of the index, page after page, as they are sent.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from itertools import islice
from typing import Any

import orjson
from aiohttp import web

from localsrv.base.threads import in_thread
from localsrv.model.design_document import PREFIX, DesignDocument, View
from localsrv.services.design import Design
from localsrv.services.mapping import views_program
from localsrv.services.reducing import Reduced, Reduction
from localsrv.services.views import Views
from localsrv.store.database import Database, Document
from localsrv.store.view_snapshot import Snapshot, ViewRow
from localsrv.web.context import database, param, services
from localsrv.web.couch.answers import text_of
from localsrv.web.couch.bodies import read_object
from localsrv.web.couch.contents import Segment
from localsrv.web.couch.errors import CouchError
from localsrv.web.couch.included import Included
from localsrv.web.couch.sequences import newest_seq, token_of
from localsrv.web.couch.streaming import send_parts
from localsrv.web.couch.view_query import Update, ViewQuery, decoded, view_query
from localsrv.web.routes import Face, Route

PAGE = 1000
PAGE_OF_BODIES = 200
"""Rows that are read at once, without and with their documents."""


async def design_of(request: web.Request) -> DesignDocument:
    """The design document that the path names. Raises DesignError (404)."""
    design: Design = services(request).extra[Design]
    return await design.document(database(request), param(request, "db"), PREFIX + param(request, "design"))


async def _view(request: web.Request) -> tuple[DesignDocument, View]:
    design = await design_of(request)
    view = design.views.get(param(request, "view"))
    if view is None:
        raise CouchError(404, "not_found", "missing_named_view")
    return design, view


# ── rows ───────────────────────────────────────────────────────────────────────────────────────────────────

Parts = AsyncGenerator[list[Segment], None]


async def _answer(request: web.Request, design: DesignDocument, view: View, query: ViewQuery) -> Parts:
    """The answer to one query, in parts. What fails does so before the first."""
    db, name = database(request), param(request, "db")
    views: Views = services(request).extra[Views]
    async with views.snapshot(db, name, design, update=query.update is Update.FIRST) as snapshot:
        if query.reduces:
            parts = _reduced(views, db, name, design, view, snapshot, query)
        else:
            parts = _mapped(db, name, view, snapshot, query)
        async with aclosing(parts):
            async for part in parts:
                yield part
    if query.update is Update.LATER:
        views.update_later(db, name, design)


async def _mapped(db: Database, name: str, view: View, snapshot: Snapshot, query: ViewQuery) -> Parts:
    total, before = await in_thread(lambda: _position(snapshot, view, query))
    head: dict[str, Any] = {"total_rows": total, "offset": min(total, before + query.skip)}
    if query.with_update_seq:
        head["update_seq"] = await _update_seq(db, name, snapshot)
    rows = _rows(snapshot, query)
    size = PAGE if query.included is None else PAGE_OF_BODIES
    opening = f'{text_of(head)[:-1]},"rows":['.encode()
    separator = b"\n"
    while page := await in_thread(lambda: list(islice(rows, size))):
        part: list[Segment] = [opening] if opening else []
        opening = b""
        if query.included is None:
            part.append(separator + b",\n".join([_row(row).encode() + b"}" for row in page]))
        else:
            for row, doc in zip(page, await _documents(db, name, query.included, page), strict=True):
                part += [separator + _row(row).encode() + b',"doc":', *doc, b"}"]
                separator = b",\n"
        separator = b",\n"
        yield part
        if len(page) < size:
            break
    yield [opening + b"\n]}\n"]


async def _update_seq(db: Database, name: str, snapshot: Snapshot) -> str:
    """The latest change of the database that the index has seen."""
    return token_of(db, name, min(snapshot.seq, await newest_seq(db, name)))


def _position(snapshot: Snapshot, view: View, query: ViewQuery) -> tuple[int, int]:
    """All rows of the view, and how many of them come before the first range."""
    total = snapshot.total(view.number)
    if not query.ranges:
        return total, 0
    first = query.ranges[0]
    bound = first.high if query.descending else first.low
    return total, 0 if bound is None else snapshot.count_before(view.number, bound, query.descending)


def _rows(snapshot: Snapshot, query: ViewQuery) -> Iterator[ViewRow]:
    descending, skip, limit = query.descending, query.skip, query.limit
    if len(query.ranges) == 1:
        return snapshot.rows(query.ranges[0], descending=descending, skip=skip, limit=limit)
    all_rows = (
        row for one in query.ranges for row in snapshot.rows(one, descending=descending, skip=0, limit=None)
    )
    return islice(all_rows, skip, None if limit is None else skip + limit)


def _row(row: ViewRow) -> str:
    return f'{{"id":{text_of(row.id)},"key":{row.key},"value":{row.value}'


async def _documents(
    db: Database, name: str, included: Included, rows: Sequence[ViewRow]
) -> list[list[Segment]]:
    """The document of each row: its own, or the one that its value names (`{"_id": …, "_rev": …}`)."""
    links = [_link(row) for row in rows]
    winners = await db.get_documents(name, [document_id for document_id, _ in links])
    found = [
        winner if rev is None else db.get_document(name, document_id, rev)
        for winner, (document_id, rev) in zip(winners, links, strict=True)
    ]
    alive: list[Document | None] = [None if d is None or d.deleted else d for d in found]
    return await included.segments(db, name, alive)


def _link(row: ViewRow) -> tuple[str, str | None]:
    if row.value[0] == "{" and ('"_id"' in row.value or '"_rev"' in row.value):
        value = orjson.loads(row.value)
        document_id, rev = value.get("_id", row.id), value.get("_rev")
        if isinstance(document_id, str):
            return document_id, rev if isinstance(rev, str) and _is_revision(rev) else None
    return row.id, None


def _is_revision(text: str) -> bool:
    number, _, digest = text.partition("-")
    return number.isascii() and number.isdecimal() and 0 < len(number) < 16 and bool(digest)


async def _reduced(
    views: Views,
    db: Database,
    name: str,
    design: DesignDocument,
    view: View,
    snapshot: Snapshot,
    query: ViewQuery,
) -> Parts:
    assert view.reduce is not None
    asked = Reduction(
        view.number, view.reduce, query.ranges, query.level, query.descending, query.skip, query.limit
    )
    index = f"{db.path} {name} {design.signature}"
    found = await views.reducer.reduce(snapshot, index, views_program(db, name, design), asked)
    head = '{"rows":['
    if query.with_update_seq:
        head = f'{{"update_seq":{text_of(await _update_seq(db, name, snapshot))},"rows":['
    yield [head.encode()]
    for at in range(0, len(found), PAGE):
        rows = ",\n".join(map(_group, found[at : at + PAGE]))
        yield [f"{',' if at else ''}\n{rows}".encode()]
    yield [b"\n]}\n"]


def _group(group: Reduced) -> str:
    if group.error is not None:
        return f'{{"key":{group.key},"error":{text_of(group.error)},"reason":{text_of(group.reason)}}}'
    return f'{{"key":{group.key},"value":{group.value}}}'


# ── requests ───────────────────────────────────────────────────────────────────────────────────────────────


async def get(request: web.Request) -> web.StreamResponse:
    return await _send(request, decoded(request.query))


async def post(request: web.Request) -> web.StreamResponse:
    body = await read_object(request)
    if "queries" in body:
        reason = "The `queries` parameter is no longer supported at this endpoint"
        raise CouchError(400, "bad_request", reason)
    _check_keys(body)
    return await _send(request, {**body, **decoded(request.query)})


def _check_keys(body: Mapping[str, Any]) -> None:
    if not isinstance(body.get("keys"), (list, type(None))):
        raise CouchError(400, "bad_request", "`keys` member must be an array.")


async def _send(request: web.Request, parameters: Mapping[str, Any]) -> web.StreamResponse:
    design, view = await _view(request)
    query = view_query(parameters, view)
    async with aclosing(_answer(request, design, view, query)) as parts:
        return await send_parts(request, database(request), parts)


async def queries(request: web.Request) -> web.StreamResponse:
    body = await read_object(request)
    asked = body.get("queries")
    if asked is None:
        raise CouchError(400, "bad_request", "POST body must include `queries` parameter.")
    if not isinstance(asked, list) or not all(isinstance(one, dict) for one in asked):
        raise CouchError(400, "bad_request", "`queries` member must be an array of objects.")
    for one in asked:
        _check_keys(one)
    design, view = await _view(request)
    common = decoded(request.query)
    chosen = [view_query({**common, **one}, view) for one in asked]
    async with aclosing(_several(request, design, view, chosen)) as parts:
        return await send_parts(request, database(request), parts)


async def _several(
    request: web.Request, design: DesignDocument, view: View, chosen: Sequence[ViewQuery]
) -> Parts:
    yield [b'{"results":[\n']
    for number, query in enumerate(chosen):
        if number:
            yield [b",\n"]
        async with aclosing(_answer(request, design, view, query)) as parts:
            async for part in parts:
                yield part
    yield [b"]}\n"]


_QUERY = {
    "key": "One key, as JSON.",
    "keys": "A list of keys, as JSON; their rows come in its order.",
    "startkey": "The first key, as JSON; also `start_key`.",
    "startkey_docid": "The first id among the rows of that key; also `start_key_doc_id`.",
    "endkey": "The last key, as JSON; also `end_key`.",
    "endkey_docid": "The last id among the rows of that key; also `end_key_doc_id`.",
    "inclusive_end": "`false` leaves the last key out.",
    "descending": "`true` turns the order around.",
    "skip": "Rows to leave out.",
    "limit": "Rows at most.",
    "reduce": "`false` gives the rows themselves.",
    "group": "`true` reduces the rows of each key.",
    "group_level": "Reduces by the first so many elements of the keys.",
    "include_docs": "`true` adds the documents.",
    "conflicts": "`true` adds `_conflicts` to them.",
    "attachments": "`true` adds the attachments in base64.",
    "update": "`false` answers from the index as it is, `lazy` too and brings it up to date afterwards.",
    "stale": "`ok` is `update=false`, `update_after` is `update=lazy`.",
    "update_seq": "`true` tells the change up to which the index is built.",
}

_PATH = "/couch/{db}/_design/{design}/_view/{view}"

ROUTES = (
    Route("GET", _PATH, get, "{db}:read", "Rows of a view", query=_QUERY, face=Face.COUCH),
    Route("POST", _PATH, post, "{db}:read", "Rows of a view; parameters in the body", face=Face.COUCH),
    Route("POST", f"{_PATH}/queries", queries, "{db}:read", "Several queries of a view", face=Face.COUCH),
)
