"""/api/v1/session: what a token's bearer may know of it, and how a page keeps its access and gives it up.

A page's token stays the same while the page comes back in time: open windows hold it, and each would lose its
access if another one changed it. It is bound to the page's origin, and ends when nobody opened that for long.
"""

from __future__ import annotations

from aiohttp import web

from localsrv.base.errors import Forbidden
from localsrv.model.scopes import Grant
from localsrv.services.tokens import PAGE_SECONDS
from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.grants import GRANT, grant_info
from localsrv.web.admin.info import TEXT, obj
from localsrv.web.context import grant, services
from localsrv.web.routes import ANY, Route


async def show(request: web.Request) -> web.Response:
    return json_answer(grant_info(grant(request)))


async def renew(request: web.Request) -> web.Response:
    holder = grant(request)
    _check_kind(holder, ("page",), "Only a page's access is kept so. Programs use their refresh token.")
    return json_answer(grant_info(await services(request).grants.extend(holder, PAGE_SECONDS)))


async def close(request: web.Request) -> web.Response:
    holder = grant(request)
    _check_kind(holder, ("page", "paired"), "The owner ends keys: localsrv key revoke")
    await services(request).grants.revoke(holder.id)
    return json_answer({"revoked": holder.id})


def _check_kind(holder: Grant, kinds: tuple[str, ...], text: str) -> None:
    if holder.kind not in kinds:
        raise Forbidden(text, code="not-a-session", details=holder.kind)


ROUTES = (
    Route("GET", "/api/v1/session", show, ANY, "What the token that asks stands for", response=GRANT),
    Route(
        "POST",
        "/api/v1/session",
        renew,
        ANY,
        "Keeps a page's access: its end moves to 90 days from now",
        response=GRANT,
    ),
    Route(
        "DELETE",
        "/api/v1/session",
        close,
        ANY,
        "Gives up the access of the page or program that asks",
        response=obj("*", revoked=TEXT),
    ),
)
