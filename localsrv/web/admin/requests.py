"""/api/v1/requests: who asks for access, and what the person decides; /api/v1/ticket: for who waits for it.

The list is followed by asking with the `version` that one has and a time to wait, which is answered when it
is another; pages, which have few connections, open the same address as a WebSocket.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from localsrv.base.errors import BadRequest, InvalidValue
from localsrv.model.scope_words import in_words
from localsrv.model.scopes import ALL, parse_app, parse_scopes
from localsrv.services.asking import Decision, Request
from localsrv.services.pairing import Pairing
from localsrv.web import auth
from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.info import FLAG, NUMBER, SCOPES, TEXT, TEXT_OR_NULL, array, obj, timestamp
from localsrv.web.admin.keys import parse_seconds
from localsrv.web.admin.requests_live import either, follow
from localsrv.web.body import read_object
from localsrv.web.context import grant, param, services
from localsrv.web.endings import ending_of
from localsrv.web.routes import ADMIN, OPEN, Route

LONGEST_WAIT_S = 60


def _pairing(request: web.Request) -> Pairing:
    found: Pairing = services(request).extra[Pairing]
    return found


def request_info(request: Request) -> dict[str, Any]:
    """A request for the person's eyes: what is claimed, and apart from it what is proven."""
    asked = request.asked
    return {
        "id": request.id,
        "status": request.status,
        "code": request.user_code,
        "name": asked.client_id,
        "origin": asked.origin,
        "sent_by": asked.sent_by,
        "answer_to": None if asked.redirect is None else asked.redirect.shown,
        "app": asked.app,
        "scopes": sorted(asked.scopes),
        "words": in_words(asked.scopes),
        "created_at": timestamp(request.created_at),
    }


async def list_requests(request: web.Request) -> web.StreamResponse:
    pairing = _pairing(request)
    if auth.is_websocket(request):
        return await follow(request, pairing, lambda: _state(pairing))
    version, wait = _number(request, "version"), _number(request, "wait")
    if version is not None and wait:
        with ending_of(request, grant(request)) as ending:
            news = pairing.wait(version, LONGEST_WAIT_S)
            await either(news, ending.event.wait(), seconds=min(wait, LONGEST_WAIT_S))
            if ending.error is not None:
                raise ending.error
    return json_answer(_state(pairing))


def _number(request: web.Request, name: str) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise InvalidValue(f"`{name}` must be a whole number.", details=name)
    return int(text)


def _state(pairing: Pairing) -> dict[str, Any]:
    waiting = pairing.waiting()
    return {"version": pairing.version, "requests": [request_info(r) for r in waiting]}


async def approve(request: web.Request) -> web.Response:
    """With everything that was asked for unless the body says less. Nothing here waits between looking at the
    request and deciding, so one of two decisions wins."""
    body: Mapping[str, Any] = {}
    if request.can_read_body:
        body = await read_object(request, app=str, scopes=list, once=bool, expires_in=(int, type(None)))
    own, pairing = services(request), _pairing(request)
    found = pairing.find(param(request, "request"))
    asked = found.asked
    app = parse_app(body["app"]) if "app" in body else asked.app
    if app is None:
        raise BadRequest(
            "It does not say which app it is for.",
            code="app-needed",
            details="app",
            hint="Choose one, or * for all.",
        )
    scopes = parse_scopes(body["scopes"]) if "scopes" in body else asked.scopes
    decision = Decision(app, scopes, bool(body.get("once")), parse_seconds(body.get("expires_in")))
    if app != ALL:
        own.apps.row(app)
    pairing.approve(found, decision)
    told = {"app": app, "scopes": sorted(scopes), "words": in_words(scopes), "once": decision.once}
    return json_answer({**request_info(found), **told})


async def refuse(request: web.Request) -> web.Response:
    pairing = _pairing(request)
    found = pairing.find(param(request, "request"))
    is_muted = pairing.refuse(found)
    return json_answer({**request_info(found), "muted": is_muted})


async def ticket(request: web.Request) -> web.Response:
    """For the browser that `/oauth/authorize` sent to our page. The ticket is the proof, and says nothing of
    anybody else; whoever has it can see what was asked for and go where the answer goes."""
    body = await read_object(request, ticket=str, wait=int)
    if "ticket" not in body:
        raise BadRequest("`ticket` is missing.", details="ticket")
    pairing = _pairing(request)
    found, location = pairing.outcome(body["ticket"])
    wait = min(max(0, body.get("wait", 0)), LONGEST_WAIT_S)
    if found.status == "waiting" and wait and not services(request).flight.is_landing:
        with ending_of(request, None) as ending:
            await either(found.changed.wait(), ending.event.wait(), seconds=wait)
        if request.transport is None:
            # The answer is given out once: not to a page that was loaded anew meanwhile, which asks again.
            raise ConnectionError("the browser left")
        found, location = pairing.outcome(body["ticket"])
    return json_answer({**request_info(found), "redirect_to": location})


REQUEST = obj(
    "*",
    id=TEXT,
    status={"enum": ["waiting", "approved", "refused", "expired", "done"]},
    code=TEXT_OR_NULL,
    name=TEXT,
    origin=TEXT_OR_NULL,
    sent_by=TEXT_OR_NULL,
    answer_to=TEXT_OR_NULL,
    app=TEXT_OR_NULL,
    scopes=SCOPES,
    words=array(TEXT),
    created_at=TEXT,
)

ROUTES = (
    Route(
        "GET",
        "/api/v1/requests",
        list_requests,
        ADMIN,
        "Who waits for being let in; as a WebSocket again at every change",
        query={
            "version": "the `version` that is known: with `wait`, the answer comes when it is another",
            "wait": f"seconds to wait for that, at most {LONGEST_WAIT_S}",
        },
        response=obj("*", version=NUMBER, requests=array(REQUEST)),
        late_token=True,
    ),
    Route(
        "POST",
        "/api/v1/requests/{request}/approve",
        approve,
        ADMIN,
        "Allows a request, given by its id or its code; with fewer scopes, once or for a time if wanted",
        request=obj(app=TEXT, scopes=SCOPES, once=FLAG, expires_in={"type": ["integer", "null"]}),
        response={"allOf": [REQUEST, obj("*", once=FLAG)]},
    ),
    Route(
        "POST",
        "/api/v1/requests/{request}/refuse",
        refuse,
        ADMIN,
        "Refuses a request; who is refused twice is not heard for an hour",
        response={"allOf": [REQUEST, obj("*", muted=FLAG)]},
    ),
    Route(
        "POST",
        "/api/v1/ticket",
        ticket,
        OPEN,
        "What became of a request, for the browser that waits with its ticket",
        request=obj("ticket", ticket=TEXT, wait=NUMBER),
        response={"allOf": [REQUEST, obj("*", redirect_to=TEXT_OR_NULL)]},
    ),
)
