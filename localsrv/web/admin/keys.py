"""/api/v1/keys: tokens for clients. A token is shown once, when it is made."""

from __future__ import annotations

from aiohttp import web

from localsrv.base.errors import BadRequest, InvalidValue
from localsrv.model.scopes import ALL, parse_app, parse_origin, parse_scopes
from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.info import KEY, SCOPES, TEXT, TEXT_OR_NULL, array, key_info, obj
from localsrv.web.body import read_object
from localsrv.web.context import param, services
from localsrv.web.routes import ADMIN, Route

LONGEST_NAME = 200
LONGEST_SECONDS = 10 * 366 * 24 * 3600


async def list_keys(request: web.Request) -> web.Response:
    return json_answer({"keys": [key_info(g) for g in services(request).grants.all()]})


async def create_key(request: web.Request) -> web.Response:
    own = services(request)
    body = await read_object(
        request, name=str, app=str, scopes=list, origin=(str, type(None)), expires_in=(int, type(None))
    )
    for needed in ("name", "app", "scopes"):
        if needed not in body:
            raise BadRequest(f"`{needed}` is missing.", details=needed)
    name = body["name"].strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidValue(f"`name` must be 1 to {LONGEST_NAME} printable characters.", details="name")
    app = parse_app(body["app"])
    if app != ALL:
        own.apps.row(app)
    expires_in = body.get("expires_in")
    if expires_in is not None and not 0 < expires_in <= LONGEST_SECONDS:
        raise InvalidValue(
            "`expires_in` must be a number of seconds, at most ten years.", details="expires_in"
        )
    scopes, origin = parse_scopes(body["scopes"]), parse_origin(body.get("origin"))
    token, made = await own.grants.create(name, app, scopes, origin=origin, expires_in=expires_in)
    return json_answer({**key_info(made), "token": token}, status=201)


async def revoke_key(request: web.Request) -> web.Response:
    gone = await services(request).grants.revoke(param(request, "key"))
    return json_answer({"revoked": gone.id})


ROUTES = (
    Route(
        "GET",
        "/api/v1/keys",
        list_keys,
        ADMIN,
        "All keys, without their tokens",
        response=obj("*", keys=array(KEY)),
    ),
    Route(
        "POST",
        "/api/v1/keys",
        create_key,
        ADMIN,
        "Makes a key; its token is in this answer and nowhere else",
        request=obj(
            "name app scopes",
            name=TEXT,
            app=TEXT,
            scopes=SCOPES,
            origin=TEXT_OR_NULL,
            expires_in={"type": ["integer", "null"]},
        ),
        response={"allOf": [KEY, obj("*", token=TEXT)]},
        statuses=(201,),
    ),
    Route(
        "DELETE",
        "/api/v1/keys/{key}",
        revoke_key,
        ADMIN,
        "Ends a key at once",
        response=obj("*", revoked=TEXT),
    ),
)
