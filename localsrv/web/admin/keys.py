"""/api/v1/keys: tokens for clients. A token is shown once, when it is made."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from localsrv.base.errors import BadRequest, InvalidValue
from localsrv.model.scopes import ALL, Grant, Kind, parse_app, parse_origin, parse_publishable, parse_scopes
from localsrv.services.grants import Grants
from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.info import FLAG, KEY, SCOPES, TEXT, TEXT_OR_NULL, array, key_info, obj
from localsrv.web.body import read_object
from localsrv.web.context import param, services
from localsrv.web.routes import ADMIN, Route

LONGEST_NAME = 200
LONGEST_SECONDS = 10 * 366 * 24 * 3600


async def list_keys(request: web.Request) -> web.Response:
    grants = services(request).grants
    kinds = ("key", "publishable")
    return json_answer({"keys": [_info(grants, g) for g in grants.all() if g.kind in kinds]})


async def create_key(request: web.Request) -> web.Response:
    own = services(request)
    body = await read_object(
        request,
        name=str,
        app=str,
        scopes=list,
        origin=(str, type(None)),
        expires_in=(int, type(None)),
        publishable=bool,
    )
    for needed in ("name", "app", "scopes"):
        if needed not in body:
            raise BadRequest(f"`{needed}` is missing.", details=needed)
    name = parse_name(body["name"])
    app = parse_app(body["app"])
    if app != ALL:
        own.apps.row(app)
    expires_in = parse_seconds(body.get("expires_in"))
    scopes, origin = parse_scopes(body["scopes"]), parse_origin(body.get("origin"))
    kind: Kind = "key"
    if body.get("publishable"):
        kind, scopes = "publishable", parse_publishable(scopes)
        if app == ALL or origin is not None:
            raise InvalidValue(
                "A publishable key is for one app and bound to its pages.",
                details="app" if app == ALL else "origin",
                hint="Name one app, and leave `origin` out.",
            )
    token, made = await own.grants.create(name, app, scopes, origin=origin, expires_in=expires_in, kind=kind)
    return json_answer({**_info(own.grants, made), "token": token}, status=201)


def parse_name(value: str) -> str:
    """A name for people to read. Raises InvalidValue."""
    name = value.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidValue(f"`name` must be 1 to {LONGEST_NAME} printable characters.", details="name")
    return name


def parse_seconds(value: int | None) -> int | None:
    """How long something lives. Raises InvalidValue."""
    if value is not None and not 0 < value <= LONGEST_SECONDS:
        raise InvalidValue(
            "`expires_in` must be a number of seconds, at most ten years.", details="expires_in"
        )
    return value


def _info(grants: Grants, grant: Grant) -> dict[str, Any]:
    """A publishable key is told again whenever somebody asks: it is no secret."""
    public = grants.public_key(grant.id)
    return key_info(grant) if public is None else {**key_info(grant), "token": public}


async def revoke_key(request: web.Request) -> web.Response:
    gone = await services(request).grants.revoke(param(request, "key"))
    return json_answer({"revoked": gone.id})


ROUTES = (
    Route(
        "GET",
        "/api/v1/keys",
        list_keys,
        ADMIN,
        "The keys that the owner made, without their tokens but for publishable ones",
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
            publishable=FLAG,
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
