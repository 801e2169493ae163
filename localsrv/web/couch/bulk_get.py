"""`POST /{db}/_bulk_get`: revisions of many documents, as JSON or as one multipart.

Source: CouchDB's docs, api/database/bulk-api, and `chttpd_db.erl`, `bulk_get_…`: a row that cannot be read or
found is an error of its own, whose `rev` is `"undefined"` where none was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import hdrs, web

from localsrv.model.multipart import part_head
from localsrv.store.reading import Document
from localsrv.web.context import database, param
from localsrv.web.couch.accepting import takes
from localsrv.web.couch.answers import document_text, text_of
from localsrv.web.couch.bodies import read_object
from localsrv.web.couch.contents import Segment, send
from localsrv.web.couch.document_json import (
    Show,
    known_since,
    new_boundary,
    related,
    related_type,
    revisions_text,
    shown,
)
from localsrv.web.couch.drafts import checked_id
from localsrv.web.couch.errors import JSON, CouchError
from localsrv.web.couch.revision_query import ALL, RevisionQuery, read_revs, revision_query
from localsrv.web.routes import Face, Route

MIXED, RELATED = "multipart/mixed", "multipart/related"
ERROR = f'{JSON}; error="true"'
_NOT_HERE = ("open_revs", "new_edits", "w", "rev", "atts_since")

Opened = list[tuple[Document, list[str]]]


@dataclass(slots=True)
class Row:
    """What is asked of one document. `error` is the answer where it cannot be understood."""

    id: Any
    rev: str = ALL
    atts_since: list[str] | None = None
    error: dict[str, Any] | None = None


async def bulk_get(request: web.Request) -> web.StreamResponse:
    db, name = database(request), param(request, "db")
    query = _query(request)
    body = await read_object(request)
    if not isinstance(body.get("docs"), list):
        raise CouchError(400, "bad_request", "Missing JSON list of 'docs'.")
    rows = [_row(one) for one in body["docs"]]
    good = [row for row in rows if row.error is None]
    found = iter(await db.open_many(name, [(row.id, row.rev) for row in good], latest=query.latest))
    opened = [(row, next(found) if row.error is None else []) for row in rows]
    boundary = new_boundary()
    if takes(request, JSON):
        headers: dict[str, str] = {hdrs.CONTENT_TYPE: JSON, hdrs.CACHE_CONTROL: "must-revalidate"}
        return await send(request, db, [*_json(name, opened, query)], headers)
    kind = MIXED if takes(request, MIXED) else RELATED if takes(request, RELATED) else None
    if kind is None:
        raise CouchError(406, "not_acceptable", f"Answers are {JSON}, {MIXED} or {RELATED}.")
    headers = {hdrs.CONTENT_TYPE: f'{kind}; boundary="{boundary}"'}
    return await send(request, db, [*_multipart(boundary, name, opened, query)], headers)


def _query(request: web.Request) -> RevisionQuery:
    for name in _NOT_HERE:
        if name in request.query:
            raise CouchError(400, "bad_request", f'"{name}" query parameter is not acceptable')
    return revision_query(request.query.items())


def _row(asked: Any) -> Row:
    if not isinstance(asked, dict) or not asked:
        return Row(None, error=_error(None, None, "bad_request", "document must be a JSON object"))
    ident, rev, since = asked.get("id"), asked.get("rev"), asked.get("atts_since")
    if "id" not in asked:
        return Row(None, error=_error(None, None, "bad_request", "document id missed"))
    try:
        checked_id(ident)
    except CouchError as error:
        return Row(ident, error=_error(ident, None, error.error, error.message))
    try:
        revision = ALL if "rev" not in asked else read_revs([rev])[0]
    except CouchError as error:
        return Row(ident, error=_error(ident, rev, error.error, error.message))
    if since is not None and not isinstance(since, list):
        reason = "att_since value must be array of revs."
        return Row(ident, error=_error(ident, since, "bad_request", reason))
    for one in since or ():
        try:
            read_revs([one])
        except CouchError as error:
            return Row(ident, error=_error(ident, one, error.error, error.message))
    return Row(ident, revision, since or None)


def _error(ident: Any, rev: Any, error: str, reason: str) -> dict[str, Any]:
    return {"id": ident, "rev": rev, "error": error, "reason": reason}


def _missing(row: Row) -> dict[str, Any]:
    return _error(row.id, "undefined" if row.rev == ALL else row.rev, "not_found", "missing")


def _fields(path: Sequence[str], query: RevisionQuery) -> dict[str, str]:
    return {"_revisions": revisions_text(path)} if query.revs else {}


# ── JSON ───────────────────────────────────────────────────────────────────────────────────────────────────


def _json(name: str, opened: Sequence[tuple[Row, Opened]], query: RevisionQuery) -> Iterator[Segment]:
    yield b'{"results":['
    comma = b""
    for row, found in opened:
        yield comma + f'{{"id":{text_of(row.id)},"docs":['.encode()
        yield from _docs(name, row, found, query)
        yield b"]}"
        comma = b","
    yield b"]}\n"


def _docs(name: str, row: Row, found: Opened, query: RevisionQuery) -> Iterator[Segment]:
    if not found:
        yield f'{{"error":{text_of(row.error or _missing(row))}}}'.encode()
        return
    comma = ""
    for document, path in found:
        if document.body is None:
            gone = _error(row.id, document.rev, "not_found", "missing")
            yield f'{comma}{{"error":{text_of(gone)}}}'.encode()
        elif not document.attachments:
            text = document_text(document, fields=_fields(path, query))
            yield f'{comma}{{"ok":{text}}}'.encode()
        else:
            inline = query.attachments or row.atts_since is not None
            one = shown(
                name,
                document,
                show=Show.INLINE if inline else Show.STUBS,
                since=known_since(path, row.atts_since),
                fields=_fields(path, query),
            )
            yield f'{comma}{{"ok":'.encode()
            yield from one.json
            yield b"}"
        comma = ","


# ── multipart ──────────────────────────────────────────────────────────────────────────────────────────────


def _multipart(
    boundary: str, name: str, opened: Sequence[tuple[Row, Opened]], query: RevisionQuery
) -> Iterator[Segment]:
    delimiter = f"\r\n--{boundary}".encode()
    for row, found in opened:
        if not found:
            error = row.error or _missing(row)
            yield delimiter + part_head({"Content-Type": ERROR}) + text_of(error).encode()
        for document, path in found:
            yield delimiter
            if document.body is None:
                gone = {"rev": document.rev, "error": "not_found", "reason": "missing"}
                yield part_head({"Content-Type": ERROR}) + text_of(gone).encode()
                continue
            one = shown(
                name,
                document,
                show=Show.FOLLOW,
                since=known_since(path, row.atts_since),
                fields=_fields(path, query),
            )
            inner = new_boundary()
            head = {"Content-Type": related_type(inner, one)}
            if one.follow:
                head = {"X-Doc-Id": document.id, "X-Rev-Id": document.rev, **head}
            yield part_head(head)
            yield from related(inner, one)
    if opened:
        yield delimiter + b"--\r\n"


ROUTES = (
    Route(
        "POST",
        "/couch/{db}/_bulk_get",
        bulk_get,
        "{db}:read",
        "Revisions of many documents",
        query={
            "revs": "`true`: `_revisions`",
            "attachments": "`true`: attachments in base64",
            "latest": "`true`: the leaves that descend from the revisions asked for",
        },
        face=Face.COUCH,
    ),
)
