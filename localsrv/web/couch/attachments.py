"""`/{db}/{id}/{name}`: one attachment, read, written and removed by itself.

Source: CouchDB's docs, api/document/attachments, and `chttpd_db.erl`, `db_attachment_req`.
"""

from __future__ import annotations

import base64

import orjson
from aiohttp import hdrs, web

from localsrv.model.multipart import part_head
from localsrv.store.blobs import Blob
from localsrv.store.editing import Edit, NewAttachment
from localsrv.store.reading import AttachmentInfo, Document
from localsrv.web.context import database, param, services
from localsrv.web.couch.answers import json_answer
from localsrv.web.couch.byte_ranges import Part, ranges_of
from localsrv.web.couch.contents import Enclosed, Segment, send
from localsrv.web.couch.databases import location
from localsrv.web.couch.document_json import new_boundary
from localsrv.web.couch.documents import (
    answer_of_write,
    document_id,
    may_design,
    may_write,
    revision_of,
    winner,
)
from localsrv.web.couch.enclosures import DEFAULT_TYPE, check_name, is_header_text, md5_in
from localsrv.web.couch.errors import CONFLICT, CouchError
from localsrv.web.couch.preconditions import is_unchanged, named_rev
from localsrv.web.couch.receiving import receive
from localsrv.web.couch.revision_query import RevisionQuery, revision_query
from localsrv.web.couch.writing import check_current, write_one
from localsrv.web.incoming import sent_pieces
from localsrv.web.routes import Face, Route

CONTENT_MD5 = "Content-MD5"


def _query(request: web.Request) -> RevisionQuery:
    return revision_query(request.query.items()) if "?" in request.raw_path else RevisionQuery()


async def get(request: web.Request) -> web.StreamResponse:
    document = await revision_of(request, document_id(request), _query(request).rev)
    info = _existing(document, param(request, "name"))
    tag = base64.b64encode(info.md5).decode()
    headers: dict[str, str] = {
        hdrs.ETAG: f'"{tag}"',
        hdrs.CACHE_CONTROL: "must-revalidate",
        hdrs.ACCEPT_RANGES: "bytes",
        # What a browser is given to show must not run as a page of this origin.
        "Content-Security-Policy": "sandbox; frame-ancestors 'none'",
    }
    if is_unchanged(request, tag):
        return web.Response(status=304, headers=headers)
    headers[hdrs.CONTENT_TYPE] = info.content_type
    where = (param(request, "db"), document.id, document.rev, info.name)
    parts = None
    if request.headers.get(hdrs.IF_RANGE, f'"{tag}"').strip() == f'"{tag}"':
        parts = ranges_of(request.headers.get(hdrs.RANGE), info.length)
    db = database(request)
    if parts is None:
        headers[CONTENT_MD5] = tag
        return await send(request, db, [Enclosed(*where, 0, info.length)], headers)
    if len(parts) == 1:
        headers[hdrs.CONTENT_RANGE] = _range(parts[0], info)
        return await send(request, db, [Enclosed(*where, *parts[0])], headers, status=206)
    boundary = new_boundary()
    headers[hdrs.CONTENT_TYPE] = f'multipart/byteranges; boundary="{boundary}"'
    return await send(request, db, _byteranges(boundary, info, where, parts), headers, status=206)


def _existing(document: Document, name: str) -> AttachmentInfo:
    for info in document.attachments:
        if info.name == name:
            return info
    raise CouchError(404, "not_found", "Document is missing attachment")


def _range(part: Part, info: AttachmentInfo) -> str:
    return f"bytes {part[0]}-{part[1] - 1}/{info.length}"


def _byteranges(
    boundary: str, info: AttachmentInfo, where: tuple[str, str, str, str], parts: list[Part]
) -> list[Segment]:
    delimiter = f"\r\n--{boundary}".encode()
    segments: list[Segment] = []
    for part in parts:
        head = {"Content-Type": info.content_type, "Content-Range": _range(part, info)}
        segments += (delimiter + part_head(head), Enclosed(*where, *part))
    segments.append(delimiter + b"--")
    return segments


async def put(request: web.Request) -> web.StreamResponse:
    ident, db, collection = document_id(request), database(request), param(request, "db")
    name = check_name(param(request, "name"))
    may_write(request, ident)
    db.collection(collection)
    content_type = request.headers.get(hdrs.CONTENT_TYPE) or DEFAULT_TYPE
    if not is_header_text(content_type):
        raise CouchError(400, "bad_request", "The Content-Type header cannot be kept.")
    document = _changed(request, ident)
    blob = await _received(request)
    new = NewAttachment(name, content_type, blob)
    revision = await write_one(request, collection, _edit(ident, document, name, (new,)))
    headers = {"Location": location(request, collection, ident, name)}
    status = 202 if request.query.get("batch") == "ok" else 201
    return answer_of_write(ident, revision, status, headers)


def _changed(request: web.Request, ident: str) -> Document | None:
    """The revision that is changed; None where none is named and a document is to be made.

    Known before the bytes come, so that a write that cannot succeed is told at once.

    Raises:
        CouchError: the revision is not there or was changed, or none is named while the document exists.
    """
    db, collection = database(request), param(request, "db")
    revision = named_rev(request, _query(request).rev)
    if revision is None:
        now = db.get_document(collection, ident)
        if now is not None and not now.deleted:
            raise CouchError(409, "conflict", CONFLICT)
        return None
    found = None if revision.startswith("0-") else db.get_document(collection, ident, revision)
    if found is None or found.body is None:
        raise CouchError(409, "not_found", "missing_rev")
    check_current(db.revisions(collection, ident), revision)
    return found


def _edit(ident: str, document: Document | None, name: str, attachments: tuple[NewAttachment, ...]) -> Edit:
    """The same document, with other bytes of that name or without any."""
    if document is None:
        return Edit(ident, {}, attachments=attachments)
    kept = tuple(info.name for info in document.attachments if info.name != name)
    body = orjson.loads(document.body or "{}")
    return Edit(ident, body, document.rev, document.deleted, attachments, kept)


async def _received(request: web.Request) -> Blob:
    """The body, uncompressed. `Content-MD5` is of the bytes as they are sent (RFC 1864), as in CouchDB."""
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise CouchError(415, "bad_content_type", "Only gzip and identity content-encodings are supported")
    limit = services(request).max_upload
    if request.content_length is not None and request.content_length > limit:
        raise web.HTTPRequestEntityTooLarge(limit, request.content_length)
    digest = request.headers.get(CONTENT_MD5)
    return await receive(
        database(request),
        sent_pieces(request),
        limit=limit,
        digest=None if digest is None else md5_in(digest),
        is_gzip=encoding == "gzip",
    )


async def delete(request: web.Request) -> web.StreamResponse:
    ident, name = document_id(request), param(request, "name")
    may_design(request, ident)
    if named_rev(request, _query(request).rev) is None:
        _existing(winner(request, ident), name)
    document = _changed(request, ident)
    if document is None:
        raise CouchError(409, "conflict", CONFLICT)
    _existing(document, name)
    revision = await write_one(request, param(request, "db"), _edit(ident, document, name, ()))
    return json_answer({"ok": True, "id": ident, "rev": revision})


_REV = {"rev": "the revision; without it the winner"}
_EDITED = {"rev": "the revision that is changed"}

ROUTES = tuple(
    route
    for path, read, write in (
        ("/couch/{db}/{id}/{name...}", "{db}:read", "{db}:write"),
        ("/couch/{db}/_design/{design}/{name...}", "{db}:read", "sync"),
    )
    for route in (
        Route("GET", path, get, read, "An attachment", query=_REV, statuses=(200, 206, 304), face=Face.COUCH),
        Route(
            "PUT",
            path,
            put,
            write,
            "Stores an attachment: a new revision of its document, or a new document",
            query=_EDITED,
            statuses=(201, 202),
            face=Face.COUCH,
            streams_body=True,
        ),
        Route("DELETE", path, delete, write, "Removes an attachment", query=_EDITED, face=Face.COUCH),
    )
)
