"""/api/v1/uploads and /api/v1/imports: files put into apps; and the rows that break a rule."""

from __future__ import annotations

from aiohttp import web

from localsrv.base.errors import BadRequest, InvalidValue
from localsrv.services.imports import Imports, Request
from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.info import NUMBER, TEXT, TEXT_OR_NULL, array, obj
from localsrv.web.body import read_object
from localsrv.web.context import database, param, services
from localsrv.web.incoming import body_pieces
from localsrv.web.routes import ADMIN, Route

USUAL_LIMIT = 100
COUNTED = 10_000


def _imports(request: web.Request) -> Imports:
    found = services(request).extra[Imports]
    assert isinstance(found, Imports)
    return found


async def upload(request: web.Request) -> web.Response:
    """The body is the file, streamed to disk."""
    name = request.query.get("name", "").strip()
    if not name:
        raise BadRequest(
            "The file's name is missing.", details="name", hint="POST /api/v1/uploads?name=shop.db"
        )
    limit = services(request).max_upload
    if request.content_length is not None and request.content_length > limit:
        raise web.HTTPRequestEntityTooLarge(limit, request.content_length)
    made = await _imports(request).receive(body_pieces(request), name, limit)
    return json_answer({"upload": made.id, "bytes": made.bytes}, status=201)


async def start(request: web.Request) -> web.Response:
    body = await read_object(
        request, upload=str, app=str, title=(str, type(None)), dry_run=bool, options=(dict, type(None))
    )
    for needed in ("upload", "app"):
        if needed not in body:
            raise BadRequest(f"`{needed}` is missing.", details=needed)
    made = _imports(request).start(
        Request(
            upload=body["upload"],
            app=body["app"],
            title=body.get("title"),
            dry_run=body.get("dry_run", False),
            options=body.get("options") or {},
        )
    )
    return json_answer({"import": made.id}, status=202)


async def show(request: web.Request) -> web.Response:
    return json_answer(_imports(request).get(param(request, "import")).as_dict())


async def cancel(request: web.Request) -> web.Response:
    await _imports(request).cancel(param(request, "import"))
    return json_answer({"cancelled": param(request, "import")})


async def violations(request: web.Request) -> web.Response:
    """Stored documents that break a rule now: what an import or a peer brought may."""
    text = request.query.get("limit", str(USUAL_LIMIT))
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 0 < int(text) <= COUNTED):
        raise InvalidValue(f"`limit` must be 1 to {COUNTED}.", details="limit")
    found = await database(request).violations(param(request, "collection"), COUNTED)
    shown = [{"id": v.id, "kind": v.kind, "message": v.message} for v in found[: int(text)]]
    return json_answer({"violations": shown, "violation_count": len(found)})


_OBJECT_OR_NULL = {"type": ["object", "null"]}
_STATE = {"type": "string", "enum": ["running", "done", "failed"]}

ROUTES = (
    Route(
        "POST",
        "/api/v1/uploads",
        upload,
        ADMIN,
        "Takes a file to import: the body is the file",
        query={"name": "The file's name, which tables of a text file are named after"},
        response=obj("*", upload=TEXT, bytes=NUMBER),
        statuses=(201,),
        streams_body=True,
    ),
    Route(
        "POST",
        "/api/v1/imports",
        start,
        ADMIN,
        "Imports an upload into an app, or shows with `dry_run` what would become of it",
        request=obj(
            "upload app",
            upload=TEXT,
            app=TEXT,
            title=TEXT_OR_NULL,
            dry_run={"type": "boolean"},
            options=_OBJECT_OR_NULL,
        ),
        response=obj("*", **{"import": TEXT}),
        statuses=(202,),
    ),
    Route(
        "GET",
        "/api/v1/imports/{import}",
        show,
        ADMIN,
        "How far an import is",
        response=obj(
            "*",
            **{"import": TEXT},
            state=_STATE,
            app=TEXT,
            dry_run={"type": "boolean"},
            mapping=_OBJECT_OR_NULL,
            progress=_OBJECT_OR_NULL,
            result=_OBJECT_OR_NULL,
            error=_OBJECT_OR_NULL,
        ),
    ),
    Route(
        "DELETE",
        "/api/v1/imports/{import}",
        cancel,
        ADMIN,
        "Ends an import and removes its upload; what was stored stays",
        response=obj("*", cancelled=TEXT),
    ),
    Route(
        "GET",
        "/api/v1/apps/{app}/collections/{collection}/violations",
        violations,
        ADMIN,
        "Stored documents that break a rule of their collection",
        query={"limit": "How many to list, at most 10,000; 100 unless given"},
        response=obj(
            "*",
            violations=array(obj("*", id=TEXT, kind=TEXT, message=TEXT)),
            violation_count=NUMBER,
        ),
    ),
)
