"""/api/v1/grants: everyone who may ask, whichever way they were let in."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from localsrv.base.errors import InvalidValue
from localsrv.model.scope_words import in_words
from localsrv.model.scopes import Grant
from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.info import KEY, TEXT, TEXT_OR_NULL, array, key_info, obj
from localsrv.web.context import param, services
from localsrv.web.routes import ADMIN, Route

KINDS = ("key", "page", "paired", "publishable")


def grant_info(grant: Grant) -> dict[str, Any]:
    """A grant as the admin face tells it: what it may do in words too, never a token."""
    return {**key_info(grant), "program": grant.program, "words": in_words(grant.scopes)}


async def list_grants(request: web.Request) -> web.Response:
    kind, app = request.query.get("kind"), request.query.get("app")
    if kind is not None and kind not in KINDS:
        raise InvalidValue(f"`{kind[:50]}` is no kind of grant.", details="kind", hint=", ".join(KINDS))
    found = services(request).grants.all()
    return json_answer(
        {
            "grants": [
                grant_info(g)
                for g in found
                if (kind is None or g.kind == kind) and (app is None or g.app == app)
            ]
        }
    )


async def revoke_grant(request: web.Request) -> web.Response:
    gone = await services(request).grants.revoke(param(request, "grant"))
    return json_answer({"revoked": gone.id})


GRANT = {"allOf": [KEY, obj("*", program=TEXT_OR_NULL, words=array(TEXT))]}

ROUTES = (
    Route(
        "GET",
        "/api/v1/grants",
        list_grants,
        ADMIN,
        "Everyone who has access: keys, pages, and what was paired",
        query={"kind": "only `key`, `page`, `paired` or `publishable`", "app": "only those for this app"},
        response=obj("*", grants=array(GRANT)),
    ),
    Route(
        "DELETE",
        "/api/v1/grants/{grant}",
        revoke_grant,
        ADMIN,
        "Ends a grant of any kind at once, with what is open by it",
        response=obj("*", revoked=TEXT),
    ),
)
