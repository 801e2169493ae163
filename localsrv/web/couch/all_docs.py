"""`_all_docs`, `_design_docs` and `_local_docs`: their addresses. `listings` makes the rows."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from aiohttp import web

from localsrv.store.database import Database
from localsrv.web.context import database, param
from localsrv.web.couch.bodies import read_object
from localsrv.web.couch.contents import Segment
from localsrv.web.couch.errors import CouchError
from localsrv.web.couch.listings import DESIGN, Listing, listing_parts
from localsrv.web.couch.local import PREFIX as LOCAL
from localsrv.web.couch.parameters import json_value
from localsrv.web.couch.streaming import send_parts
from localsrv.web.routes import Face, Handler, Route


def _get(prefix: str) -> Handler:
    async def get(request: web.Request) -> web.StreamResponse:
        listing = Listing.of(request.query, prefix)
        db, name = database(request), param(request, "db")
        return await send_parts(request, db, listing_parts(db, name, listing))

    return get


def _post(prefix: str) -> Handler:
    async def post(request: web.Request) -> web.StreamResponse:
        db, name = database(request), param(request, "db")
        body = await _body(request)
        # Parameters of the address go before those of the body; there they are JSON already.
        parsed = {**body, **{name: _decoded(name, value) for name, value in request.query.items()}}
        listing = Listing.of(parsed, prefix, decoded=True)
        return await send_parts(request, db, listing_parts(db, name, listing))

    return post


async def _body(request: web.Request) -> dict[str, Any]:
    body = await read_object(request)
    if not isinstance(body.get("keys"), (list, type(None))):
        raise CouchError(400, "bad_request", "`keys` body member must be an array.")
    return body


_JSON_PARAMETERS = frozenset({"key", "keys", "startkey", "start_key", "endkey", "end_key"})


def _decoded(name: str, value: str) -> Any:
    return json_value({name: value}, name) if name in _JSON_PARAMETERS else value


def _queries(prefix: str) -> Handler:
    async def queries(request: web.Request) -> web.StreamResponse:
        body = await _body(request)
        asked = body.get("queries")
        if "queries" not in body:
            raise CouchError(400, "bad_request", "POST body must include `queries` parameter.")
        if not isinstance(asked, list) or not all(isinstance(one, dict) for one in asked):
            raise CouchError(400, "bad_request", "`queries` parameter must be an array of objects.")
        common = {name: _decoded(name, value) for name, value in request.query.items()}
        listings = [Listing.of({**common, **one}, prefix, decoded=True) for one in asked]
        db, name = database(request), param(request, "db")
        db.collection(name)
        return await send_parts(request, db, _several(db, name, listings))

    return queries


async def _several(
    db: Database, name: str, listings: Sequence[Listing]
) -> AsyncGenerator[list[Segment], None]:
    yield [b'{"results":[']
    for number, listing in enumerate(listings):
        if number:
            yield [b","]
        async for part in listing_parts(db, name, listing):
            yield part
    yield [b"]}\n"]


_QUERY = {
    "key": "One id, as JSON.",
    "keys": "A list of ids, as JSON.",
    "startkey": "The first id, as JSON; also `start_key`.",
    "endkey": "The last id, as JSON; also `end_key`.",
    "inclusive_end": "`false` leaves the last id out.",
    "descending": "`true` turns the order around.",
    "skip": "Rows to leave out.",
    "limit": "Rows at most.",
    "include_docs": "`true` adds the documents.",
    "conflicts": "`true` adds `_conflicts` to them.",
    "attachments": "`true` adds the attachments in base64.",
    "update_seq": "`true` tells the number of the latest change.",
}


def _routes(list_name: str, prefix: str, what: str) -> tuple[Route, ...]:
    path = f"/couch/{{db}}/{list_name}"
    return (
        Route("GET", path, _get(prefix), "{db}:read", what, query=_QUERY, face=Face.COUCH),
        Route("POST", path, _post(prefix), "{db}:read", f"{what}, of some ids", face=Face.COUCH),
        Route(
            "POST",
            f"{path}/queries",
            _queries(prefix),
            "{db}:read",
            f"{what}: several queries at once",
            face=Face.COUCH,
        ),
    )


ROUTES = (
    *_routes("_all_docs", "", "Documents in order of their ids"),
    *_routes("_design_docs", DESIGN, "Design documents in order of their ids"),
    *_routes("_local_docs", LOCAL, "Local documents in order of their ids"),
)
