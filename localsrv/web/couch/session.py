"""`_session`: who asks, and on a port of the face's own, when it is switched on, a cookie that says so.

Cookies know no ports: any other program on this machine that serves pages would receive ours. So there is
none unless the owner wants it, for software that knows no other way to sign in (`services.sessions`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import hdrs, web

from localsrv.base.errors import Unauthenticated
from localsrv.model.json_text import parse_json
from localsrv.model.scopes import ADMIN, Grant
from localsrv.services.sessions import COOKIE, SECONDS, Sessions
from localsrv.web import auth
from localsrv.web.context import call, param, services
from localsrv.web.couch.answers import json_answer
from localsrv.web.couch.errors import JSON, CouchError
from localsrv.web.incoming import read_body
from localsrv.web.routes import ANY, OPEN, Face, Route

FORM = "application/x-www-form-urlencoded"


async def who(request: web.Request) -> web.Response:
    holder, how = auth.signed_in(services(request), request, call(request).site)
    if holder is not None:
        _check(request, holder)
    handlers = ["cookie", "default"] if _gives_cookies(request) else ["default"]
    info: dict[str, Any] = {"authentication_handlers": handlers}
    if holder is not None:
        info["authenticated"] = how
    return json_answer({"ok": True, "userCtx": _user(request, holder), "info": info})


async def sign_in(request: web.Request) -> web.Response:
    given = await _form(request)
    name, password = given.get("name") or given.get("username"), given.get("password")
    if not isinstance(name, str) or not isinstance(password, str):
        raise CouchError(400, "bad_request", "`name` and `password` must be texts.")
    holder = services(request).grants.find(password)
    if holder is None or name not in (holder.name, holder.id):
        raise Unauthenticated("Name or password is incorrect.", code="bad-token")
    _check(request, holder)
    if not _gives_cookies(request):
        raise CouchError(
            403,
            "forbidden",
            "No cookies are given here: sign in with Basic, or switch `couchdb_cookie` on and use that port.",
        )
    whole = services(request).grants.by_id(holder.id)
    if whole is None or whole.scopes != holder.scopes:
        raise CouchError(403, "forbidden", "A token that was narrowed gets no cookie: sign in with Basic.")
    user = _user(request, holder)
    answer = json_answer({"ok": True, **user})
    value = _sessions(request).make(holder, auth.other_page(request, call(request).site))
    answer.set_cookie(COOKIE, value, max_age=SECONDS, httponly=True, samesite="Strict", path="/")
    return answer


async def sign_out(request: web.Request) -> web.Response:
    answer = json_answer({"ok": True})
    if call(request).site.is_couch:
        answer.set_cookie(COOKIE, "", max_age=0, httponly=True, samesite="Strict", path="/")
    return answer


async def _form(request: web.Request) -> Mapping[str, Any]:
    """The body: JSON or a form; the guard has looked where a page's form comes from. Raises CouchError."""
    data = await read_body(request)
    if request.content_type == JSON:
        value = parse_json(data)
        if isinstance(value, dict):
            return value
        raise CouchError(400, "bad_request", "Request body must be a JSON object")
    if request.content_type == FORM and hdrs.CONTENT_TYPE in request.headers:
        return dict(parse_qsl(data.decode("utf-8", "replace"), keep_blank_values=True))
    raise CouchError(415, "bad_content_type", f"Content-Type must be '{FORM}' or '{JSON}'")


def _check(request: web.Request, holder: Grant) -> None:
    """Raises Forbidden for a grant of another app or origin."""
    auth.check(holder, request, call(request).site, param(request, "app"), ANY)


def _user(request: web.Request, holder: Grant | None) -> dict[str, Any]:
    """`name` and `roles`: an admin of the app has CouchDB's role for that."""
    if holder is None:
        return {"name": None, "roles": []}
    is_admin = holder.allows(param(request, "app"), ADMIN)
    return {"name": holder.user, "roles": ["_admin"] if is_admin else []}


def _sessions(request: web.Request) -> Sessions:
    found: Sessions = services(request).extra[Sessions]
    return found


def _gives_cookies(request: web.Request) -> bool:
    return call(request).site.is_couch and Sessions in services(request).extra


ROUTES = (
    Route("GET", "/couch/_session", who, OPEN, "Who asks", face=Face.COUCH),
    Route("POST", "/couch/_session", sign_in, OPEN, "Signs in for a cookie, where there are any",
          face=Face.COUCH),
    Route("DELETE", "/couch/_session", sign_out, OPEN, "Forgets the cookie", face=Face.COUCH),
)  # fmt: skip
