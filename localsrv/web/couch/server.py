"""What clients ask of the server itself: who answers, which databases there are, ids, cluster.

It is one server that belongs to no cluster, which CouchDB calls `nonode@nohost`.
"""

from __future__ import annotations

import secrets
from typing import Any

from aiohttp import hdrs, web

import localsrv
from localsrv.base.errors import NotFound
from localsrv.model.scopes import read
from localsrv.web.context import app, database, grant, param
from localsrv.web.couch.answers import json_answer
from localsrv.web.couch.bodies import read_object
from localsrv.web.couch.bulk import new_ids
from localsrv.web.couch.databases import information_of
from localsrv.web.couch.errors import CouchError
from localsrv.web.couch.id_ranges import id_range
from localsrv.web.couch.parameters import natural
from localsrv.web.routes import ANY, OPEN, Face, Route

COUCHDB_VERSION = "3.5.0"
"""The API that is spoken here. Clients choose what they ask for by it; `vendor` has our own version."""

NODE = "nonode@nohost"
MOST_DATABASES = 100
MOST_IDS = 1000


async def welcome(request: web.Request) -> web.Response:
    vendor = {"name": "localsrv", "version": localsrv.__version__}
    return json_answer({"couchdb": "Welcome", "version": COUCHDB_VERSION, "features": [], "vendor": vendor})


async def up(request: web.Request) -> web.Response:
    return json_answer({"status": "ok", "seeds": {}})


# ── databases ──────────────────────────────────────────────────────────────────────────────────────────────


async def all_dbs(request: web.Request) -> web.Response:
    return json_answer(_names(request))


async def dbs_info(request: web.Request) -> web.Response:
    return json_answer([await _information(request, name) for name in _names(request)])


async def some_dbs_info(request: web.Request) -> web.Response:
    keys = (await read_object(request)).get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise CouchError(400, "bad_request", "`keys` member must exist.")
    if len(keys) > MOST_DATABASES:
        raise CouchError(400, "bad_request", f"too_many_keys: at most {MOST_DATABASES}")
    return json_answer([await _information(request, name) for name in keys])


def _readable(request: web.Request, name: str) -> bool:
    return grant(request).allows(app(request).id, read(name))


def _names(request: web.Request) -> list[str]:
    """The databases that the grant may read, as the query's range chooses them. Raises CouchError."""
    chosen = id_range(request.query)
    names = sorted(
        (name for name in database(request).collections if _readable(request, name)),
        reverse=chosen.descending,
    )
    low, high = (chosen.end, chosen.start) if chosen.descending else (chosen.start, chosen.end)
    names = [n for n in names if (low is None or n >= low) and (high is None or n <= high)]
    if not chosen.inclusive_end:
        names = [n for n in names if n != chosen.end]
    names = names[natural(request.query, "skip", 0) :]
    return names[: natural(request.query, "limit")]


async def _information(request: web.Request, name: str) -> dict[str, Any]:
    if _readable(request, name):
        try:
            return {"key": name, "info": await information_of(database(request), name)}
        except NotFound:
            pass
    return {"key": name, "error": "not_found"}


# ── ids ────────────────────────────────────────────────────────────────────────────────────────────────────


async def uuids(request: web.Request) -> web.Response:
    count = natural(request.query, "count", 1) or 0
    if count > MOST_IDS:
        raise CouchError(400, "bad_request", "count parameter too large")
    headers: dict[str, str] = {
        hdrs.CACHE_CONTROL: "must-revalidate, no-cache",
        hdrs.PRAGMA: "no-cache",
        hdrs.ETAG: f'"{secrets.token_hex(16)}"',
    }
    return json_answer({"uuids": new_ids(count)}, headers=headers)


# ── the cluster ────────────────────────────────────────────────────────────────────────────────────────────


async def membership(request: web.Request) -> web.Response:
    return json_answer({"all_nodes": [NODE], "cluster_nodes": [NODE]})


async def node(request: web.Request) -> web.Response:
    if param(request, "node") not in ("_local", NODE):
        raise CouchError(404, "not_found", "no such node")
    return json_answer({"name": NODE})


async def cluster_state(request: web.Request) -> web.Response:
    return json_answer({"state": "single_node_enabled"})


async def set_up(request: web.Request) -> web.Response:
    """What makes one working server of an installation is done; what would make a cluster is refused."""
    action = (await read_object(request)).get("action")
    if action not in ("enable_single_node", "finish_cluster"):
        raise CouchError(400, "bad_request", "This server belongs to no cluster, and cannot join one.")
    return json_answer({"ok": True})


_RANGE = {
    "startkey": "The first name, as JSON; also `start_key`.",
    "endkey": "The last name, as JSON; also `end_key`.",
    "descending": "`true` turns the order around.",
    "skip": "Names to leave out.",
    "limit": "Names at most.",
}


def _route(method: str, path: str, handler: Any, scope: str | None, summary: str, **more: Any) -> Route:
    return Route(method, f"/couch{path}", handler, scope, summary, face=Face.COUCH, **more)


ROUTES = (
    _route("GET", "", welcome, OPEN, "Who answers here"),
    _route("GET", "/_up", up, OPEN, "Whether the server answers"),
    _route("GET", "/_all_dbs", all_dbs, ANY, "The databases that the token may read", query=_RANGE),
    _route("GET", "/_dbs_info", dbs_info, ANY, "Their counts and sizes", query=_RANGE),
    _route("POST", "/_dbs_info", some_dbs_info, ANY, "Counts and sizes of some databases"),
    _route("GET", "/_uuids", uuids, ANY, "New ids", query={"count": "How many, at most 1,000."}),
    _route("GET", "/_membership", membership, ANY, "The nodes: this one"),
    _route("GET", "/_node/{node}", node, ANY, "The name of a node: this one's"),
    _route("GET", "/_cluster_setup", cluster_state, ANY, "What kind of node this is"),
    _route("POST", "/_cluster_setup", set_up, "sync", "Accepted for one node: there is nothing to set up"),
)
