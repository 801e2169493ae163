"""`/{db}/{id}` and `/{db}/_design/{name}`: one document, and `POST /{db}`, which makes one.

Requests without parameters take short ways: reading a document by its id is one look on the event loop.
Source: CouchDB's docs, api/document/common, and where they are silent `chttpd_db.erl`, `db_doc_req`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from aiohttp import hdrs, web

from localsrv.store.document_changes import ChangesQuery
from localsrv.store.editing import Edit
from localsrv.store.ids import uuid7
from localsrv.store.reading import Document
from localsrv.web.context import call, database, param, params, require
from localsrv.web.couch import local, open_revisions
from localsrv.web.couch.accepting import takes
from localsrv.web.couch.answers import document_text, json_answer, text_of
from localsrv.web.couch.bodies import read_json, require_json
from localsrv.web.couch.contents import send
from localsrv.web.couch.databases import location
from localsrv.web.couch.document_json import (
    Show,
    known_since,
    meta_fields,
    new_boundary,
    path_of,
    related,
    related_type,
    shown,
)
from localsrv.web.couch.drafts import Draft, checked_id, draft_of
from localsrv.web.couch.errors import CONFLICT, JSON, CouchError
from localsrv.web.couch.multipart import is_related, read_related
from localsrv.web.couch.preconditions import is_unchanged, named_rev
from localsrv.web.couch.revision_query import RevisionQuery, revision_query
from localsrv.web.couch.sequences import count_of
from localsrv.web.couch.writing import check_current, check_path, edit_of, write_one
from localsrv.web.routes import Face, Route

DESIGN = "_design/"
RELATED = "multipart/related"
NO_CACHE = "must-revalidate"


def document_id(request: web.Request) -> str:
    """The id that the path names: design documents have a route of their own."""
    values = params(request)
    return DESIGN + values["design"] if "design" in values else values["id"]


def may_write(request: web.Request, ident: str) -> None:
    """That the id can be one, and that the grant may write it. Raises CouchError, Forbidden."""
    checked_id(ident)
    may_design(request, ident)


def may_design(request: web.Request, ident: str) -> None:
    """That the grant may write it, if it is a design document's id. Raises Forbidden."""
    if ident[:1] == "_" and ident.startswith(DESIGN):
        require(request, "sync")


# ── reading ────────────────────────────────────────────────────────────────────────────────────────────────


async def get(request: web.Request) -> web.StreamResponse:
    ident = document_id(request)
    if ident.startswith(local.PREFIX):
        return local.read(request, ident.removeprefix(local.PREFIX))
    if "?" in request.raw_path:
        query = revision_query(request.query.items())
        if query.open_revs is not None:
            return await open_revisions.answer(request, ident, query)
        return await _asked(request, ident, query)
    found = winner(request, ident)
    if is_unchanged(request, found.rev):
        return web.Response(status=304, headers={hdrs.ETAG: f'"{found.rev}"'})
    return web.Response(body=(document_text(found) + "\n").encode(), headers=_headers(found.rev, JSON))


def _headers(revision: str | None, content_type: str) -> Mapping[str, str]:
    headers: dict[str, str] = {hdrs.CONTENT_TYPE: content_type, hdrs.CACHE_CONTROL: NO_CACHE}
    if revision is not None:
        headers[hdrs.ETAG] = f'"{revision}"'
    return headers


def winner(request: web.Request, ident: str) -> Document:
    """The document as it is now. Raises CouchError: there is none, or it was deleted."""
    found = database(request).get_document(param(request, "db"), ident)
    if found is None:
        raise missing()
    if found.deleted:
        raise CouchError(404, "not_found", "deleted")
    return found


def missing() -> CouchError:
    """The error of a document or a revision that is not there."""
    return CouchError(404, "not_found", "missing")


async def revision_of(request: web.Request, ident: str, rev: str | None, *, latest: bool = False) -> Document:
    """The revision that is asked for, or with `latest` the first leaf that descends from it.

    Raises:
        CouchError: it is not there, or its body was forgotten.
    """
    if rev is None:
        return winner(request, ident)
    db, name = database(request), param(request, "db")
    if latest:
        leaves = await db.open_revisions(name, ident, [rev], latest=True)
        found = leaves[0] if leaves else None
    else:
        found = None if rev.startswith("0-") else db.get_document(name, ident, rev)
    if found is None or found.body is None:
        raise missing()
    return found


async def _asked(request: web.Request, ident: str, query: RevisionQuery) -> web.StreamResponse:
    db, name = database(request), param(request, "db")
    found = await revision_of(request, ident, query.rev, latest=query.latest)
    tag = None if query.has_meta else found.rev
    if tag is not None and is_unchanged(request, tag):
        return web.Response(status=304, headers={hdrs.ETAG: f'"{tag}"'})
    fields: dict[str, str] = {}
    since, show = 0, Show.STUBS
    if query.has_meta or query.revs or query.atts_since is not None:
        known = db.revisions(name, ident)
        if known is None:
            raise missing()
        fields = meta_fields(query, found.rev, known)
        since = known_since(path_of(known.tree, found.rev), query.atts_since)
    if query.local_seq:
        fields["_local_seq"] = str(await _local_seq(request, ident))
    if query.attachments or query.atts_since is not None:
        show = Show.FOLLOW if found.attachments and takes(request, RELATED) else Show.INLINE
    one = shown(name, found, show=show, since=since, fields=fields)
    boundary = new_boundary()
    headers = _headers(tag, related_type(boundary, one))
    end = () if one.follow else (b"\n",)
    return await send(request, db, [*related(boundary, one), *end], headers)


async def _local_seq(request: web.Request, ident: str) -> int:
    db, name = database(request), param(request, "db")
    found = await db.document_changes(name, ChangesQuery(ids=frozenset({ident})))
    return count_of(db, name, found.changes[0].seq) if found.changes else 0


# ── writing ────────────────────────────────────────────────────────────────────────────────────────────────


async def put(request: web.Request) -> web.StreamResponse:
    ident = document_id(request)
    if ident.startswith(local.PREFIX):
        return await local.write(request, ident.removeprefix(local.PREFIX))
    may_write(request, ident)
    query = revision_query(request.query.items()) if "?" in request.raw_path else RevisionQuery()
    database(request).collection(param(request, "db"))
    if is_related(request):
        check = partial(_check_related, request, ident, query)
        draft, followed = await read_related(request, new_edits=query.new_edits, check=check)
    else:
        draft, followed = draft_of(await read_json(request)), {}
        name_rev(request, draft, query.rev)
    edit = await edit_of(
        request, param(request, "db"), draft, ident, new_edits=query.new_edits, followed=followed
    )
    revision = await write_one(request, param(request, "db"), edit, new_edits=query.new_edits)
    # The path that was asked is the document's, quoted already.
    address = call(request).site.origin + request.raw_path.partition("?")[0]
    if query.batch:  # it is durable all the same
        return json_answer({"ok": True, "id": ident}, status=202, headers={"Location": address})
    headers = {"Location": address, "ETag": f'"{revision}"'}
    return answer_of_write(ident, revision, 200 if edit.deleted else 201, headers)


def _check_related(request: web.Request, ident: str, query: RevisionQuery, draft: Draft) -> None:
    """What can be said of a draft before its attachments come: whether they would come for nothing."""
    name_rev(request, draft, query.rev)
    if query.new_edits:
        check_current(database(request).revisions(param(request, "db"), ident), draft.rev)
    else:
        check_path(draft)


def name_rev(request: web.Request, draft: Draft, by_query: str | None) -> None:
    """Gives a draft the revision that query or If-Match name. Raises CouchError where they disagree."""
    revision = named_rev(request, by_query, draft.rev)
    if revision is not None and draft.rev is None:
        draft.rev, draft.path = revision, (revision,)


def answer_of_write(
    ident: str, revision: str, status: int, headers: Mapping[str, str] | None = None
) -> web.Response:
    """The answer to one document written."""
    body = f'{{"ok":true,"id":{text_of(ident)},"rev":"{revision}"}}\n'
    fields = {hdrs.CONTENT_TYPE: JSON, hdrs.CACHE_CONTROL: NO_CACHE, **(headers or {})}
    return web.Response(status=status, body=body.encode(), headers=fields)


async def create(request: web.Request) -> web.StreamResponse:
    require_json(request)
    draft = draft_of(await read_json(request))
    ident = draft.id if draft.id is not None else uuid7().replace("-", "")
    name = param(request, "db")
    if ident.startswith(local.PREFIX):
        revision = await local.write_draft(request, ident.removeprefix(local.PREFIX), draft, draft.rev)
        return answer_of_write(ident, revision, 201, {"Location": location(request, name, ident)})
    may_write(request, ident)
    edit = await edit_of(request, name, draft, ident)
    revision = await write_one(request, name, edit)
    headers: dict[str, str] = {hdrs.LOCATION: location(request, name, ident)}
    if request.query.get("batch") == "ok":
        return json_answer({"ok": True, "id": ident}, status=202, headers=headers)
    return answer_of_write(ident, revision, 201, headers)


async def delete(request: web.Request) -> web.StreamResponse:
    ident = document_id(request)
    if ident.startswith(local.PREFIX):
        return await local.remove(request, ident.removeprefix(local.PREFIX))
    query = revision_query(request.query.items()) if "?" in request.raw_path else RevisionQuery()
    may_design(request, ident)
    winner(request, ident)
    revision = named_rev(request, query.rev)
    if revision is None:
        raise CouchError(409, "conflict", CONFLICT)
    written = await write_one(request, param(request, "db"), Edit(ident, {}, revision, deleted=True))
    return answer_of_write(ident, written, 200, {"ETag": f'"{written}"'})


_DOCUMENT = "/couch/{db}/{id}"
_DESIGN = "/couch/{db}/_design/{design}"
_MAYBE = {
    "rev": "the revision; without it the winner",
    "open_revs": "`all` leaves, or a JSON array of revisions",
    "revs": "`true`: `_revisions`",
    "revs_info": "`true`: `_revs_info`",
    "conflicts": "`true`: `_conflicts`",
    "deleted_conflicts": "`true`: `_deleted_conflicts`",
    "meta": "`true`: the three before",
    "local_seq": "`true`: `_local_seq`",
    "latest": "`true`: the leaf that descends from `rev` or `open_revs`",
    "attachments": "`true`: attachments in base64, or behind the document as multipart",
    "atts_since": "a JSON array of revisions: attachments that came after them",
}
_EDITED = {
    "rev": "the revision that is changed",
    "new_edits": "`false`: stores a revision made elsewhere",
    "batch": "`ok`: 202 instead of 201",
}

ROUTES = (
    Route(
        "POST", "/couch/{db}", create, "{db}:write", "Makes a document", statuses=(201, 202), face=Face.COUCH
    ),
    *(
        route
        for path, read, write in (
            (_DOCUMENT, "{db}:read", "{db}:write"),
            (_DESIGN, "{db}:read", "sync"),
        )
        for route in (
            Route("GET", path, get, read, "A document", query=_MAYBE, statuses=(200, 304), face=Face.COUCH),
            Route(
                "PUT",
                path,
                put,
                write,
                "Writes a document, as JSON or multipart/related",
                query=_EDITED,
                statuses=(200, 201, 202),
                face=Face.COUCH,
                streams_body=True,
            ),
            Route("DELETE", path, delete, write, "Deletes a document", face=Face.COUCH),
        )
    ),
)
