"""A database's properties and its care: `_security`, `_revs_limit`, `_compact` and others.

What CouchDB needs and this store does not (`_ensure_full_commit`: every answered write is on the disk) is
answered as what it is: done.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from localsrv.services.design import Design
from localsrv.web.context import database, param, services
from localsrv.web.couch.answers import json_answer
from localsrv.web.couch.bodies import read_json, require_json
from localsrv.web.couch.errors import CouchError
from localsrv.web.routes import ADMIN, Face, Handler, Route

ADMINS_ONLY = {"members": {"roles": ["_admin"]}, "admins": {"roles": ["_admin"]}}
"""What CouchDB answers of a database whose `_security` nobody has written."""


async def get_security(request: web.Request) -> web.Response:
    return json_answer(database(request).setting(param(request, "db"), "security", ADMINS_ONLY))


async def put_security(request: web.Request) -> web.Response:
    """Kept for clients that read it again; who may do what is said by keys. Raises CouchError."""
    value = await read_json(request)
    if not isinstance(value, dict):
        raise CouchError(400, "bad_request", "_security must be a JSON object")
    for who in ("admins", "members"):
        _check_members(who, value.get(who, {}))
    await database(request).set_setting(param(request, "db"), "security", value)
    return json_answer({"ok": True})


def _check_members(who: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise CouchError(400, "bad_request", f"{who} must be a JSON object")
    for kind in ("names", "roles"):
        listed = value.get(kind, [])
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise CouchError(400, "bad_request", f"{who}.{kind} must be a JSON list of strings")


async def get_revs_limit(request: web.Request) -> web.Response:
    return json_answer(str(database(request).collection(param(request, "db")).revs_limit))


async def put_revs_limit(request: web.Request) -> web.Response:
    value = await read_json(request)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CouchError(400, "bad_request", "`_revs_limit` must be a positive integer")
    await database(request).set_setting(param(request, "db"), "revs_limit", value)
    return json_answer({"ok": True})


async def compact(request: web.Request) -> web.Response:
    """Begins to forget, in the whole file of the app, what retention allows."""
    require_json(request)
    database(request).collection(param(request, "db"))
    database(request).compact_soon()
    return json_answer({"ok": True}, status=202)


async def compact_view(request: web.Request) -> web.Response:
    """An index holds nothing old: there is only to see that the design document is there."""
    require_json(request)
    await _design_document(request)
    return json_answer({"ok": True}, status=202)


async def _design_document(request: web.Request) -> None:
    design: Design = services(request).extra[Design]
    await design.document(database(request), param(request, "db"), f"_design/{param(request, 'ddoc')}")


async def ensure_full_commit(request: web.Request) -> web.Response:
    require_json(request)
    number = database(request).collection(param(request, "db")).number
    return json_answer({"ok": True, "instance_start_time": str(number)}, status=201)


async def bad_local_id(request: web.Request) -> web.Response:
    raise CouchError(400, "bad_request", "Invalid _local document id.")


def _route(method: str, path: str, handler: Handler, scope: str, summary: str, *statuses: int) -> Route:
    return Route(
        method, f"/couch/{{db}}/{path}", handler, scope, summary, statuses=statuses or (200,), face=Face.COUCH
    )


_READ = "{db}:read"

ROUTES = (
    _route("GET", "_security", get_security, _READ, "Who was told to be admin and member"),
    _route("PUT", "_security", put_security, ADMIN, "Keeps that; scopes of keys decide"),
    _route("GET", "_revs_limit", get_revs_limit, _READ, "How many ancestors of a revision are remembered"),
    _route("PUT", "_revs_limit", put_revs_limit, ADMIN, "Sets that"),
    _route("POST", "_compact", compact, ADMIN, "Forgets what retention allows", 202),
    _route("POST", "_compact/{ddoc}", compact_view, ADMIN, "Nothing to do for an index", 202),
    _route("POST", "_ensure_full_commit", ensure_full_commit, "{db}:write", "Always so already", 201),
    _route("GET", "_local", bad_local_id, _READ, "Refused: no id"),
    _route("PUT", "_local", bad_local_id, _READ, "Refused: no id"),
)
