"""`_replicate` and `_active_tasks`. Source: CouchDB's docs, api/server/common, and `chttpd_misc.erl`.

Whoever may use these, or write to `_replicator`, makes this server send requests to any address: both need
the scope `admin`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from localsrv.base.errors import LocalsrvError, NotFound
from localsrv.services.replication.job import Job, words
from localsrv.services.replication.replicator import Replicator
from localsrv.services.replication.run import DatabaseMissing
from localsrv.web.context import app, services
from localsrv.web.couch.answers import json_answer
from localsrv.web.couch.bodies import read_object
from localsrv.web.couch.design import indexing_tasks
from localsrv.web.couch.errors import CouchError
from localsrv.web.routes import ADMIN, Face, Route


def replicator(request: web.Request) -> Replicator:
    found = services(request).extra[Replicator]
    assert isinstance(found, Replicator)
    return found


async def replicate(request: web.Request) -> web.Response:
    """A one-shot replication is answered when it is done; it goes on when the client leaves."""
    body = await read_object(request)
    own, app_id = replicator(request), app(request).id
    if body.get("cancel") is True:
        try:
            return json_answer({"ok": True, "_local_id": await own.cancel(app_id, body)})
        except NotFound as error:
            raise CouchError(404, "not_found", "missing") from error
    job = await own.begin(app_id, body)
    if job.definition.continuous:
        return json_answer({"ok": True, "_local_id": job.key.id}, status=202)
    try:
        return json_answer({"ok": True, **await asyncio.shield(job.result)})
    except DatabaseMissing as error:
        raise CouchError(404, "db_not_found", error.message) from error
    except LocalsrvError as error:
        if error.status < 500:
            raise
        raise CouchError(error.status, error.code.replace("-", "_"), words(error)) from error
    except asyncio.CancelledError:
        if job.result.cancelled():
            raise CouchError(503, "cancelled", "The replication was cancelled.") from None
        raise


async def active_tasks(request: web.Request) -> web.Response:
    """What runs now: replications, and indexes that are being built. Compaction takes moments."""
    jobs = replicator(request).jobs(app(request).id)
    running = [_task(job) for job in jobs if job.status.state == "running"]
    return json_answer([*running, *({"node": NODE, **task} for task in indexing_tasks(request))])


def _task(job: Job) -> dict[str, Any]:
    info = job.progress.info()
    left, done = info["changes_pending"], info["revisions_checked"]
    return {
        "type": "replication",
        "replication_id": job.key.id,
        "doc_id": job.key.document,
        "database": None if job.key.document is None else "_replicator",
        "source": job.definition.source.label,
        "target": job.definition.target.label,
        "continuous": job.definition.continuous,
        "user": None,
        "node": NODE,
        "process_status": "waiting" if left == 0 else "running",
        "progress": None if left is None else 100 * done // max(done + left, 1) if left else 100,
        "started_on": int(job.status.started_at),
        "updated_on": int(job.progress.updated_at),
        **info,
    }


NODE = "nonode@nohost"
"""What CouchDB calls a server that belongs to no cluster."""

ROUTES = (
    Route(
        "POST",
        "/couch/_replicate",
        replicate,
        ADMIN,
        "Replicates a database, once or from now on, or cancels that",
        statuses=(200, 202),
        face=Face.COUCH,
    ),
    Route("GET", "/couch/_active_tasks", active_tasks, ADMIN, "What runs now", face=Face.COUCH),
)
