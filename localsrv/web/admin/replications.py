"""/api/v1/apps/{app}/replications: what this server keeps in step with other stores.

Definitions are the documents of the app's `_replicator` database, so that CouchDB's clients see the same.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from localsrv.base.errors import BadRequest, InvalidValue
from localsrv.services.replication.job import Job
from localsrv.services.replication.replicator import Replicator
from localsrv.store.replications import ReplicationRow
from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.info import (
    ANY_VALUE,
    FLAG,
    NUMBER,
    TEXT,
    TEXT_OR_NULL,
    array,
    obj,
    timestamp,
)
from localsrv.web.body import read_object
from localsrv.web.context import app, param, services
from localsrv.web.routes import ADMIN, Route

PATH = "/api/v1/apps/{app}/replications"
USUAL_LOG = 50
_NO_COUNTS = {"docs_read": 0, "docs_written": 0, "doc_write_failures": 0, "bytes": 0, "rate": 0.0}


def _replicator(request: web.Request) -> Replicator:
    found = services(request).extra[Replicator]
    assert isinstance(found, Replicator)
    return found


async def list_all(request: web.Request) -> web.Response:
    return json_answer({"replications": await infos(_replicator(request), app(request).id)})


async def infos(own: Replicator, app_id: str) -> list[dict[str, Any]]:
    """How all stored replications of an app stand."""
    return [await _info(own, row) for row in own.rows(app_id)]


async def create(request: web.Request) -> web.Response:
    body = dict(await _definition(request))
    ident = body.pop("id", None) or secrets.token_hex(4)
    if not ident or ident.startswith("_") or len(ident) > 200 or not ident.isprintable() or "/" in ident:
        raise InvalidValue(
            "`id` must be 1 to 200 printable characters, without / and no _ first.", details="id"
        )
    own, app_id = _replicator(request), app(request).id
    await own.create(app_id, ident, body)
    return json_answer(await _info(own, own.row(app_id, ident)), status=201)


async def show(request: web.Request) -> web.Response:
    return await _answer(request)


async def update(request: web.Request) -> web.Response:
    """Replaces the definition. Credentials that are not given again stay, for the same address."""
    body = dict(await _definition(request))
    if body.pop("id", param(request, "replication")) != param(request, "replication"):
        raise BadRequest("`id` is another one than the address says.", details="id")
    await _replicator(request).update(app(request).id, param(request, "replication"), body)
    return await _answer(request)


async def remove(request: web.Request) -> web.Response:
    await _replicator(request).delete(app(request).id, param(request, "replication"))
    return json_answer({"removed": param(request, "replication")})


async def now(request: web.Request) -> web.Response:
    await _replicator(request).now(app(request).id, param(request, "replication"))
    return await _answer(request)


async def pause(request: web.Request) -> web.Response:
    await _replicator(request).pause(app(request).id, param(request, "replication"), is_paused=True)
    return await _answer(request)


async def resume(request: web.Request) -> web.Response:
    await _replicator(request).pause(app(request).id, param(request, "replication"), is_paused=False)
    return await _answer(request)


async def log(request: web.Request) -> web.Response:
    text = request.query.get("limit", str(USUAL_LOG))
    if not (text.isascii() and text.isdecimal() and len(text) < 4 and int(text) > 0):
        raise InvalidValue("`limit` must be 1 to 999.", details="limit")
    found = await _replicator(request).log(app(request).id, param(request, "replication"), int(text))
    entries = [{"at": timestamp(e.at), "kind": e.kind, "text": e.text} for e in found]
    return json_answer({"entries": entries})


async def _definition(request: web.Request) -> Mapping[str, Any]:
    body = await read_object(
        request,
        id=str,
        source=(str, dict),
        target=(str, dict),
        continuous=bool,
        create_target=bool,
        doc_ids=(list, type(None)),
        selector=(dict, type(None)),
        filter=(str, type(None)),
        query_params=(dict, type(None)),
        winning_revs_only=bool,
    )
    for needed in ("source", "target"):
        if needed not in body:
            raise BadRequest(f"`{needed}` is missing.", details=needed)
    return {name: value for name, value in body.items() if value is not None}


async def _answer(request: web.Request) -> web.Response:
    own = _replicator(request)
    row = own.row(app(request).id, param(request, "replication"))
    return json_answer(await _info(own, row))


async def _info(own: Replicator, row: ReplicationRow) -> dict[str, Any]:
    """A replication as it stands; `definition` holds no secret."""
    job = own.job_of(row.app, row.document)
    told = row.info if job is None else job.progress.info()
    error = row.info.get("error")
    return {
        "id": row.document,
        "definition": await own.shown(row.app, row.document),
        "state": row.state,
        "error": error,
        "hint": row.info.get("hint"),
        "errors": row.errors,
        "next_try_at": _next_try(job),
        "started_at": timestamp(row.started_at),
        "updated_at": timestamp(row.updated_at),
        "progress": {name: told.get(name, usual) for name, usual in _NO_COUNTS.items()}
        | {"changes_pending": told.get("changes_pending")},
    }


def _next_try(job: Job | None) -> str | None:
    return None if job is None or job.status.next_at is None else timestamp(int(job.status.next_at))


_SIDE = {"description": "A database of this app, a URL, or {url, auth: {basic: {username, password}}}."}
_DEFINITION = obj(
    "source target",
    id=TEXT,
    source=_SIDE,
    target=_SIDE,
    continuous=FLAG,
    create_target=FLAG,
    doc_ids={"type": ["array", "null"], "items": TEXT},
    selector={"type": ["object", "null"]},
    filter=TEXT_OR_NULL,
    query_params={"type": ["object", "null"]},
    winning_revs_only=FLAG,
)
_REPLICATION = obj(
    "*",
    id=TEXT,
    definition=ANY_VALUE,
    state=TEXT,
    error=TEXT_OR_NULL,
    hint=TEXT_OR_NULL,
    errors=NUMBER,
    next_try_at=TEXT_OR_NULL,
    started_at=TEXT_OR_NULL,
    updated_at=TEXT_OR_NULL,
    progress=obj(
        "*",
        docs_read=NUMBER,
        docs_written=NUMBER,
        doc_write_failures=NUMBER,
        bytes=NUMBER,
        rate={"type": "number"},
        changes_pending={"type": ["integer", "null"]},
    ),
)

ROUTES = (
    Route(
        "GET",
        PATH,
        list_all,
        ADMIN,
        "The app's replications",
        response=obj("*", replications=array(_REPLICATION)),
    ),
    Route(
        "POST",
        PATH,
        create,
        ADMIN,
        "Makes a replication and starts it; credentials go to the vault",
        request=_DEFINITION,
        response=_REPLICATION,
        statuses=(201,),
    ),
    Route("GET", PATH + "/{replication}", show, ADMIN, "One replication", response=_REPLICATION),
    Route(
        "PUT",
        PATH + "/{replication}",
        update,
        ADMIN,
        "Replaces a replication's definition and starts it anew",
        request=_DEFINITION,
        response=_REPLICATION,
    ),
    Route(
        "DELETE",
        PATH + "/{replication}",
        remove,
        ADMIN,
        "Ends a replication; what it brought stays",
        response=obj("*", removed=TEXT),
    ),
    Route(
        "POST",
        PATH + "/{replication}/now",
        now,
        ADMIN,
        "Tries at once; runs again what completed or failed",
        response=_REPLICATION,
    ),
    Route(
        "POST", PATH + "/{replication}/pause", pause, ADMIN, "Stops it until resumed", response=_REPLICATION
    ),
    Route("POST", PATH + "/{replication}/resume", resume, ADMIN, "Goes on", response=_REPLICATION),
    Route(
        "GET",
        PATH + "/{replication}/log",
        log,
        ADMIN,
        "What happened, newest first",
        query={"limit": "How many entries, at most 999; 50 unless given"},
        response=obj("*", entries=array(obj("*", at=TEXT, kind=TEXT, text=TEXT))),
    ),
)
