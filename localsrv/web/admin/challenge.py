"""/api/v1/challenge: proves that this server knows the owner token, to programs that are about to send it."""

from __future__ import annotations

from aiohttp import web

from localsrv.base.errors import BadRequest
from localsrv.base.proof import NONCE
from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.info import TEXT, obj
from localsrv.web.context import services
from localsrv.web.routes import OPEN, Route


async def challenge(request: web.Request) -> web.Response:
    nonce = request.query.get("nonce", "")
    if not NONCE.match(nonce):
        raise BadRequest("`nonce` must be 16 to 128 characters of base64url.", details="nonce")
    here = request.get_extra_info("sockname")
    if not here:  # the client has left
        raise BadRequest("The connection is closed.")
    return json_answer({"proof": services(request).prove(nonce, str(here[0]), int(here[1]))})


ROUTES = (
    Route(
        "GET",
        "/api/v1/challenge",
        challenge,
        OPEN,
        "Proves that the server knows the owner token",
        query={"nonce": "16 to 128 characters of base64url, new each time"},
        response=obj("*", proof=TEXT),
    ),
)
