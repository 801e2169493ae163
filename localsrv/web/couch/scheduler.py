"""`_scheduler/jobs` and `_scheduler/docs`: how replications fare.

Source: CouchDB's docs, api/server/common.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from localsrv.base.errors import InvalidValue, NotFound
from localsrv.model.replication import parse_replication
from localsrv.services.replication.job import Event, Job
from localsrv.services.replication.replicator import DATABASE
from localsrv.store.replications import ReplicationRow
from localsrv.web.context import app, param, params
from localsrv.web.couch.answers import json_answer
from localsrv.web.couch.errors import CouchError
from localsrv.web.couch.parameters import natural
from localsrv.web.couch.replicate import NODE, replicator
from localsrv.web.routes import ADMIN, Face, Route

USUAL_LIMIT = 100
STATES = frozenset({"initializing", "running", "pending", "crashing", "completed", "failed", "error"})


async def jobs(request: web.Request) -> web.Response:
    found = [_job(job) for job in replicator(request).jobs(app(request).id)]
    return json_answer(_part(request, "jobs", found))


async def one_job(request: web.Request) -> web.Response:
    ident = param(request, "job").replace(" ", "+")  # a client that does not encode the plus means one
    for job in replicator(request).jobs(app(request).id):
        if job.key.id == ident:
            return json_answer(_job(job))
    raise CouchError(404, "not_found", "missing")


async def docs(request: web.Request) -> web.Response:
    _check_database(request)
    wanted = {state for state in request.query.get("states", "").split(",") if state}
    if not wanted <= STATES:
        raise CouchError(400, "bad_request", f"Unknown state: {sorted(wanted - STATES)[0][:80]}")
    own, app_id = replicator(request), app(request).id
    found = [await _document(request, row) for row in own.rows(app_id)]
    found = [entry for entry in found if entry is not None and (not wanted or entry["state"] in wanted)]
    return json_answer(_part(request, "docs", found))


async def one_doc(request: web.Request) -> web.Response:
    _check_database(request)
    try:
        row = replicator(request).row(app(request).id, param(request, "id"))
    except NotFound:
        row = None
    entry = None if row is None else await _document(request, row)
    if entry is None:
        raise CouchError(404, "not_found", "missing")
    return json_answer(entry)


def _check_database(request: web.Request) -> None:
    if params(request).get("db", DATABASE) != DATABASE:
        raise CouchError(404, "not_found", "missing")


def _part(request: web.Request, name: str, found: list[Any]) -> dict[str, Any]:
    limit, skip = natural(request.query, "limit", USUAL_LIMIT), natural(request.query, "skip", 0)
    assert limit is not None and skip is not None
    return {"total_rows": len(found), "offset": min(skip, len(found)), name: found[skip : skip + limit]}


def _job(job: Job) -> dict[str, Any]:
    return {
        "id": job.key.id,
        "database": None if job.key.document is None else DATABASE,
        "doc_id": job.key.document,
        "source": job.definition.source.label,
        "target": job.definition.target.label,
        "start_time": _time(job.status.started_at),
        "user": None,
        "node": NODE,
        "pid": None,
        "history": [_event(event) for event in job.status.events],
        "info": job.progress.info(),
    }


def _event(event: Event) -> dict[str, str]:
    told = {"timestamp": _time(event.at), "type": event.kind}
    return told if event.reason is None else {**told, "reason": event.reason}


async def _document(request: web.Request, row: ReplicationRow) -> dict[str, Any] | None:
    """How a stored replication fares; None when its document went a moment ago."""
    own = replicator(request)
    job = own.job_of(row.app, row.document)
    try:
        source, target = _labels(await own.definition(row.app, row.document))
    except NotFound:
        return None
    info: Any = {name: value for name, value in row.info.items() if name != "hint"}
    if job is not None and job.status.state == "running":
        info = job.progress.info()
    is_ended = row.state in ("completed", "failed") or job is None
    return {
        "database": DATABASE,
        "doc_id": row.document,
        "id": None if is_ended or job is None else job.key.id,
        "node": NODE,
        "source": source,
        "target": target,
        "source_proxy": None,
        "target_proxy": None,
        # CouchDB has no word for what a person paused: it waits for its turn.
        "state": "pending" if row.is_paused else row.state,
        "error_count": row.errors,
        "info": info,
        "start_time": None if row.started_at is None else _time(row.started_at),
        "last_updated": _time(row.updated_at),
    }


def _labels(body: dict[str, Any]) -> tuple[str | None, str | None]:
    try:
        definition, _ = parse_replication(body)
    except InvalidValue:
        return None, None
    return definition.source.label, definition.target.label


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


ROUTES = (
    Route("GET", "/couch/_scheduler/jobs", jobs, ADMIN, "Replications that run or wait", face=Face.COUCH),
    Route("GET", "/couch/_scheduler/jobs/{job}", one_job, ADMIN, "One of them", face=Face.COUCH),
    Route("GET", "/couch/_scheduler/docs", docs, ADMIN, "How stored replications fare", face=Face.COUCH),
    Route("GET", "/couch/_scheduler/docs/{db}", docs, ADMIN, "Those of one database", face=Face.COUCH),
    Route(
        "GET", "/couch/_scheduler/docs/{db}/{id}", one_doc, ADMIN, "How one of them fares", face=Face.COUCH
    ),
)
