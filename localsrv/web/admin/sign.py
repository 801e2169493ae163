"""/api/v1/apps/{app}/sign: URLs for images and downloads, which cannot send a token."""

from __future__ import annotations

from aiohttp import web

from localsrv.base.errors import BadRequest, InvalidValue
from localsrv.model.scopes import read
from localsrv.services.signing import LONGEST_SECONDS
from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.info import NUMBER, TEXT, array, obj
from localsrv.web.body import read_object
from localsrv.web.context import app, grant, require, services
from localsrv.web.routes import ANY, Route, decoded_segments

MOST_PATHS = 1000
USUAL_SECONDS = 300


async def sign(request: web.Request) -> web.Response:
    """Each path must be one that the token may read itself; the URL ends with the token, at the latest."""
    body = await read_object(request, paths=list, expires_in=int)
    paths = body.get("paths")
    if not paths or len(paths) > MOST_PATHS:
        raise BadRequest(f"`paths` must list 1 to {MOST_PATHS} paths.", details="paths")
    expires_in = body.get("expires_in", USUAL_SECONDS)
    if not 0 < expires_in <= LONGEST_SECONDS:
        raise InvalidValue(f"`expires_in` must be 1 to {LONGEST_SECONDS} seconds.", details="expires_in")
    signer, holder = services(request).signer, grant(request)
    await signer.ready()
    urls = []
    for path in paths:
        segments = _attachment(path, app(request).id)
        require(request, read(segments[5]))
        urls.append(signer.sign(segments, holder, expires_in))
    return json_answer({"urls": urls})


def _attachment(path: object, app_id: str) -> list[str]:
    """The segments of an attachment's path in this app. Raises InvalidValue for any other."""
    segments = decoded_segments(path) if isinstance(path, str) else []
    match segments:
        case ["api", "v1", "apps", named, "collections", _, "documents", _, "attachments", _] if (
            named == app_id
        ):
            return segments
    raise InvalidValue(
        f"`{path}` is not the path of an attachment of this app.",
        details="paths",
        hint=f"/api/v1/apps/{app_id}/collections/<collection>/documents/<id>/attachments/<name>",
    )


ROUTES = (
    Route(
        "POST",
        "/api/v1/apps/{app}/sign",
        sign,
        ANY,
        "Makes short-lived URLs that need no token",
        request=obj("paths", paths=array(TEXT), expires_in=NUMBER),
        response=obj("*", urls=array(TEXT)),
    ),
)
