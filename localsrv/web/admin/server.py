"""/api/v1/health, /api/v1/status, /api/v1/stop."""

from __future__ import annotations

from aiohttp import web

import localsrv
from localsrv.base.errors import InvalidValue, NotFound
from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.info import APP, FLAG, NUMBER, TEXT, TEXT_OR_NULL, Json, app_info, array, obj
from localsrv.web.context import Services, services
from localsrv.web.routes import ADMIN, OPEN, Route


async def health(request: web.Request) -> web.Response:
    return json_answer({"status": "ok", "version": localsrv.__version__})


async def status(request: web.Request) -> web.Response:
    own = services(request)
    vault = request.query.get("vault", "")
    if vault not in ("", "probe"):
        raise InvalidValue("`vault` can be `probe`.", details="vault")
    known = {**await own.status(vault == "probe"), "url": own.addresses.url, "version": localsrv.__version__}
    known["couchdb"] = _couchdb(own)
    known["apps"] = [await app_info(own, app) for app in own.apps.ids]
    return json_answer(known)


def _couchdb(own: Services) -> Json | None:
    """The sync face's own port; None where none is set. `error` says why nothing can be reached there."""
    couch = own.addresses.couch
    if couch is None:
        return None
    error = couch.error
    if error is None and not own.apps.exists(couch.app):
        error = NotFound(
            f"There is no app `{couch.app}`, which the setting couchdb_app names.",
            code="app-not-found",
            details=couch.app,
            hint=f"Make it (localsrv app add --id {couch.app}), or name another app in config.toml and start "
            "localsrv again.",
        )
    return {
        "url": couch.url,
        "port": couch.port,
        "app": couch.app,
        "error": None if error is None else error.as_dict(),
    }


async def stop(request: web.Request) -> web.Response:
    services(request).stop()
    return json_answer({"stopping": True}, status=202)


STATUS = obj(
    "url version pid uptime_s apps",
    url=TEXT,
    version=TEXT,
    device_id=TEXT,
    pid=NUMBER,
    started_at=TEXT,
    uptime_s={"type": "number"},
    data_dir=TEXT,
    sqlite_version=TEXT,
    vault=obj("*", kind=TEXT, backend=TEXT_OR_NULL, state=TEXT, message=TEXT),
    listeners=array(obj("*", host=TEXT, port=NUMBER, trust=TEXT, app=TEXT_OR_NULL)),
    couchdb={
        "anyOf": [
            obj("*", url=TEXT, port=NUMBER, app=TEXT, error={"type": ["object", "null"]}),
            {"type": "null"},
        ]
    },
    apps=array(APP),
)

ROUTES = (
    Route(
        "GET",
        "/api/v1/health",
        health,
        OPEN,
        "Whether the server answers",
        response=obj("*", status=TEXT, version=TEXT),
    ),
    Route(
        "GET",
        "/api/v1/status",
        status,
        ADMIN,
        "The server, its apps and their collections",
        query={
            "vault": "`probe` to try the vault by a write and a read, rather than tell how its last use went"
        },
        response=STATUS,
    ),
    Route(
        "POST",
        "/api/v1/stop",
        stop,
        ADMIN,
        "Finishes requests in flight and stops the server",
        response=obj("*", stopping=FLAG),
        statuses=(202,),
    ),
)
