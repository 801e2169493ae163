"""`COPY /{db}/{id}`: the same document, with its attachments, under another id of the same database."""

from __future__ import annotations

from urllib.parse import unquote

import orjson
from aiohttp import web

from localsrv.store.blobs import Blob
from localsrv.store.database import Database
from localsrv.store.editing import Edit, NewAttachment
from localsrv.store.reading import Document
from localsrv.web.context import database, param
from localsrv.web.couch.databases import location
from localsrv.web.couch.documents import answer_of_write, document_id, may_write, missing, revision_of
from localsrv.web.couch.drafts import checked_rev
from localsrv.web.couch.errors import CouchError
from localsrv.web.couch.preconditions import named_rev
from localsrv.web.couch.writing import write_one
from localsrv.web.routes import Face, Route


async def copy(request: web.Request) -> web.Response:
    db, collection = database(request), param(request, "db")
    by_query = request.query.get("rev")
    source = named_rev(request, None if by_query is None else checked_rev(by_query))
    target, target_rev = destination(request.headers.get("Destination"))
    may_write(request, target)
    if target.startswith("_local/"):
        raise CouchError(400, "illegal_docid", "A copy cannot be a local document.")
    document = await revision_of(request, document_id(request), source)
    edit = Edit(
        target,
        orjson.loads(document.body or "{}"),
        target_rev,
        document.deleted,
        tuple(_attached(db, collection, document)),
    )
    revision = await write_one(request, collection, edit)
    headers = {"Location": location(request, collection, target), "ETag": f'"{revision}"'}
    return answer_of_write(target, revision, 201, headers)


def destination(header: str | None) -> tuple[str, str | None]:
    """The id, and the revision that is overwritten: `id` or `id?rev=…`.

    Raises:
        CouchError: there is none, or it is the address of a page.
    """
    if not header:
        raise CouchError(400, "bad_request", "Destination header is mandatory for COPY.")
    if header.lower().startswith(("http://", "https://")):
        raise CouchError(400, "bad_request", "Destination URL must be relative.")
    ident, question, query = header.partition("?")
    name, _, revision = query.partition("=")
    if question and (name != "rev" or "&" in revision):
        raise CouchError(400, "bad_request", "Destination is an id, or an id and ?rev=.")
    return unquote(ident, errors="replace"), checked_rev(unquote(revision)) if question else None


def _attached(db: Database, collection: str, document: Document) -> list[NewAttachment]:
    """Its attachments for another document: the bytes are there and need not be read."""
    found = []
    for info in document.attachments:
        content = db.attachment(collection, document.id, info.name, document.rev)
        if content is None:
            raise missing()
        blob = Blob(info.sha256, info.md5, info.length, content.data)
        found.append(NewAttachment(info.name, info.content_type, blob))
    return found


ROUTES = tuple(
    Route(
        "COPY",
        path,
        copy,
        scope,
        "Copies a document to the id in Destination",
        statuses=(201,),
        face=Face.COUCH,
    )
    for path, scope in (("/couch/{db}/{id}", "{db}:write"), ("/couch/{db}/_design/{design}", "{db}:write"))
)
