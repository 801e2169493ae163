"""`/{db}/{id}?open_revs=…`: several revisions of a document, as a JSON array or as multipart/mixed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aiohttp import hdrs, web

from localsrv.model.multipart import part_head
from localsrv.model.revisions import EMPTY, Tree
from localsrv.store.reading import Document
from localsrv.web.context import database, param
from localsrv.web.couch.accepting import takes
from localsrv.web.couch.answers import text_of
from localsrv.web.couch.contents import Segment, send
from localsrv.web.couch.document_json import (
    Show,
    Shown,
    known_since,
    new_boundary,
    path_of,
    related,
    related_type,
    revisions_text,
    shown,
)
from localsrv.web.couch.errors import JSON, CouchError
from localsrv.web.couch.revision_query import ALL, RevisionQuery

MIXED = "multipart/mixed"
ERROR = f'{JSON}; error="true"'


async def answer(request: web.Request, ident: str, query: RevisionQuery) -> web.StreamResponse:
    """The revisions that `query.open_revs` names; those that are not here are told as missing.

    Raises:
        CouchError: all leaves of a document that never was.
    """
    db, name = database(request), param(request, "db")
    mixed = takes(request, MIXED)
    asked = None if query.open_revs == ALL else list(dict.fromkeys(query.open_revs or ()))
    found = await db.open_revisions(name, ident, asked, latest=query.latest)
    if asked is None and not found:
        raise CouchError(404, "not_found", "missing")
    known = db.revisions(name, ident)
    tree = EMPTY if known is None else known.tree
    rows: list[Shown | str] = [
        d.rev if d.body is None else _shown(name, d, tree, query, mixed=mixed) for d in found
    ]
    there = tree.nodes.keys() if query.latest else {d.rev for d in found}
    rows += [revision for revision in asked or () if revision not in there]
    headers: dict[str, str] = {hdrs.CACHE_CONTROL: "must-revalidate", hdrs.CONTENT_TYPE: JSON}
    if mixed:
        boundary = new_boundary()
        headers[hdrs.CONTENT_TYPE] = f'{MIXED}; boundary="{boundary}"'
        return await send(request, db, [*_mixed(boundary, rows)], headers)
    return await send(request, db, [*_array(rows)], headers)


def _shown(name: str, document: Document, tree: Tree, query: RevisionQuery, *, mixed: bool) -> Shown:
    show = Show.STUBS
    if mixed:
        show = Show.FOLLOW
    elif query.attachments or query.atts_since is not None:
        show = Show.INLINE
    path = path_of(tree, document.rev) if query.revs or query.atts_since else ()
    fields = {"_revisions": revisions_text(path)} if query.revs else None
    return shown(name, document, show=show, since=known_since(path, query.atts_since), fields=fields)


def _array(rows: Sequence[Shown | str]) -> Iterator[Segment]:
    yield b"["
    for at, row in enumerate(rows):
        if at:
            yield b","
        if isinstance(row, str):
            yield f'{{"missing":{text_of(row)}}}'.encode()
        else:
            yield b'{"ok":'
            yield from row.json
            yield b"}"
    yield b"]\n"


def _mixed(boundary: str, rows: Sequence[Shown | str]) -> Iterator[Segment]:
    delimiter = f"\r\n--{boundary}".encode()
    yield delimiter[2:]
    for row in rows:
        if isinstance(row, str):
            yield part_head({"Content-Type": ERROR}) + f'{{"missing":{text_of(row)}}}'.encode()
        else:
            inner = new_boundary()
            yield part_head({"Content-Type": related_type(inner, row)})
            yield from related(inner, row)
        yield delimiter
    yield b"--"
