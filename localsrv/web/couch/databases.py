"""`/{db}`: making, looking at and removing a database."""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import hdrs, web

from localsrv.base.errors import InvalidValue
from localsrv.services.replication.replicator import DATABASE
from localsrv.store.database import Database
from localsrv.web.addresses import couch_root
from localsrv.web.context import app, call, database, param
from localsrv.web.couch.answers import json_answer
from localsrv.web.couch.errors import CouchError
from localsrv.web.couch.parameters import flag
from localsrv.web.couch.replicate import replicator
from localsrv.web.couch.sequences import token_of
from localsrv.web.routes import ADMIN, Face, Route

SYSTEM_DATABASES = frozenset({"_users", "_replicator", "_global_changes"})
"""The only names that may begin with `_`, as in CouchDB. They are for admins alone (`model.scopes`)."""

_ILLEGAL_NAME = (
    "Name: '{name}'. Only lowercase characters (a-z), digits (0-9), and any of the characters "
    "_, $, (, ), +, -, and / are allowed. Must begin with a letter."
)


async def create(request: web.Request) -> web.Response:
    name = param(request, "db")
    if flag(request.query, "partitioned"):
        raise CouchError(400, "bad_request", "There are no partitioned databases here.")
    try:
        if name.startswith("_") and name not in SYSTEM_DATABASES:
            raise InvalidValue("A name begins with a letter.")
        await database(request).create_database(name)
    except InvalidValue:
        reason = _ILLEGAL_NAME.format(name=name[:200])
        raise CouchError(400, "illegal_database_name", reason) from None
    return json_answer({"ok": True}, status=201, headers={hdrs.LOCATION: location(request, name)})


def location(request: web.Request, *segments: str) -> str:
    """The absolute address of something below the root of the face that was asked."""
    return "/".join((couch_root(call(request).site, call(request).params["app"]), *map(_quoted, segments)))


def _quoted(segment: str) -> str:
    return quote(segment, safe="")


async def information(request: web.Request) -> web.Response:
    name, db = param(request, "db"), database(request)
    if request.method == "HEAD":
        db.collection(name)
        return json_answer({})
    return json_answer(await information_of(db, name))


async def information_of(db: Database, name: str) -> dict[str, object]:
    """What CouchDB tells of a database. Raises NotFound."""
    info = await db.information(name)
    return {
        "instance_start_time": str(info.number),
        "db_name": name,
        "purge_seq": "0",
        "update_seq": token_of(db, name, info.last_seq),
        "sizes": {"file": info.size_file, "external": info.size_external, "active": info.size_active},
        "props": {},
        "doc_del_count": info.deleted,
        "doc_count": info.documents,
        "disk_format_version": 8,
        "compact_running": db.is_compacting,
        "cluster": {"q": 1, "n": 1, "w": 1, "r": 1},
    }


async def remove(request: web.Request) -> web.Response:
    if "rev" in request.query:
        raise CouchError(
            400,
            "bad_request",
            "You tried to DELETE a database with a ?=rev parameter. "
            "Did you mean to DELETE a document instead?",
        )
    await database(request).drop(param(request, "db"))
    if param(request, "db") == DATABASE:
        await replicator(request).noticed(app(request).id)
    return json_answer({"ok": True})


ROUTES = (
    Route("PUT", "/couch/{db}", create, "sync", "Makes a database", statuses=(201,), face=Face.COUCH),
    Route("GET", "/couch/{db}", information, "{db}:read", "A database's counts and sizes", face=Face.COUCH),
    Route("DELETE", "/couch/{db}", remove, ADMIN, "Removes a database and all in it", face=Face.COUCH),
)
