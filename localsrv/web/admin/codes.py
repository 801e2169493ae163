"""/api/v1/codes and /api/v1/exchange: how a page that the owner opened gets its token."""

from __future__ import annotations

from aiohttp import hdrs, web

from localsrv.base.errors import BadRequest, Forbidden
from localsrv.model.scopes import ADMIN as ADMIN_SCOPE
from localsrv.model.scopes import ALL, CACHE
from localsrv.services.audit import CODE_FAILED
from localsrv.services.codes import CODE_SECONDS
from localsrv.services.tokens import PAGE_SECONDS
from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.info import NUMBER, SCOPES, TEXT, TEXT_OR_NULL, obj, timestamp
from localsrv.web.body import read_object
from localsrv.web.context import services
from localsrv.web.routes import ADMIN, OPEN, Route

PAGE_SCOPES = frozenset({"*:read", "*:write", CACHE, "integrations:*:use"})
"""What an app's own page may do there. That an integration is set up for an app is the owner's consent."""


async def create_code(request: web.Request) -> web.Response:
    own = services(request)
    app = (await read_object(request, app=(str, type(None)))).get("app")
    if app is None:
        base = own.addresses.url
    else:
        own.apps.row(app)
        await own.ports.ensure(app)
        base = own.addresses.app_url(app)
    code = own.codes.create(app)
    return json_answer({"code": code, "url": f"{base}/#code={code}", "expires_in": CODE_SECONDS}, status=201)


async def exchange(request: web.Request) -> web.Response:
    """The code is the proof; the token is bound to the page's origin, which must be the one it is for."""
    own = services(request)
    code = (await read_object(request, code=str)).get("code")
    if code is None:
        raise BadRequest("`code` is missing.", details="code")
    origin = request.headers.get(hdrs.ORIGIN)
    try:
        app = own.codes.redeem(code).app
    except Forbidden:
        own.audit.note(CODE_FAILED, origin=origin, details={"code": "of a page"})
        raise
    origins = own.addresses.origins if app is None else own.addresses.app_origins(app)
    if origin is None or origin not in origins:
        raise Forbidden(
            "This code is for another page.", code="wrong-origin", hint="Open it again: localsrv open"
        )
    if app is None:
        holder, scopes = ALL, frozenset({ADMIN_SCOPE})
    else:
        own.apps.row(app)
        holder, scopes = app, PAGE_SCOPES
    name = "page " + origin.partition("://")[2]
    token, made = await own.grants.create(
        name, holder, scopes, origin=origin, expires_in=PAGE_SECONDS, kind="page"
    )
    return json_answer(
        {"token": token, "app": app, "scopes": sorted(made.scopes), "expires_at": timestamp(made.expires_at)}
    )


ROUTES = (
    Route(
        "POST",
        "/api/v1/codes",
        create_code,
        ADMIN,
        "Makes a one-time code for a page and the address with it",
        request=obj(app=TEXT_OR_NULL),
        response=obj("*", code=TEXT, url=TEXT, expires_in=NUMBER),
        statuses=(201,),
    ),
    Route(
        "POST",
        "/api/v1/exchange",
        exchange,
        OPEN,
        "Swaps a one-time code for a token of the page's origin",
        request=obj("*", code=TEXT),
        response=obj("*", token=TEXT, app=TEXT_OR_NULL, scopes=SCOPES, expires_at=TEXT),
    ),
)
