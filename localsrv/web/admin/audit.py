"""/api/v1/audit: what happened around trust, for the owner."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from localsrv.base.errors import InvalidValue
from localsrv.services.audit import EVENTS
from localsrv.store.audit import AuditEntry
from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.info import NUMBER, TEXT, TEXT_OR_NULL, array, obj, timestamp
from localsrv.web.context import CORS, services
from localsrv.web.headers import decorate
from localsrv.web.routes import ADMIN, Route

MOST_ENTRIES = 1000
USUAL_ENTRIES = 100


async def list_entries(request: web.Request) -> web.Response:
    limit = _number(request, "limit", USUAL_ENTRIES, 1, MOST_ENTRIES)
    found = await services(request).audit.page(before=_before(request), limit=limit, event=_event(request))
    following = found[-1].number if len(found) == limit else None
    return json_answer({"entries": [entry_info(e) for e in found], "next": following})


async def export(request: web.Request) -> web.StreamResponse:
    """All of it, newest first, an object a line, read page by page."""
    event, before = _event(request), None
    response = web.StreamResponse(
        headers={
            "Content-Type": "application/x-ndjson",
            "Content-Disposition": 'attachment; filename="localsrv-audit.ndjson"',
            "Cache-Control": "no-store",
        }
    )
    decorate(response, request.get(CORS))
    await response.prepare(request)
    while page := await services(request).audit.page(before=before, limit=MOST_ENTRIES, event=event):
        await response.write(b"".join(orjson.dumps(entry_info(e)) + b"\n" for e in page))
        before = page[-1].number
    await response.write_eof()
    return response


def entry_info(entry: AuditEntry) -> dict[str, Any]:
    return {
        "number": entry.number,
        "at": timestamp(entry.at),
        "until": timestamp(entry.until),
        "count": entry.count,
        "event": entry.event,
        "grant": entry.grant_id,
        "who": entry.who,
        "app": entry.app,
        "origin": entry.origin,
        "subject": entry.subject,
        "details": entry.details,
    }


def _before(request: web.Request) -> int | None:
    return _number(request, "before", 0, 1, (1 << 63) - 1) if "before" in request.query else None


def _event(request: web.Request) -> str | None:
    event = request.query.get("event")
    if event is not None and event not in EVENTS:
        raise InvalidValue(f"There is no event `{event[:100]}`.", details="event", hint=", ".join(EVENTS))
    return event


def _number(request: web.Request, name: str, usual: int, low: int, high: int) -> int:
    text = request.query.get(name, str(usual))
    if not (text.isascii() and text.isdecimal() and low <= int(text[:20]) <= high):
        raise InvalidValue(f"`{name}` must be a whole number from {low} to {high}.", details=name)
    return int(text)


ENTRY = obj(
    "*",
    number=NUMBER,
    at=TEXT,
    until=TEXT,
    count=NUMBER,
    event={"type": "string", "enum": list(EVENTS)},
    grant=TEXT_OR_NULL,
    who=TEXT_OR_NULL,
    app=TEXT_OR_NULL,
    origin=TEXT_OR_NULL,
    subject=TEXT_OR_NULL,
    details={"type": "object", "additionalProperties": {"type": ["string", "integer"]}},
)
_EVENT_QUERY = {"event": "only entries of this event"}

ROUTES = (
    Route(
        "GET",
        "/api/v1/audit",
        list_entries,
        ADMIN,
        "What happened around trust, newest first",
        query={
            "before": "the number of the entry to go on from: `next` of the page before",
            "limit": f"at most so many, 1 to {MOST_ENTRIES}; {USUAL_ENTRIES} unless given",
            **_EVENT_QUERY,
        },
        response=obj("*", entries=array(ENTRY), next={"type": ["integer", "null"]}),
    ),
    Route(
        "GET",
        "/api/v1/audit/export",
        export,
        ADMIN,
        "All of it as NDJSON, newest first",
        query=_EVENT_QUERY,
    ),
)
