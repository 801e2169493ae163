"""/api/v1/health, /api/v1/status, /api/v1/stop."""

from __future__ import annotations

from aiohttp import web

import localsrv
from localsrv.base.errors import InvalidValue
from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.info import APP, FLAG, NUMBER, TEXT, TEXT_OR_NULL, app_info, array, obj
from localsrv.web.context import services
from localsrv.web.routes import ADMIN, OPEN, Route


async def health(request: web.Request) -> web.Response:
    return json_answer({"status": "ok", "version": localsrv.__version__})


async def status(request: web.Request) -> web.Response:
    own = services(request)
    vault = request.query.get("vault", "")
    if vault not in ("", "probe"):
        raise InvalidValue("`vault` can be `probe`.", details="vault")
    known = {**await own.status(vault == "probe"), "url": own.addresses.url, "version": localsrv.__version__}
    known["apps"] = [await app_info(own, app) for app in own.apps.ids]
    return json_answer(known)


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
