"""`_shards`: where a database's documents lie. There is one shard here, on one node.

Source: CouchDB's docs, api/database/shard. Tools that read a large database in parallel ask for its shards.
"""

from __future__ import annotations

from aiohttp import web

from localsrv.web.context import database, param
from localsrv.web.couch.answers import json_answer
from localsrv.web.couch.bodies import require_json
from localsrv.web.couch.server import NODE
from localsrv.web.routes import ADMIN, Face, Handler, Route

WHOLE = "00000000-ffffffff"
"""The range of hashes that the one shard has: all."""


async def shards(request: web.Request) -> web.Response:
    database(request).collection(param(request, "db"))
    return json_answer({"shards": {WHOLE: [NODE]}})


async def shard_of(request: web.Request) -> web.Response:
    """As in CouchDB, the document need not be there."""
    database(request).collection(param(request, "db"))
    return json_answer({"range": WHOLE, "nodes": [NODE]})


async def sync_shards(request: web.Request) -> web.Response:
    """One copy is always the same as all others."""
    require_json(request)
    database(request).collection(param(request, "db"))
    return json_answer({"ok": True}, status=202)


def _route(method: str, path: str, handler: Handler, scope: str, summary: str, *statuses: int) -> Route:
    return Route(
        method, f"/couch/{{db}}/{path}", handler, scope, summary, statuses=statuses or (200,), face=Face.COUCH
    )


ROUTES = (
    _route("GET", "_shards", shards, "{db}:read", "The shards of a database: one"),
    _route("GET", "_shards/{docid}", shard_of, "{db}:read", "The shard of a document"),
    _route("POST", "_sync_shards", sync_shards, ADMIN, "Nothing to do for one copy", 202),
)
