"""…/collections/{collection}/documents: documents as they are stored, for export and browsing."""

from __future__ import annotations

from base64 import b64encode

import orjson
from aiohttp import web

from localsrv.base.errors import InvalidValue, NotFound
from localsrv.store.reading import AttachmentInfo, Document
from localsrv.web.admin.info import TEXT_OR_NULL, array, obj
from localsrv.web.context import database, param
from localsrv.web.routes import Route

USUAL_LIMIT = 100
HIGHEST_LIMIT = 10_000


async def list_documents(request: web.Request) -> web.Response:
    text = request.query.get("limit", str(USUAL_LIMIT))
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and 0 < int(text) <= HIGHEST_LIMIT):
        raise InvalidValue(f"`limit` must be 1 to {HIGHEST_LIMIT}.", details="limit")
    limit = int(text)
    found = await database(request).documents(
        param(request, "collection"), after=request.query.get("after"), limit=limit
    )
    following = found[-1].id if len(found) == limit else None
    body = b'{"documents":[%b],"next":%b}' % (
        b",".join(document_json(d) for d in found),
        orjson.dumps(following),
    )
    return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "no-store"})


async def show_document(request: web.Request) -> web.Response:
    found = database(request).get_document(param(request, "collection"), param(request, "id"))
    if found is None or found.deleted:
        raise NotFound(
            "There is no such document.", code="document-not-found", details=param(request, "id")[:200]
        )
    return web.Response(
        body=document_json(found), content_type="application/json", headers={"Cache-Control": "no-store"}
    )


def document_json(document: Document) -> bytes:
    """`{"_id", "_rev", fields…, "_attachments": stubs}`; the body's text goes in as it is stored."""
    head = orjson.dumps({"_id": document.id, "_rev": document.rev})[:-1]
    body = (document.body or "{}").encode()[1:-1].strip()
    parts = [head] if not body else [head, body]
    if document.attachments:
        parts.append(b'"_attachments":' + orjson.dumps({a.name: _stub(a) for a in document.attachments}))
    return b",".join(parts) + b"}"


def _stub(info: AttachmentInfo) -> dict[str, object]:
    return {
        "content_type": info.content_type,
        "revpos": info.revpos,
        "digest": "md5-" + b64encode(info.md5).decode(),
        "length": info.length,
        "stub": True,
    }


ROUTES = (
    Route(
        "GET",
        "/api/v1/apps/{app}/collections/{collection}/documents",
        list_documents,
        "{collection}:read",
        "Stored documents in order of their ids, with revisions and attachment stubs",
        query={"after": "the id to begin behind", "limit": f"at most this many, up to {HIGHEST_LIMIT}"},
        response=obj("*", documents=array({"type": "object"}), next=TEXT_OR_NULL),
    ),
    Route(
        "GET",
        "/api/v1/apps/{app}/collections/{collection}/documents/{id}",
        show_document,
        "{collection}:read",
        "One stored document, with its revision and attachment stubs",
        response={"type": "object"},
    ),
)
