"""…/collections/{collection}/documents/{id}/attachments/{name}: files of documents."""

from __future__ import annotations

import re
from urllib.parse import quote

from aiohttp import hdrs, web

from localsrv.base.errors import BadRequest, NotFound
from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.info import TEXT, obj
from localsrv.web.context import database, param, services
from localsrv.web.files import Content, send
from localsrv.web.headers import RESOURCE_POLICY
from localsrv.web.incoming import body_pieces
from localsrv.web.routes import Route
from localsrv.web.users import reviewer

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(?:\s*;[\x20-\x7e]*)?\Z")
_SHOWN = re.compile(r"(?:image/(?!svg)|audio/|video/|text/plain\b)")
"""What a browser may show by itself. All else is a download: stored HTML must not run as the app."""


async def get_attachment(request: web.Request) -> web.StreamResponse:
    db, collection = database(request), param(request, "collection")
    name = param(request, "name")
    found = db.attachment(collection, param(request, "id"), name)
    if found is None:
        raise NotFound(f"There is no attachment `{name[:200]}`.", code="attachment-not-found")
    info, source = found.info, found.path if found.data is None else found.data
    if source is None:
        raise NotFound(f"The content of `{name[:200]}` was forgotten.", code="attachment-not-found")
    kind = "inline" if _SHOWN.match(info.content_type) else "attachment"
    headers = {
        hdrs.CACHE_CONTROL: "private, no-cache",
        hdrs.CONTENT_DISPOSITION: f"{kind}; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    }
    if "signature" in request.query:
        headers[str(RESOURCE_POLICY)] = "cross-origin"  # the URL itself is the permission
    content = Content(source, info.length, info.content_type, info.sha256.hex())
    return await send(request, content, headers)


async def put_attachment(request: web.Request) -> web.Response:
    db, collection = database(request), param(request, "collection")
    content_type = request.headers.get(hdrs.CONTENT_TYPE, "application/octet-stream")
    if not _MEDIA_TYPE.match(content_type):
        raise BadRequest("The Content-Type header is malformed.", code="malformed-header")
    db.collection(collection)
    limit = services(request).max_upload
    if request.content_length is not None and request.content_length > limit:
        raise web.HTTPRequestEntityTooLarge(limit, request.content_length)
    blob = await db.receive(body_pieces(request), limit)
    review = await reviewer(request, collection)
    rev = await db.put_attachment(
        collection,
        param(request, "id"),
        param(request, "name"),
        content_type,
        blob,
        if_match(request),
        review,
    )
    return json_answer({"id": param(request, "id"), "rev": rev}, status=201)


async def delete_attachment(request: web.Request) -> web.Response:
    db, collection = database(request), param(request, "collection")
    review = await reviewer(request, collection)
    rev = await db.delete_attachment(
        collection, param(request, "id"), param(request, "name"), if_match(request), review
    )
    return json_answer({"id": param(request, "id"), "rev": rev})


def if_match(request: web.Request) -> str | None:
    """The revision in If-Match, with or without quotes."""
    value = request.headers.get(hdrs.IF_MATCH)
    return None if value is None or value.strip() == "*" else value.strip().strip('"')


_PATH = "/api/v1/apps/{app}/collections/{collection}/documents/{id}/attachments/{name}"
_DONE = obj("*", id=TEXT, rev=TEXT)

ROUTES = (
    Route(
        "GET",
        _PATH,
        get_attachment,
        "{collection}:read",
        "An attachment's bytes, with ranges and ETag",
        statuses=(200, 206, 304),
        signable=True,
    ),
    Route(
        "PUT",
        _PATH,
        put_attachment,
        "{collection}:write",
        "Stores an attachment: a new revision of its document",
        response=_DONE,
        statuses=(201,),
        streams_body=True,
    ),
    Route("DELETE", _PATH, delete_attachment, "{collection}:write", "Removes an attachment", response=_DONE),
)
